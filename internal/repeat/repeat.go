// Package repeat serves connections of publishers, whose requests are all alike but for
// their bodies and the query of their URL.
//
// net/http parses the head of each of them anew, and keeps a second goroutine at the
// connection to hear of a client that goes away. For a record of a hundred bytes that
// is a third of what a publish costs. So a connection that has had two requests which
// may be the first of many is taken over. From then on a head is compared with the
// first that was read here, byte by byte; only that one is parsed, by net/http. What is
// not the same is not for this package: the connection is given back to its
// http.Server, with the bytes that nobody has taken yet, and is served there for good.
//
// The handler of the http.Server is called for each request as it is there, with all
// that stands before ours.
package repeat

import (
	"context"
	"net"
	"net/http"
	"reflect"
	"sync"
)

// Conns are connections that were taken over. All methods may be called by many
// goroutines at once.
type Conns struct {
	running sync.WaitGroup // the goroutines of connections, and of returns

	mu       sync.Mutex
	conns    map[*conn]struct{}
	returns  map[*http.Server]*returns
	counts   Counts
	stopping bool
}

// Counts are numbers of connections.
type Counts struct {
	Open      int   // are taken over now
	Taken     int64 // were, since the beginning
	GivenBack int64 // of these, to their http.Server
}

// New returns Conns that run until Close.
func New() *Conns {
	return &Conns{conns: make(map[*conn]struct{}), returns: make(map[*http.Server]*returns)}
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
	if _, ok := c.(*net.TCPConn); !ok {
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
	if l == nil {
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
	c := newConn(cs, hs, nc, &like)
	c.ctx, c.cancel = context.WithCancel(context.WithValue(l.ctx, http.LocalAddrContextKey, nc.LocalAddr()))
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c.put(early)
	cs.start(c)
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
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.stopping {
		return nil, nil
	}
	return l, hs
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

// start has a connection served, unless there is to be none any more.
func (cs *Conns) start(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.stopping {
		c.close()
		return
	}
	cs.conns[c] = struct{}{}
	cs.counts.Taken++
	// Owned by cs: Close makes it end and joins it.
	cs.running.Go(c.serve)
}

// Counts returns what was counted.
func (cs *Conns) Counts() Counts {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	n := cs.counts
	n.Open = len(cs.conns)
	return n
}

// Stop closes the connections that wait for a request, and the others when what they
// have begun is answered. No more are taken over.
func (cs *Conns) Stop() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.stopping = true
	for c := range cs.conns {
		c.stop()
	}
}

// Close closes all connections, and returns when the last request that they had has
// been answered by its handler.
func (cs *Conns) Close() {
	cs.Stop()
	cs.mu.Lock()
	for c := range cs.conns {
		_ = c.nc.Close()
	}
	for _, b := range cs.returns {
		_ = b.Close()
	}
	cs.mu.Unlock()
	cs.running.Wait()
}

// left forgets a connection.
func (cs *Conns) left(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.conns, c)
}
