// Package repeat serves connections of publishers, whose requests are all alike but for
// their bodies and the query of their URL.
//
// net/http parses the head of each of them anew, has a goroutine wait at the connection,
// and a second one hear of a client that goes away. For a record of a hundred bytes that
// is half of what a publish costs. So a connection that has had two requests which may be
// the first of many is taken over by a desk, which serves many with one goroutine. From
// then on a head is compared with the first that was read here, byte by byte; only that
// one is parsed, by net/http. What is not the same is not for this package: the connection
// is given back to its http.Server, with the bytes that nobody has taken yet, and is
// served there for good.
//
// The handler of the http.Server is called for each request as it is there, with all
// that stands before ours. A handler that is known not to wait is called by the desk
// itself; it puts off what it cannot answer at once (see PutOff). Others have a goroutine
// for each request.
//
// There are desks on Linux only. Elsewhere nothing is taken over.
package repeat

import (
	"context"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
)

// Conns are connections that were taken over. All methods may be called by many
// goroutines at once.
type Conns struct {
	// Static after New.
	want   int // desks
	prompt func(http.Handler, *http.Request) bool

	running   sync.WaitGroup // the goroutines of desks, of requests and of returns
	returning sync.Mutex     // held by who makes a net.Conn again
	taken     atomic.Int64
	givenBack atomic.Int64

	mu       sync.Mutex
	desks    []*desk
	next     int // gets the next connection
	returns  map[*http.Server]*returns
	stopping bool
}

// Counts are numbers of connections.
type Counts struct {
	Open      int   // are taken over now
	Taken     int64 // were, since the beginning
	GivenBack int64 // of these, to their http.Server
}

// New returns Conns that run until Close, with so many desks; 0 means one for every two
// processors, one at least. They are made when there is a connection for them.
//
// prompt reports whether a handler answers a request like the given one without waiting
// for anything, or puts its answer off. It is asked once for all requests of a connection
// that are alike, so query and body do not count. nil is for handlers that may all wait.
func New(desks int, prompt func(h http.Handler, like *http.Request) bool) *Conns {
	if desks <= 0 {
		desks = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if prompt == nil {
		prompt = func(http.Handler, *http.Request) bool { return false }
	}
	return &Conns{want: desks, prompt: prompt, returns: make(map[*http.Server]*returns)}
}

type lineKey struct{}

// A line is a connection that net/http serves, as its requests see it.
type line struct {
	ctx  context.Context
	like int // requests that may be the first of many. One goroutine at a time has it
}

// WithConn returns a context for the requests of a connection, which may be taken over
// if it is TCP without TLS. It is for http.Server.ConnContext, and the values that ctx
// has are those that the requests have which are served here.
func (cs *Conns) WithConn(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(*net.TCPConn); !ok || !haveDesks {
		return ctx
	}
	l := &line{}
	l.ctx = context.WithValue(ctx, lineKey{}, l)
	return l.ctx
}

// enough is how many requests a connection is to have had: who sends one or two gains
// nothing.
const enough = 2

// Serve answers a request with h. If more like it are to be expected, it takes the
// connection over behind the answer.
func (cs *Conns) Serve(w http.ResponseWriter, r *http.Request, h http.HandlerFunc) {
	l, hs := cs.mayTake(w, r)
	if hs == nil {
		h(w, r)
		return
	}
	like := *r
	like.Header = r.Header.Clone() // h may change it
	a := &answer{under: w, header: w.Header()}
	h(a, r)
	a.forward(w)
	if a.closes() {
		return
	}
	rc := http.NewResponseController(w)
	if rc.Flush() != nil { // which also takes what the handler has left of the body
		return
	}
	nc, rw, err := rc.Hijack()
	if err != nil {
		return
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	cs.take(l.ctx, hs, nc.(*net.TCPConn), &like, early)
}

// mayTake returns the line of a request whose connection is to be taken over, if that
// can be done, and the server that it is of.
func (cs *Conns) mayTake(w http.ResponseWriter, r *http.Request) (*line, *http.Server) {
	l, ok := r.Context().Value(lineKey{}).(*line)
	if !ok || !mayRepeat(r) {
		return nil, nil
	}
	if l.like++; l.like != enough {
		return nil, nil
	}
	hs, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	// An http.Server that limits the time of whole requests and answers shall do so.
	if !ok || hs.ReadTimeout > 0 || hs.WriteTimeout > 0 || hs.Handler == nil || !isPlain(w) {
		return nil, nil
	}
	if !cs.makeDesks() {
		return nil, nil
	}
	return l, hs
}

// makeDesks reports whether there are desks that take connections.
func (cs *Conns) makeDesks() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for !cs.stopping && len(cs.desks) < cs.want {
		d, err := newDesk(cs)
		if err != nil {
			return false // there are no descriptors left, and net/http can go on
		}
		cs.desks = append(cs.desks, d)
	}
	return !cs.stopping
}

// nextDesk returns the desk for a connection.
func (cs *Conns) nextDesk() *desk {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.next = (cs.next + 1) % len(cs.desks)
	return cs.desks[cs.next]
}

// mayRepeat reports whether a request may be the first of many.
func mayRepeat(r *http.Request) bool {
	if r.Method != http.MethodPost || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.TLS != nil || r.Close ||
		r.ContentLength <= 0 || r.ContentLength > mostRequest || len(r.TransferEncoding) > 0 {
		return false
	}
	for _, field := range [...]string{"Connection", "Expect", "Trailer", "Upgrade"} {
		if len(r.Header[field]) > 0 {
			return false
		}
	}
	return true
}

// isPlain reports whether w is the http.Server's own: what a middleware has put around it
// may have something to send when the request is over.
func isPlain(w http.ResponseWriter) bool { return reflect.TypeOf(w).String() == "*http.response" }

// Counts returns what was counted.
func (cs *Conns) Counts() Counts {
	n := Counts{Taken: cs.taken.Load(), GivenBack: cs.givenBack.Load()}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, d := range cs.desks {
		n.Open += int(d.open.Load())
	}
	return n
}

// Stop closes the connections that wait for a request, and the others when what they
// have begun is answered. No more are taken over.
func (cs *Conns) Stop() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.stopping = true
	for _, d := range cs.desks {
		d.stop()
	}
}

// Close closes all connections, and returns when the last request that they had has
// been answered by its handler. What was put off is to be finished before.
func (cs *Conns) Close() {
	cs.Stop()
	cs.mu.Lock()
	for _, d := range cs.desks {
		d.close()
	}
	for _, b := range cs.returns {
		_ = b.Close()
	}
	cs.mu.Unlock()
	cs.running.Wait()
}
