package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
)

// A caller speaks HTTP over one connection.
type caller struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
}

func call(t *testing.T, s *service) *caller {
	nc, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &caller{t, nc, bufio.NewReader(nc)}
}

// publish sends a record to a target and returns the answer.
func (c *caller) publish(target, data string) (status int, answer map[string]any) {
	c.t.Helper()
	fmt.Fprintf(c.nc, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", target, len(data), data)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &answer); err != nil {
			c.t.Fatalf("%s: %v", body, err)
		}
	}
	return resp.StatusCode, answer
}

// A publisher's connection is taken over, to topics and to streams, and nothing of what
// it is told changes by that. Where it comes to read, it is a reader as any.
func TestPublisherIsTakenOver(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	s.do("PUT", "/streams/log", "", "Content-Type", "text/plain").Body.Close()
	c := call(t, s)
	for i := range 5 {
		if status, got := c.publish(fmt.Sprintf("/events?topic=t/%d&key=k", i%2), "text"); status != 200 || got["topic"] != fmt.Sprint("t/", i%2) || (got["duplicate"] == true) != (i > 1) {
			t.Errorf("publish %d: %d %v", i, status, got)
		}
	}
	until(t, s.srv, "the publisher is taken over", func(m server.Metrics) bool { return m.Publishers == 1 && m.Published.Records == 2 })
	if status, got := c.publish("/events?topic=a//b", "text"); status != 400 || got["code"] != "invalid_name" {
		t.Errorf("a name that is none: %d %v", status, got)
	}
	if status, _ := c.publish("/events?topic=t/0", strings.Repeat("long ", 1<<15)); status != 200 {
		t.Errorf("a long record: %d", status)
	}
	until(t, s.srv, "it is given back", func(m server.Metrics) bool { return m.Publishers == 0 })
	c.publish("/events?topic=t/0", "last")
	fmt.Fprint(c.nc, "GET /events?topic=t/0&from=-1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan() && lines.Text() != "data: last"; {
	}
	taken := s.srv.Metrics().TakenOver
	other := call(t, s)
	fmt.Fprint(other.nc, "GET /events?topic=t/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if _, err := http.ReadResponse(other.in, nil); err != nil {
		t.Fatal(err)
	}
	if n := s.srv.Metrics().TakenOver; n != 2*taken {
		t.Errorf("%d readers are taken over, and %d on connections that were given back", n, taken)
	}

	streams := call(t, s)
	for i := range 4 {
		if status, got := streams.publish("/streams/log", "line"); status != 204 {
			t.Errorf("append %d: %d %v", i, status, got)
		}
	}
	until(t, s.srv, "the writer of the stream is taken over", func(m server.Metrics) bool { return m.Publishers == 1 })
	got, err := io.ReadAll(s.do("GET", "/streams/log", "").Body)
	if err != nil || string(got) != "linelinelineline" {
		t.Errorf("the stream is %q, %v", got, err)
	}
}

// Shutdown closes the connections of publishers that send nothing, and answers what they
// have sent.
func TestShutdownAnswersPublishers(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	c := call(t, s)
	for range 3 {
		c.publish("/events?topic=a", "x")
	}
	until(t, s.srv, "the publisher is taken over", func(m server.Metrics) bool { return m.Publishers == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c.in); len(b) > 0 || err != nil {
		t.Errorf("the connection was not closed: %q, %v", b, err)
	}
}

// A holding store commits nothing before it is let go.
type holding struct {
	store.Store
	began, free chan struct{}
}

func (h *holding) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	select {
	case <-h.began:
		<-h.free
	default:
	}
	return h.Store.Commit(ctx, txs)
}

// "Requests to publish that are under way are finished": also those whose answer no
// goroutine waits for.
func TestShutdownWaitsForTheStore(t *testing.T) {
	st := &holding{memory(t), make(chan struct{}), make(chan struct{})}
	s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	first, second := call(t, s), call(t, s)
	for range 3 {
		first.publish("/events?topic=a", "x")
		second.publish("/events?topic=b", "x")
	}
	until(t, s.srv, "the publishers are taken over", func(m server.Metrics) bool { return m.Publishers == 2 })
	close(st.began)
	waiting := int64(0)
	for _, c := range []*caller{first, second} { // the second waits for the commit of the first
		fmt.Fprint(c.nc, "POST /events?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx")
		until(t, s.srv, "the record waits for the store", func(m server.Metrics) bool { return m.Waiting > waiting })
		waiting = s.srv.Metrics().Waiting
	}
	down := make(chan error, 1)
	go func() { down <- s.srv.Shutdown(t.Context()) }() // ends below
	for limit := time.Now().Add(10 * time.Second); s.srv.Ready() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the server does not stop")
		}
	}
	select {
	case err := <-down:
		t.Fatalf("it has stopped before the record was stored: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(st.free)
	for _, c := range []*caller{first, second} {
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || !resp.Close {
			t.Errorf("answered with %s, Connection: close %v", resp.Status, resp.Close)
		}
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Behind a handler that may wait, publishers are served all the same.
func TestPublisherBehindMiddleware(t *testing.T) {
	calls := new(atomic.Int64)
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"], func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			time.Sleep(time.Millisecond)
			h.ServeHTTP(w, r)
		})
	})
	c := call(t, s)
	for i := range 10 {
		if status, got := c.publish(fmt.Sprintf("/events?topic=t/%d", i), "text"); status != 200 || got["topic"] != fmt.Sprint("t/", i) {
			t.Errorf("publish %d: %d %v", i, status, got)
		}
	}
	if m := s.srv.Metrics(); m.Publishers != 1 || calls.Load() != 10 {
		t.Errorf("%d publishers are taken over, and the middleware was called %d times", m.Publishers, calls.Load())
	}
}
