package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// streams is the server that clients read from, and that is told what they
// received.
type streams struct {
	url string

	// Guarded by mu.
	mu   sync.Mutex
	made int
	all  map[string]*stream
}

func newStreams() *streams { return &streams{all: map[string]*stream{}} }

// A stream is what one client reads, and what its callbacks say.
type stream struct {
	id       string
	url      string // of the stream; callbacks stand at url+"/told"
	conns    chan *conn
	messages chan message

	// Guarded by mu.
	mu      sync.Mutex
	next    int             // the number of the callback that is due
	early   map[int]message // those that came before their turn
	gone    bool
	waiting []*conn // which have not ended
}

// A message is a callback.
type message struct {
	Kind  string `json:"kind"`
	Event struct {
		Type string `json:"type"`
		Data string `json:"data"`
		ID   string `json:"id"`
	} `json:"event"`
	Comment string `json:"comment"`
}

func (s *streams) add() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	id := strconv.Itoa(s.made)
	st := &stream{
		id: id, url: s.url + "/" + id, next: 1,
		conns: make(chan *conn, 1000), messages: make(chan message, 1000), early: map[int]message{},
	}
	s.all[id] = st
	return st
}

// remove ends the connections of st.
func (s *streams) remove(st *stream) {
	s.mu.Lock()
	delete(s.all, st.id)
	s.mu.Unlock()
	st.mu.Lock()
	st.gone = true
	waiting := st.waiting
	st.mu.Unlock()
	for _, c := range waiting {
		c.finish(false)
	}
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	st := s.all[id]
	s.mu.Unlock()
	number, isTold := strings.CutPrefix(rest, "told/")
	switch {
	case st == nil:
		http.Error(w, "this test is over", http.StatusNotFound)
	case isTold:
		st.told(w, r, number)
	default:
		st.read(w, r)
	}
}

// told takes a callback.
func (st *stream) told(w http.ResponseWriter, r *http.Request, number string) {
	n, err := strconv.Atoi(number)
	var m message
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.early[n] = m
	for {
		m, ok := st.early[st.next]
		if !ok {
			break
		}
		delete(st.early, st.next)
		st.next++
		select {
		case st.messages <- m:
		default: // far more than a test looks at
		}
	}
}

// A conn is a request of the client, and the answer to it.
type conn struct {
	*http.Request
	body string
	w    http.ResponseWriter
	done chan bool // ends the answer: whether it is to be cut
	once sync.Once
}

// read takes a request for the stream, and lets the test answer.
func (st *stream) read(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := &conn{Request: r, body: string(body), w: w, done: make(chan bool, 1)}
	st.mu.Lock()
	if st.gone {
		st.mu.Unlock()
		return
	}
	st.waiting = append(st.waiting, c)
	st.mu.Unlock()
	select {
	case st.conns <- c:
	default: // a client that asks a thousand times
		return
	}
	if cut := <-c.done; cut {
		panic(http.ErrAbortHandler)
	}
}

// finish ends the answer.
func (c *conn) finish(cut bool) { c.once.Do(func() { c.done <- cut }) }

// end ends the answer as a server does that has no more to say, and cut as one
// that breaks.
func (c *conn) end() { c.finish(false) }
func (c *conn) cut() { c.finish(true) }

// open begins an event stream.
func (c *conn) open() *conn {
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.WriteHeader(http.StatusOK)
	c.flush()
	return c
}

// answer sends something else than an event stream; header has names and values.
func (c *conn) answer(status int, body string, header ...string) {
	for i := 0; i < len(header); i += 2 {
		c.w.Header().Set(header[i], header[i+1])
	}
	c.w.WriteHeader(status)
	io.WriteString(c.w, body)
	c.end()
}

func (c *conn) flush() { http.NewResponseController(c.w).Flush() }

// send sends pieces one after the other. A short pause between them makes it
// likely that they arrive one by one; nothing depends on it.
func (c *conn) send(pieces ...string) *conn {
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(time.Millisecond)
		}
		io.WriteString(c.w, piece)
		c.flush()
	}
	return c
}
