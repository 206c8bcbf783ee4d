package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// A recorder is a Tracer that writes down what it is told.
type recorder struct {
	mu    sync.Mutex
	begun int
	ended []string
	over  map[string]int
}

type recorderKey struct{}

func (x *recorder) Begin(ctx context.Context, op server.Operation) (context.Context, func(server.Outcome)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun++
	n := x.begun
	return context.WithValue(ctx, recorderKey{}, n), func(out server.Outcome) {
		x.mu.Lock()
		defer x.mu.Unlock()
		line := fmt.Sprint(op.Surface, " ", op.Name, " ", op.Topics, " ", out.Code, " ", out.Reason)
		x.ended = append(x.ended, line)
		if x.over[fmt.Sprint(n)]++; x.over[fmt.Sprint(n)] > 1 {
			x.ended = append(x.ended, "TWICE: "+line)
		}
	}
}

// expect waits for the operations that end, and takes them.
func (x *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
		x.mu.Lock()
		got = append([]string(nil), x.ended...)
		if len(got) >= len(want) {
			x.ended = nil
		}
		x.mu.Unlock()
		if len(got) >= len(want) {
			break
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("ended are %q, want %q", got, want)
	}
}

// Each publish and each reader begins and ends once, whatever has become of its connection.
func TestTracer(t *testing.T) {
	for name, wrap := range middlewares {
		if name == "hides all" {
			continue
		}
		for version, set := range protocols {
			t.Run(name+" "+version, func(t *testing.T) {
				x := &recorder{over: make(map[string]int)}
				o := server.Options{Store: memory(t), Tracer: x, MaxRecord: 100}
				if version == "HTTP/1.1 not taken" {
					o.Loops = -1
				}
				s := start(t, o, set, func(h http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(wrap(w), r) })
				})
				s.publish("a", "data")
				x.expect(t, "events publish [a]  ")
				s.read(s.do("POST", "/events?topic=a", strings.Repeat("x", 101), "Content-Type", "text/plain"))
				x.expect(t, "events publish [a] too_large ")
				s.read(s.do("POST", "/streams/none", "x", "Content-Type", "text/plain"))
				x.expect(t, "streams publish [none] not_found ")
				s.read(s.do("GET", "/events?topic=a&from=start&as=json", ""))
				x.expect(t, "events subscribe [a]  ")
				s.read(s.do("GET", "/events?topic=a&from=tomorrow", ""))
				x.expect(t, "events subscribe [a] invalid_parameter ")
				s.do("GET", "/healthz", "").Body.Close()

				r := s.subscribe("topic=a&topic=b/*")
				r.next()
				s.publish("a", "data")
				x.expect(t, "events publish [a]  ")
				r.close()
				x.expect(t, "events subscribe [a b/*]  gone")

				resp := s.do("POST", "/streams/a", "", "Stream-Closed", "true")
				resp.Body.Close()
				x.expect(t, "streams publish [a]  ")
				r = s.readEvents("/streams/a?as=sse")
				for range r.events {
				}
				x.expect(t, "streams subscribe [a]  ended")
			})
		}
	}
}

// Calls are operations as requests are.
func TestTracerHere(t *testing.T) {
	x := &recorder{over: make(map[string]int)}
	srv := newHere(t, server.Options{Tracer: x, MaxRecord: 10})
	publishHere(t, srv, "a", "1", "2")
	x.expect(t, "server publish [a]  ")
	if _, err := srv.Publish(t.Context(), server.Message{Topic: "b", Data: make([]byte, 11)}); leat.CodeOf(err) != leat.CodeTooLarge {
		t.Error(err)
	}
	x.expect(t, "server publish [b] too_large ")
	for range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"a"}, From: "start"}) {
		break
	}
	x.expect(t, "server subscribe [a]  gone")
	for range srv.Subscribe(t.Context(), server.Subscription{}) {
	}
	x.expect(t, "server subscribe [] no_topic ")
}
