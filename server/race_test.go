package server_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
)

// "A race of append-against-read rounds without a lost wake-up (10,000 over
// HTTP, in step figures)": the reader of each worker is about to sleep, or asleep, when its
// worker publishes. A lost wake-up ends in the silence that next reports.
func TestNoLostWakeUpOverHTTP(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		const workers = 8
		rounds := 2_400
		if os.Getenv("LEAT_SOAK") == "1" {
			rounds = 10_000
		}
		var wg sync.WaitGroup
		for w := range workers {
			topic := fmt.Sprint("worker/", w)
			r := s.subscribe("topic=" + topic)
			r.next()
			wg.Go(func() {
				for i := range rounds / workers {
					resp, err := s.client.Post(s.url+"/events?topic="+topic, "text/plain", strings.NewReader(fmt.Sprint(i)))
					if err != nil {
						t.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					select {
					case ev, ok := <-r.events:
						if !ok || string(ev.Data) != fmt.Sprint(i) {
							t.Errorf("round %d brought %+v, %v", i, ev, r.err)
							return
						}
					case <-time.After(30 * time.Second):
						t.Errorf("round %d: the wake-up is lost", i)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// "A reader that never reads, while others keep full speed": readers that take
// nothing hold up neither publishers nor other readers, and their memory does
// not grow with what is published.
func TestStalledReaders(t *testing.T) {
	overProtocols(t, server.Options{TailMemory: 4 << 20}, func(t *testing.T, s *service) {
		const stalled, records, size = 50, 200, 64 << 10
		for range stalled {
			s.do("GET", "/events?topic=a", "") // its body is not read
		}
		r := s.subscribe("topic=a")
		r.next()
		data := strings.Repeat("x", size)
		for i := range records {
			s.publish("a", fmt.Sprint(i, data))
			if ev := r.next(); !strings.HasPrefix(string(ev.Data), fmt.Sprint(i, "x")) {
				t.Fatalf("record %d came as %.10q", i, ev.Data)
			}
		}
	})
}

// "A reader that takes nothing is cut" by the stall timeout, and comes back to
// the place where it was.
func TestStallTimeout(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), StallTimeout: 200 * time.Millisecond, TailMemory: 4 << 20}, protocols["HTTP/1.1"])
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(256 << 10)
	io.WriteString(c, "GET /events?topic=a HTTP/1.0\r\n\r\n")
	healthy := s.subscribe("topic=a")
	healthy.next()
	var ids []string
	subscribers := func() float64 { return s.read(s.do("GET", "/healthz", ""))["subscribers"].(float64) }
	for subscribers() < 2 {
	}
	for i := 0; subscribers() > 1; i++ { // until it is cut
		ids = append(ids, s.publish("a", fmt.Sprint(i, strings.Repeat("x", 256<<10))))
		healthy.next()
	}
	// What it was sent before is still in the buffers of the kernel.
	_, body, _ := strings.Cut(readAll(t, c), "\r\n\r\n")
	d := sse.NewDecoder(strings.NewReader(body), nil)
	n := -1 // the cursor
	for {
		if _, err := d.Next(); err != nil {
			break
		}
		n++
	}
	if n > 0 && d.LastEventID() != ids[n-1] {
		t.Errorf("after %d events the cursor is %s, want %s", n, d.LastEventID(), ids[n-1])
	}
	resumed := s.subscribe("topic=a", "Last-Event-ID", d.LastEventID())
	resumed.next()
	for ; n < len(ids); n++ {
		if ev := resumed.next(); ev.ID != ids[n] {
			t.Fatalf("resumed with %s, want %s", ev.ID, ids[n])
		}
	}
}

func readAll(t *testing.T, c net.Conn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(c)
	if os.IsTimeout(err) {
		t.Fatal("the connection was not closed")
	}
	return string(b)
}

// Readers on one HTTP/2 connection do not hold each other up, nor does one that
// stalls hold up the connection's others for longer than its window.
func TestManyStreamsOnOneConnection(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/2"])
	s.client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{StrictMaxConcurrentRequests: true}
	var readers []*reader
	for range 100 {
		readers = append(readers, s.subscribe("topic=a"))
	}
	for _, r := range readers {
		r.next()
	}
	for range 10 {
		id := s.publish("a", "x")
		for _, r := range readers {
			if ev := r.next(); ev.ID != id {
				t.Fatalf("got %s, want %s", ev.ID, id)
			}
		}
	}
}
