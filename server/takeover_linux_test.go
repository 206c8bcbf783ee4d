package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
)

// hideHijack is a middleware whose ResponseWriter can be flushed, and no more.
func hideHijack(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(struct {
			http.ResponseWriter
			http.Flusher
		}{w, w.(http.Flusher)}, r)
	})
}

// A connection is taken over if nothing but the answer to one request is to come of
// it. All other readers are served as well as these.
func TestTakeOver(t *testing.T) {
	const get = "GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\n"
	for _, test := range []struct {
		name    string
		request string
		o       server.Options
		tls     bool
		wrap    func(http.Handler) http.Handler
		taken   bool
	}{
		{name: "GET", request: get + "\r\n", taken: true},
		{name: "another request behind it", request: get + "\r\n" + get + "\r\n", taken: true},
		{name: "NDJSON", request: get + "Accept: application/x-ndjson\r\n\r\n", taken: true},
		{name: "Durable Streams", request: "GET /streams/a?offset=now&live=sse HTTP/1.1\r\nHost: localhost\r\n\r\n", taken: true},
		{name: "HTTP/1.0", request: "GET /events?topic=a HTTP/1.0\r\n\r\n"},
		{name: "HEAD", request: "HEAD /events?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		{name: "a body", request: get + "Content-Length: 3\r\n\r\nabc"},
		{name: "TLS", request: get + "\r\n", tls: true},
		{name: "Options.Loops < 0", request: get + "\r\n", o: server.Options{Loops: -1}},
		{name: "a middleware that hides Hijack", request: get + "\r\n", wrap: hideHijack},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.Store, test.o.Logger = memory(t), slog.New(slog.NewTextHandler(t.Output(), nil))
			srv, err := server.New(test.o)
			if err != nil {
				t.Fatal(err)
			}
			var h http.Handler = srv
			if test.wrap != nil {
				h = test.wrap(h)
			}
			var taken sync.Map // the addresses of clients
			hs := httptest.NewUnstartedServer(h)
			hs.Config.ConnContext = srv.ConnContext
			hs.Config.ConnState = func(c net.Conn, state http.ConnState) {
				if state == http.StateHijacked {
					taken.Store(c.RemoteAddr().String(), true)
				}
			}
			if hs.Start(); test.tls {
				hs.Close()
				hs = httptest.NewUnstartedServer(h)
				hs.Config.ConnContext = srv.ConnContext
				hs.StartTLS()
			}
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if err := srv.Shutdown(ctx); err != nil {
					t.Error(err)
				}
				hs.CloseClientConnections()
				hs.Close()
			})
			publisher := &service{t: t, url: hs.URL, client: hs.Client()}
			publisher.publish("a", "what was before")
			c, err := net.Dial("tcp", hs.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if test.tls {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(c, test.request)
			method, _, _ := strings.Cut(test.request, " ")
			resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			if method == "GET" {
				lines := bufio.NewReader(resp.Body)
				if _, err := lines.ReadString('\n'); err != nil { // so it is being read to
					t.Fatal(err)
				}
				publisher.publish("a", "here it is")
				for line := ""; !strings.Contains(line, "here it is"); {
					if line, err = lines.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, got := taken.Load(c.LocalAddr().String()); got != test.taken || test.taken != resp.Close && resp.ProtoMinor == 1 {
				t.Errorf("taken: %v, the answer closes: %v; want %v", got, resp.Close, test.taken)
			}
		})
	}
}

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall lacks.
const tcpUserTimeout = 18

// What comes over one connection is one publisher's, over TLS and without loops too: the
// journal tells by it whom it may delay.
func TestConnContextKnowsPublishers(t *testing.T) {
	for _, loops := range []int{0, -1} {
		s := start(t, server.Options{Store: memory(t), Loops: loops}, protocols["HTTP/1.1"])
		c, _ := net.Pipe() // which is nothing to be taken over
		defer c.Close()
		if s.srv.ConnContext(t.Context(), c) == t.Context() {
			t.Errorf("Loops %d: nothing is known of a connection", loops)
		}
	}
}

// A connection is given up by the system when its client has acknowledged nothing for
// the stall timeout, whatever is on top of it, and whether it can be taken over or not.
func TestConnContextLimitsUnacked(t *testing.T) {
	for _, test := range []struct {
		stall time.Duration
		want  int // ms
	}{{0, 60_000}, {10 * time.Minute, 600_000}, {-1, 0}} {
		for _, loops := range []int{0, -1} {
			s := start(t, server.Options{Store: memory(t), StallTimeout: test.stall, Loops: loops}, protocols["HTTP/1.1"])
			for _, wrap := range []func(net.Conn) net.Conn{
				func(c net.Conn) net.Conn { return c },
				func(c net.Conn) net.Conn { return tls.Server(c, nil) },
			} {
				c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				s.srv.ConnContext(t.Context(), wrap(c))
				raw, err := c.(*net.TCPConn).SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				err = raw.Control(func(fd uintptr) {
					got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
					if err != nil || got != test.want {
						t.Errorf("stall timeout %v, Loops %d: TCP_USER_TIMEOUT is %d ms, %v", test.stall, loops, got, err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// "There is no goroutine, timer or channel per reader": not one for each, whatever
// they ask for.
func TestReadersHaveNoGoroutines(t *testing.T) {
	readers := 1000
	if os.Getenv("LEAT_SOAK") != "" {
		readers = 9000 // two descriptors each
	}
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	s.publish("all", "x")
	before := runtime.NumGoroutine()
	var conns []net.Conn
	var heads []*bufio.Reader
	for i := range readers {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(60 * time.Second))
		fmt.Fprintf(c, "GET /events?topic=all&topic=own/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i)
		conns, heads = append(conns, c), append(heads, bufio.NewReaderSize(c, 512))
	}
	var decoders []*sse.Decoder
	for i, br := range heads {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		d := sse.NewDecoder(resp.Body, nil)
		if _, err := d.Next(); err != nil {
			t.Fatal(i, err)
		}
		decoders = append(decoders, d)
	}
	s.client.CloseIdleConnections()
	id := s.publish("all", "y")
	for i, d := range decoders {
		if ev, err := d.Next(); err != nil || ev.ID != id {
			t.Fatalf("reader %d: %+v, %v", i, ev, err)
		}
	}
	// Handlers that have given their connection away end in a moment.
	n := 0
	for range 1000 {
		if n = runtime.NumGoroutine() - before; n <= 10 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n > 10 {
		t.Errorf("%d readers have %d goroutines", readers, n)
	}
	for _, c := range conns {
		c.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); s.read(s.do("GET", "/healthz", ""))["subscribers"] != 0.0; {
		if time.Now().After(deadline) {
			t.Fatal("readers that have left are kept")
		}
	}
}

// Connections that came before have their turn before the next is accepted: between
// two of them the http.Server calls ConnContext. Without, thousands are under way at
// once when thousands come.
func TestConnectionsTakeTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // with more, others run anyway
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	const rounds = 200
	served := 0
	for range rounds {
		var turn atomic.Bool
		done := make(chan struct{})
		// Ends by itself; joined below.
		go func() { turn.Store(true); close(done) }()
		s.srv.ConnContext(t.Context(), nil)
		if turn.Load() {
			served++
		}
		<-done
	}
	// Whoever has the processor can lose it at any moment, or get it back too soon.
	if served < rounds/2 {
		t.Errorf("in %d of %d rounds the connection before had its turn", served, rounds)
	}
}
