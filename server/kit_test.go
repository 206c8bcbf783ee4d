package server_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// A service is a running server with a client that speaks one version of HTTP
// to it.
type service struct {
	t      testing.TB
	srv    *server.Server
	st     store.Store
	url    string
	client *http.Client
}

// protocols are the versions of HTTP that every test runs over: HTTP/1.1 with
// connections that are taken over and such that are not.
var protocols = map[string]func(*http.Protocols){
	"HTTP/1.1":           func(p *http.Protocols) { p.SetHTTP1(true) },
	"HTTP/1.1 not taken": func(p *http.Protocols) { p.SetHTTP1(true) },
	"HTTP/2":             func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
}

// overProtocols runs a test over each version of HTTP.
func overProtocols(t *testing.T, o server.Options, test func(t *testing.T, s *service)) {
	for name, set := range protocols {
		t.Run(name, func(t *testing.T) {
			options := o
			if name == "HTTP/1.1 not taken" {
				options.Loops = -1
			}
			if options.Store == nil {
				options.Store = memory(t)
			}
			test(t, start(t, options, set))
		})
	}
}

// start runs a server on a free port until the test ends, behind what wraps it.
func start(t testing.TB, o server.Options, set func(*http.Protocols), wraps ...func(http.Handler) http.Handler) *service {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := http.Handler(srv)
	for _, wrap := range wraps {
		handler = wrap(handler)
	}
	hs := &http.Server{Handler: handler, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), 0)}
	if o.Loops >= 0 {
		hs.ConnContext = srv.ConnContext
	}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	// Ended by hs.Close; the clean-up waits for it.
	go func() { defer close(served); hs.Serve(srv.Listener(ln)) }()
	transport := &http.Transport{Protocols: new(http.Protocols), MaxIdleConnsPerHost: 100}
	set(transport.Protocols)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		hs.Close()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return &service{t: t, srv: srv, st: o.Store, url: "http://" + ln.Addr().String(), client: &http.Client{Transport: transport}}
}

// do sends a request. fields are pairs of header names and values.
func (s *service) do(method, path, body string, fields ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
		if fields[i] == "Host" {
			req.Host = fields[i+1]
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// answer is the body of a JSON answer.
type answer map[string]any

// read returns the JSON body of a response.
func (s *service) read(resp *http.Response) answer {
	s.t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		s.t.Fatalf("status %d, body %q: %v", resp.StatusCode, body, err)
	}
	return a
}

// publish appends data to a topic and returns the id.
func (s *service) publish(topic, data string, params ...string) string {
	s.t.Helper()
	resp := s.do("POST", "/events?topic="+url.QueryEscape(topic)+strings.Join(append([]string{""}, params...), "&"), data, "Content-Type", "text/plain")
	a := s.read(resp)
	if resp.StatusCode != 200 {
		s.t.Fatalf("publish to %s: status %d, %v", topic, resp.StatusCode, a)
	}
	return a["id"].(string)
}

// A reader is an open subscription.
type reader struct {
	t      testing.TB
	resp   *http.Response
	events chan sse.Event // closed when the stream ends
	err    error          // of the stream, once events is closed
}

// subscribe opens GET /events with a query and header fields, and checks what
// every stream begins with.
func (s *service) subscribe(query string, fields ...string) *reader {
	s.t.Helper()
	return s.readEvents("/events?"+query, fields...)
}

// readEvents opens an event stream.
func (s *service) readEvents(path string, fields ...string) *reader {
	s.t.Helper()
	resp := s.do("GET", path, "", fields...)
	if resp.StatusCode != 200 {
		s.t.Fatalf("GET %s: status %d, %v", path, resp.StatusCode, s.read(resp))
	}
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		s.t.Errorf("Content-Type %q", got)
	}
	r := &reader{t: s.t, resp: resp, events: make(chan sse.Event, 16)}
	// Ended by the end of the response, at the latest by the clean-up of do.
	go func() {
		defer close(r.events)
		for ev, err := range sse.NewDecoder(resp.Body, nil).Events() {
			if err != nil {
				r.err = err
				return
			}
			select {
			case r.events <- ev:
			case <-s.t.Context().Done():
				return
			}
		}
	}()
	return r
}

// next returns the next event, of any type.
func (r *reader) next() sse.Event {
	r.t.Helper()
	select {
	case ev, ok := <-r.events:
		if !ok {
			r.t.Fatalf("the stream has ended: %v", r.err)
		}
		return ev
	case <-time.After(30 * time.Second):
		r.t.Fatal("nothing came for 30 seconds")
	}
	panic("unreachable")
}

// close leaves, as a client does whose network goes.
func (r *reader) close() { r.resp.Body.Close() }

// memory returns an empty memory store.
func memory(t testing.TB) store.Store {
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	return st
}

// upload begins a publish of lines, to be written as a test goes on. The answer
// comes when it was closed.
func (s *service) upload() (lines *io.PipeWriter, answered <-chan answer) {
	body, lines := io.Pipe()
	answers := make(chan answer, 1)
	// Ended by the answer, at the latest by the end of the server.
	go func() {
		defer close(answers)
		resp, err := s.client.Post(s.url+"/events", ndjsonType, body)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer resp.Body.Close()
		answers <- s.read(resp)
	}()
	return lines, answers
}
