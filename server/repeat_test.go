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
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
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
