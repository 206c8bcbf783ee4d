package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A fakeServer is an HTTP server without a network, for use inside a synctest
// bubble: each attempt to connect gets one end of a pipe.
type fakeServer struct {
	client *http.Client

	// Guarded by mu.
	mu    sync.Mutex
	down  error       // what connecting fails with, nil while the server runs
	dials []time.Time // when it was tried to connect
	open  int         // requests under way
	most  int         // the most there ever were
}

// newFakeServer starts a server. It ends with the test.
func newFakeServer(t *testing.T, h http.Handler) *fakeServer {
	t.Helper()
	f := &fakeServer{}
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	hs := &http.Server{Handler: f.count(h), Protocols: new(http.Protocols)}
	hs.Protocols.SetHTTP1(true)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if err := f.dial(); err != nil {
			return nil, err
		}
		here, there := net.Pipe()
		select {
		case ln.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	f.client = &http.Client{Transport: transport}
	ended := make(chan struct{})
	// Owned by the test; Close below ends it.
	go func() {
		defer close(ended)
		hs.Serve(ln)
	}()
	t.Cleanup(func() {
		hs.Close()
		transport.CloseIdleConnections()
		<-ended
		// An http.Server leaves connections that it closes open for half a
		// second, which it sleeps. In a bubble that takes no time.
		time.Sleep(time.Second)
	})
	return f
}

func (f *fakeServer) dial() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials = append(f.dials, time.Now())
	return f.down
}

// setDown makes connecting fail, or work again with nil.
func (f *fakeServer) setDown(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

func (f *fakeServer) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.open++
		f.most = max(f.most, f.open)
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			f.open--
			f.mu.Unlock()
		}()
		h.ServeHTTP(w, r)
	})
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.IPAddr{} }

// A script answers request n, from 0, with its n-th step, and all later ones
// with the last.
type script struct {
	steps []http.HandlerFunc

	mu   sync.Mutex
	seen []*http.Request
	at   []time.Time
	body []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	n := len(s.seen)
	s.seen, s.at, s.body = append(s.seen, r), append(s.at, time.Now()), append(s.body, string(body))
	s.mu.Unlock()
	s.steps[min(n, len(s.steps)-1)](w, r)
}

// requests returns how many there were.
func (s *script) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// header returns a header of the n-th request.
func (s *script) header(n int, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[n].Header.Get(name)
}

// gap returns the time between requests n and n+1.
func (s *script) gap(n int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[n+1].Sub(s.at[n])
}

// stream answers with an event stream that ends.
func stream(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
		http.NewResponseController(w).Flush()
	}
}

// hang answers with an event stream that stays open.
func hang(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream(text)(w, r)
		<-r.Context().Done()
	}
}

// cut answers with an event stream whose connection breaks.
func cut(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream(text)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// silent takes a request and never answers.
func silent(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // the server watches the connection only after that
	<-r.Context().Done()
}

// status answers with a status and nothing else; args are header lines.
func status(code int, args ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(args); i += 2 {
			w.Header().Set(args[i], args[i+1])
		}
		w.WriteHeader(code)
	}
}

// problem answers with a problem document.
func problem(code int, document string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(code)
		io.WriteString(w, document)
	}
}

// notices collects what a Notify is told.
type notices struct {
	mu  sync.Mutex
	all []Notice
}

func (n *notices) add(notice Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice)
}

func (n *notices) of(kind NoticeKind) []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []Notice
	for _, notice := range n.all {
		if notice.Kind == kind {
			found = append(found, notice)
		}
	}
	return found
}

// errBroken stands for a fault of the network.
var errBroken = errors.New("network is broken")
