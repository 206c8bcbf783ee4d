// Command sseservice is the Go client as a test service: sseharness, or another
// harness of the same contract (conformance/README.md), tells it which event
// streams to read, and is told what was read.
//
// It listens at 127.0.0.1 on the port of the environment variable PORT.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat/client"
)

func main() {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Getenv("PORT")))
	if err != nil {
		fmt.Fprintln(os.Stderr, "sseservice:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "sseservice: listening at", listener.Addr())
	s := &service{readers: map[string]*reader{}, end: make(chan struct{})}
	server := &http.Server{Handler: s}
	// Owned by main. It ends with the process: DELETE / is answered before that.
	go func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			fmt.Fprintln(os.Stderr, "sseservice:", err)
			os.Exit(1)
		}
	}()
	<-s.end
	server.Shutdown(context.Background())
}

// capabilities are all there are.
var capabilities = []string{"bom", "comments", "event-type-listeners", "headers", "last-event-id", "post", "read-timeout", "report", "restart", "server-directed-shutdown-request"}

// A service answers the harness.
type service struct {
	end     chan struct{} // closed by DELETE /
	endOnce sync.Once

	// Guarded by mu.
	mu      sync.Mutex
	made    int
	readers map[string]*reader // by path
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		switch r.Method {
		case http.MethodGet:
			json.NewEncoder(w).Encode(map[string]any{"capabilities": capabilities})
		case http.MethodPost:
			s.start(w, r)
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
			s.endOnce.Do(func() { close(s.end) })
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return
	}
	s.mu.Lock()
	reader := s.readers[r.URL.Path]
	if r.Method == http.MethodDelete {
		delete(s.readers, r.URL.Path)
	}
	s.mu.Unlock()
	switch {
	case reader == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		reader.stop()
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost:
		reader.command(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// parameters say which stream to read, and how.
type parameters struct {
	StreamURL      string            `json:"streamUrl"`
	CallbackURL    string            `json:"callbackUrl"`
	InitialDelayMs int               `json:"initialDelayMs"`
	ReadTimeoutMs  int               `json:"readTimeoutMs"`
	LastEventID    string            `json:"lastEventId"`
	Headers        map[string]string `json:"headers"`
	Method         string            `json:"method"`
	Body           *string           `json:"body"`
}

func (p *parameters) options() client.SubscribeOptions {
	o := client.SubscribeOptions{
		Method: p.Method, Header: http.Header{}, LastEventID: p.LastEventID,
		Stall:  time.Duration(p.ReadTimeoutMs) * time.Millisecond,
		Retry:  max(time.Duration(p.InitialDelayMs)*time.Millisecond, time.Millisecond),
		Repeat: true,
	}
	for name, value := range p.Headers {
		o.Header.Set(name, value)
	}
	if p.Body != nil {
		o.Body = []byte(*p.Body)
		if o.Header.Get("Content-Type") == "" {
			o.Header.Set("Content-Type", "text/plain; charset=utf-8")
		}
	}
	return o
}

// start makes a reader.
func (s *service) start(w http.ResponseWriter, r *http.Request) {
	var p parameters
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.StreamURL == "" || p.CallbackURL == "" {
		http.Error(w, "streamUrl and callbackUrl are needed", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	reader := &reader{parameters: p, end: cancel, ended: make(chan struct{}), restart: make(chan struct{}, 1), wanted: map[string]bool{"message": true}}
	s.mu.Lock()
	s.made++
	path := "/" + strconv.Itoa(s.made)
	s.readers[path] = reader
	s.mu.Unlock()
	// Owned by the service. DELETE of its path ends it, or the end of the
	// process.
	go reader.run(ctx)
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusCreated)
}

// A reader is one client that reads one stream.
type reader struct {
	parameters
	end     context.CancelFunc
	ended   chan struct{}
	restart chan struct{} // has one if the connection is to be made anew

	// Owned by run.
	told int // callbacks

	// Guarded by mu.
	mu     sync.Mutex
	wanted map[string]bool // event types
}

func (r *reader) stop() {
	r.end()
	<-r.ended
}

func (r *reader) command(w http.ResponseWriter, req *http.Request) {
	var c struct {
		Command string
		Listen  struct{ Type string }
	}
	if json.NewDecoder(req.Body).Decode(&c) != nil {
		c.Command = ""
	}
	switch c.Command {
	case "listen":
		r.mu.Lock()
		r.wanted[c.Listen.Type] = true
		r.mu.Unlock()
	case "restart":
		select {
		case r.restart <- struct{}{}:
		default: // it is asked for already
		}
	default:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// run reads until the stream has ended for good, or ctx.
func (r *reader) run(ctx context.Context) {
	defer close(r.ended)
	o := r.options()
	o.Notify = func(n client.Notice) {
		switch n.Kind {
		case client.Comment:
			r.tell(ctx, map[string]any{"kind": "comment", "comment": n.Comment})
		case client.Waiting:
			r.fail(ctx, n.Err)
			o.LastEventID = n.LastEventID
		}
	}
	for r.connect(ctx, &o) && ctx.Err() == nil {
	}
}

// connect subscribes, and reports whether that is to be done again.
func (r *reader) connect(ctx context.Context, o *client.SubscribeOptions) (again bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	// Owned by connect, which waits for it; the cancel above ends it.
	go func() {
		defer close(watched)
		select {
		case <-r.restart:
			again = true
			cancel()
		case <-ctx.Done():
		}
	}()
	for event, err := range client.Subscribe(ctx, r.StreamURL, *o) {
		if err != nil {
			if ctx.Err() == nil {
				r.fail(ctx, err)
			}
			break
		}
		o.LastEventID = event.ID
		kind := event.Type
		if kind == "" {
			kind = "message"
		}
		r.mu.Lock()
		wanted := r.wanted[kind]
		r.mu.Unlock()
		if wanted {
			r.tell(ctx, map[string]any{"kind": "event", "event": map[string]string{"type": kind, "data": string(event.Data), "id": event.ID}})
		}
	}
	cancel()
	<-watched
	return again
}

func (r *reader) fail(ctx context.Context, err error) {
	// The documentation of the contract calls the text comment, its harness error.
	r.tell(ctx, map[string]any{"kind": "error", "error": err.Error(), "comment": err.Error()})
}

// tell sends a callback, and waits for its answer so that the next one comes
// after it.
func (r *reader) tell(ctx context.Context, message any) {
	r.told++
	body, err := json.Marshal(message)
	if err != nil {
		panic(err) // it is strings
	}
	url := strings.TrimSuffix(r.CallbackURL, "/") + "/" + strconv.Itoa(r.told)
	// More than once, since net/http may end a request with "context canceled"
	// because the context of another one was, which had the connection just before.
	for try := 1; ; try++ {
		err := post(ctx, url, body)
		if err == nil || ctx.Err() != nil {
			return
		}
		fmt.Fprintln(os.Stderr, "sseservice:", err)
		if try == 3 {
			return // the harness has gone
		}
	}
}

func post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}
