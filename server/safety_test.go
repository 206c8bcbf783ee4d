package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
)

// "On loopback only loopback Host names are served": a page that rebinds its
// name to 127.0.0.1 gets nothing.
func TestHosts(t *testing.T) {
	overProtocols(t, server.Options{AllowHosts: []string{"leat.example"}}, func(t *testing.T, s *service) {
		for host, status := range map[string]int{
			"localhost": 200, "LOCALHOST:99": 200, "a.localhost": 200, "127.0.0.1": 200, "127.9.9.9:80": 200, "[::1]:80": 200,
			"leat.example:443": 200, "localhost.": 200,
			"evil.example": 421, "localhost.evil.example": 421, "10.0.0.1": 421, "127.0.0.1.evil.example": 421,
		} {
			resp := s.do("POST", "/events?topic=a", "x", "Host", host, "Content-Type", "text/plain")
			if resp.StatusCode != status {
				t.Errorf("Host %s: status %d, want %d", host, resp.StatusCode, status)
			}
			io.Copy(io.Discard, resp.Body)
		}
	})
}

// "Without --cors-origin no other origin may read or publish."
func TestCrossOrigin(t *testing.T) {
	const own, friend, foe = "", "https://friend.example", "https://foe.example"
	for _, test := range []struct {
		cors    []string
		origin  string
		publish int    // status of a POST
		allow   string // Access-Control-Allow-Origin
		creds   string
	}{
		{nil, own, 200, "", ""},
		{nil, foe, 403, "", ""},
		{[]string{friend}, friend, 200, friend, "true"},
		{[]string{friend}, foe, 403, "", ""},
		{[]string{friend}, own, 200, "", ""},
		{[]string{"*"}, foe, 200, "*", ""},
		{[]string{"*", friend}, friend, 200, friend, "true"},
	} {
		t.Run(fmt.Sprint(test.cors, " ", test.origin), func(t *testing.T) {
			overProtocols(t, server.Options{CORSOrigins: test.cors}, func(t *testing.T, s *service) {
				fields := []string{"Content-Type", "text/plain"}
				if test.origin != own {
					fields = append(fields, "Origin", test.origin, "Sec-Fetch-Site", "cross-site")
				}
				for _, method := range []string{"GET", "HEAD", "POST"} {
					resp := s.do(method, "/events?topic=a", "x", fields...)
					want := 200
					if method == "POST" {
						want = test.publish
					}
					if resp.StatusCode != want {
						t.Errorf("%s: status %d, want %d", method, resp.StatusCode, want)
					}
					if got := resp.Header.Get("Access-Control-Allow-Origin"); got != test.allow {
						t.Errorf("%s: Access-Control-Allow-Origin %q, want %q", method, got, test.allow)
					}
					if got := resp.Header.Get("Access-Control-Allow-Credentials"); got != test.creds {
						t.Errorf("%s: Access-Control-Allow-Credentials %q, want %q", method, got, test.creds)
					}
					if test.cors != nil && !strings.Contains(strings.Join(resp.Header.Values("Vary"), ","), "Origin") {
						t.Errorf("%s: Vary %q", method, resp.Header.Values("Vary"))
					}
					resp.Body.Close()
				}
				resp := s.do("OPTIONS", "/events?topic=a", "", append(fields, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "last-event-id")...)
				// Which fields there are is told to all; what allows is the origin.
				h := resp.Header
				if methods := h.Get("Access-Control-Allow-Methods"); resp.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != test.allow || (methods != "") != (test.allow != "") ||
					!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Last-Event-ID") || h.Get("Access-Control-Allow-Credentials") != test.creds {
					t.Errorf("preflight: status %d, %v", resp.StatusCode, h)
				}
			})
		})
	}
}

func TestNotAnOrigin(t *testing.T) {
	_, err := server.New(server.Options{Store: memory(t), CORSOrigins: []string{"example.com"}})
	if err == nil || !strings.Contains(err.Error(), "https://example.com") {
		t.Errorf("an origin without a scheme: %v", err)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			method, path string
			status       int
			allow        string
		}{
			{"PUT", "/events", 405, "GET, HEAD, OPTIONS, POST"},
			{"DELETE", "/events?topic=a", 405, "GET, HEAD, OPTIONS, POST"},
			{"OPTIONS", "/events", 204, "GET, HEAD, OPTIONS, POST"},
			{"POST", "/healthz", 405, "GET, HEAD"},
			{"GET", "/nothing", 404, ""},
			{"GET", "/events/", 404, ""},
		} {
			resp := s.do(test.method, test.path, "")
			if resp.StatusCode != test.status || resp.Header.Get("Allow") != test.allow {
				t.Errorf("%s %s: status %d, Allow %q", test.method, test.path, resp.StatusCode, resp.Header.Get("Allow"))
			}
			if test.status >= 400 {
				s.read(resp)
			}
		}
		health := s.read(s.do("GET", "/healthz", ""))
		if health["status"] != "ok" || health["durability"] != "memory" || health["head"] == "" {
			t.Errorf("healthz: %v", health)
		}
		if resp := s.do("GET", "/readyz", ""); resp.StatusCode != 200 {
			t.Errorf("readyz: status %d", resp.StatusCode)
		}
	})
}

// "Graceful shutdown that spreads reconnects": each reader gets a retry of its
// own and its position, then the end of its stream.
func TestShutdown(t *testing.T) {
	overProtocols(t, server.Options{Drain: 20 * time.Second}, func(t *testing.T, s *service) {
		var readers []*http.Response
		for range 20 {
			readers = append(readers, s.do("GET", "/events?topic=a", ""))
		}
		var decoders []*sse.Decoder
		for _, resp := range readers {
			d := sse.NewDecoder(resp.Body, nil)
			if _, err := d.Next(); err != nil {
				t.Fatal(err)
			}
			decoders = append(decoders, d)
		}
		id := s.publish("other", "x")
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen := map[time.Duration]bool{}
		for _, d := range decoders {
			for {
				if _, err := d.Next(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("the stream does not end cleanly: %v", err)
				}
			}
			retry, _ := d.Retry()
			if retry < 500*time.Millisecond || retry > 21*time.Second {
				t.Errorf("retry %v", retry)
			}
			seen[retry/time.Second] = true
			if d.LastEventID() > id {
				t.Errorf("the position %s is after %s", d.LastEventID(), id)
			}
		}
		if len(seen) < 6 {
			t.Errorf("20 readers come back within %d different seconds of 20", len(seen))
		}
		for path, want := range map[string]int{"/readyz": 503, "/healthz": 200, "/events?topic=a": 200} {
			resp := s.do("GET", path, "")
			if resp.StatusCode != want {
				t.Errorf("%s of a server that stops: %d, want %d", path, resp.StatusCode, want)
			}
			io.Copy(io.Discard, resp.Body) // it ends
		}
		resp := s.do("POST", "/events?topic=a", "x")
		if a := s.read(resp); resp.StatusCode != 503 || a["code"] != "unavailable" || resp.Header.Get("Retry-After") == "" {
			t.Errorf("publish to a server that stops: %d, %v", resp.StatusCode, a)
		}
	})
}

// "Publishes under way are finished."
func TestShutdownWaitsForPublishes(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		r := s.subscribe("topic=a")
		r.next()
		upload, answered := s.upload()
		const line = `{"topic":"a","data":"x"}` + "\n"
		io.WriteString(upload, line)
		r.next() // so the request is under way
		stopped := make(chan error)
		go func() { stopped <- s.srv.Shutdown(context.Background()) }()
		for s.srv.Ready() == nil {
			runtime.Gosched()
		}
		io.WriteString(upload, line)
		upload.Close()
		if a := <-answered; a["count"] != 2.0 {
			t.Errorf("answer %v", a)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// HTTP/1.0 clients, such as nginx with its defaults, get a stream that ends
// with the connection.
func TestHTTP10(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /events?topic=a HTTP/1.0\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 200 || len(resp.TransferEncoding) > 0 {
		t.Fatalf("%v, %v", resp, err)
	}
	d := sse.NewDecoder(resp.Body, nil)
	d.Next()
	id := s.publish("a", "x")
	if ev, err := d.Next(); err != nil || ev.ID != id {
		t.Errorf("%+v, %v", ev, err)
	}
}

// A middleware that hides Flush is found out at the first reader, in the log.
func TestMiddlewareWithoutFlush(t *testing.T) {
	srv, err := server.New(server.Options{Store: memory(t), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(t.Context())
	w := struct{ http.ResponseWriter }{httptest.NewRecorder()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { recover() }()
		srv.ServeHTTP(w, httptest.NewRequest("GET", "/events?topic=a", nil))
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a reader that can never be flushed to is kept")
	}
}
