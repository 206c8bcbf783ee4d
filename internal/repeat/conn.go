package repeat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

const (
	mostRequest  = 16 << 10    // of head and body; what is larger is given back
	patience     = time.Second // for the rest of a request; then it is given back
	leastRequest = 4           // who ends before has sent none, in net/http
	mostLineEnds = 4           // before a request, as in net/http
)

// A conn is a connection that was taken over: what it has sent, and which requests these
// are.
type conn struct {
	// Static after construction.
	desk   *desk
	hs     *http.Server
	remote string
	ctx    context.Context
	cancel context.CancelFunc
	idle   time.Duration // it may take for a request to begin; 0: for ever

	// Owned by the desk.
	fd      int32         // -1 from its end on
	number  int32         // of those of the desk
	like    *http.Request // the last that hs has served; nil once there is a pattern
	pattern *pattern
	prompt  bool          // the handler does not wait
	rest    []byte        // was read and is not taken, because it is not whole or has to wait
	skipped int           // line ends before the next request
	seen    int           // bytes of rest that its head does not end in
	busy    bool          // a request is being answered
	last    bool          // the connection ends behind it
	more    bool          // there may be something to read
	ending  bool          // it sends no more behind that
	out     []byte        // of an answer, for which there was no room
	since   time.Duration // when it began to wait for a request, or the one in rest began
}

// The reasons for which there is no request.
var (
	errMore  = errors.New("the request is not whole")
	errOther = errors.New("the request is not like those before")
)

var headEnd = []byte("\r\n\r\n")

// next returns the request that b begins with, and how many bytes have been taken: without
// a request those of line ends before it.
func (c *conn) next(b []byte) (r *request, taken int, err error) {
	taken = c.skipLineEnds(b)
	b = b[taken:]
	i := bytes.Index(b[min(c.seen, len(b)):], headEnd)
	if i < 0 {
		c.seen = max(0, len(b)-len(headEnd)+1)
		if len(b) >= mostRequest {
			return nil, taken, errOther
		}
		return nil, taken, errMore
	}
	n := c.seen + i + len(headEnd)
	head := b[:n]
	if c.pattern == nil && !c.learn(head) {
		return nil, taken, errOther
	}
	query, length, ok := c.pattern.match(head)
	switch {
	case !ok || n+length > mostRequest:
		return nil, taken, errOther
	case n+length > len(b):
		c.seen = n - len(headEnd)
		return nil, taken, errMore
	}
	c.skipped, c.seen = 0, 0
	return c.pattern.request(query, b[n:n+length]), taken + n + length, nil
}

// skipLineEnds skips what some clients send behind a body: "a server that is expecting to
// receive and parse a request-line SHOULD ignore at least one empty line (CRLF) received
// prior to the request-line" (RFC 9112, section 2.2). It returns how many bytes that was.
func (c *conn) skipLineEnds(b []byte) (n int) {
	for ; n < len(b) && c.skipped < mostLineEnds && (b[n] == '\r' || b[n] == '\n'); n++ {
		c.skipped++
	}
	return n
}

// learn makes the pattern from the first head.
func (c *conn) learn(head []byte) bool {
	p, ok := newPattern(head, c.like)
	if !ok {
		return false
	}
	p.first = p.first.WithContext(c.ctx)
	p.first.RemoteAddr = c.remote
	c.pattern, c.like = p, nil
	c.prompt = c.desk.cs.prompt(c.hs.Handler, p.first)
	return true
}

// call calls the handler. It reports whether it has come to its end: what panics ends
// its connection and no other, as in net/http.
func (c *conn) call(a *answer, r *request) (done bool) {
	defer func() {
		_ = r.body.Close() // the memory is another request's from here on
		if v := recover(); v != nil {
			c.panicked(v)
		}
	}()
	c.hs.Handler.ServeHTTP(a, &r.Request)
	return true
}

func (c *conn) panicked(v any) {
	if v == http.ErrAbortHandler {
		return
	}
	logf := log.Printf
	if c.hs.ErrorLog != nil {
		logf = c.hs.ErrorLog.Printf
	}
	logf("http: panic serving %v: %v\n%s", c.remote, v, debug.Stack())
}

// An Arrived is the body of a request that has come whole: to read it is to wait for
// nobody, and no time has to be set for that.
type Arrived interface {
	io.ReadCloser
	Arrived()
}

var _ Arrived = (*body)(nil)

// A body has come already. It may be read and closed by many goroutines, as that of
// net/http.
type body struct {
	mu     sync.Mutex
	rest   []byte
	closed bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case len(b.rest) == 0:
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.rest = true, nil
	return nil
}

// Arrived implements Arrived.
func (b *body) Arrived() {}
