package repeat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	mostRequest  = 16 << 10    // of head and body; what is larger is given back
	firstBuffer  = 4 << 10     // is enough for most
	patience     = time.Second // for the rest of a request; then it is given back
	leastRequest = 4           // who ends before has sent none, in net/http
	mostLineEnds = 4           // before a request, as in net/http
	deadlineStep = 8           // a deadline is moved when so much of it, as a share, has passed
)

// A conn is a connection that was taken over.
type conn struct {
	// Static after construction.
	cs     *Conns
	hs     *http.Server
	nc     *net.TCPConn
	remote string
	ctx    context.Context
	cancel context.CancelFunc
	idle   time.Duration // it may take for a request to begin; 0: for ever

	// Owned by serve.
	like       *http.Request // the last that hs has served; nil once there is a pattern
	buf        []byte
	begin, end int // what was read and is not taken
	pattern    *pattern
	answer     answer
	idleSet    time.Time // when the deadline of idle was set, zero if it is not

	mu       sync.Mutex
	waiting  bool // for a request to begin
	stopping bool
}

func newConn(cs *Conns, hs *http.Server, nc net.Conn, like *http.Request) *conn {
	return &conn{
		cs: cs, hs: hs, nc: nc.(*net.TCPConn), remote: nc.RemoteAddr().String(), like: like, idle: hs.IdleTimeout,
		buf: make([]byte, firstBuffer), answer: answer{header: make(http.Header)},
	}
}

// put appends bytes that were read before.
func (c *conn) put(b []byte) {
	c.buf = append(c.buf[:c.end], b...)
	c.end = len(c.buf)
	c.buf = c.buf[:cap(c.buf)]
}

// serve answers requests until there are no more, or there is one that is not for us.
func (c *conn) serve() {
	defer c.cs.left(c)
	for {
		r, err := c.next()
		switch {
		case err == errOther:
			_ = c.nc.SetReadDeadline(time.Time{})
			c.cancel()
			c.cs.giveBack(c.hs, c.nc, bytes.Clone(c.buf[c.begin:c.end]))
			return
		case err != nil || !c.handle(r):
			c.close()
			return
		}
	}
}

func (c *conn) close() {
	c.cancel()
	_ = c.nc.Close()
}

var errOther = errors.New("the request is not like those before")

var headEnd = []byte("\r\n\r\n")

// next returns the next request, which is whole. The error is errOther if it is not for
// us: then nothing of it is taken.
func (c *conn) next() (*request, error) {
	if c.begin == c.end {
		c.begin, c.end = 0, 0
	}
	for searched, skipped := 0, 0; ; {
		skipped += c.skipLineEnds(mostLineEnds - skipped)
		b := c.buf[c.begin:c.end]
		if i := bytes.Index(b[searched:], headEnd); i >= 0 {
			return c.take(searched + i + len(headEnd))
		}
		searched = max(0, len(b)-len(headEnd)+1)
		if err := c.read(); err != nil {
			return nil, err
		}
	}
}

// skipLineEnds skips what some clients send behind a body: "a server that is expecting to
// receive and parse a request-line SHOULD ignore at least one empty line (CRLF) received
// prior to the request-line" (RFC 9112, section 2.2). It returns how many bytes that was.
func (c *conn) skipLineEnds(most int) (n int) {
	for ; n < most && c.begin < c.end && (c.buf[c.begin] == '\r' || c.buf[c.begin] == '\n'); n++ {
		c.begin++
	}
	return n
}

// take returns the request whose head has n bytes, once its body has come.
func (c *conn) take(n int) (*request, error) {
	head := c.buf[c.begin : c.begin+n]
	if c.pattern == nil {
		p, ok := newPattern(head, c.like)
		if !ok {
			return nil, errOther
		}
		p.first = p.first.WithContext(c.ctx)
		p.first.RemoteAddr = c.remote
		c.pattern, c.like = p, nil
	}
	query, length, ok := c.pattern.match(head)
	if !ok || n+length > mostRequest {
		return nil, errOther
	}
	if c.end-c.begin < n+length {
		query = bytes.Clone(query) // what is read moves it
	}
	for c.end-c.begin < n+length {
		if err := c.read(); err != nil {
			return nil, err
		}
	}
	at := c.begin + n
	c.begin = at + length
	return c.pattern.request(query, c.buf[at:c.begin]), nil
}

// read reads what there is. For a request to begin it waits long, and else a moment.
func (c *conn) read() error {
	if err := c.makeRoom(); err != nil {
		return err
	}
	waiting := c.begin == c.end
	if !c.await(waiting) {
		return errStopping
	}
	n, err := c.nc.Read(c.buf[c.end:])
	c.end += n
	switch {
	case n > 0:
		return nil
	case !waiting && (errors.Is(err, os.ErrDeadlineExceeded) || c.end-c.begin >= leastRequest):
		return errOther // net/http has rules for who is slow, or stops half-way
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

var errStopping = errors.New("the server is stopping")

// makeRoom makes room for more of a request.
func (c *conn) makeRoom() error {
	switch {
	case c.end < len(c.buf):
	case c.begin > 0:
		c.end = copy(c.buf, c.buf[c.begin:c.end])
		c.begin = 0
	case len(c.buf) >= mostRequest:
		return errOther
	default:
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	return nil
}

// await sets the deadline of a read. It reports whether one may begin.
func (c *conn) await(begin bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting = begin; begin && c.stopping {
		return false
	}
	now := time.Now()
	switch {
	case !begin:
		_ = c.nc.SetReadDeadline(now.Add(patience))
		c.idleSet = time.Time{}
	case c.idle > 0 && now.Sub(c.idleSet) > c.idle/deadlineStep:
		_ = c.nc.SetReadDeadline(now.Add(c.idle))
		c.idleSet = now
	case c.idle == 0 && c.idleSet.IsZero():
		_ = c.nc.SetReadDeadline(time.Time{})
		c.idleSet = now
	}
	return true
}

// stop ends the connection if it waits for a request, and else behind the answer.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if c.waiting {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// handle answers a request, and reports whether there may be another.
func (c *conn) handle(r *request) bool {
	c.answer.reset()
	done := c.call(&r.Request)
	_ = r.body.Close() // the next request takes its place
	if !done {
		return false
	}
	c.mu.Lock()
	last := c.stopping || c.answer.closes()
	c.mu.Unlock()
	_, err := c.nc.Write(c.answer.bytes(time.Now(), last))
	return err == nil && !last
}

// call calls the handler. It reports whether it has come to its end: what panics ends
// its connection and no other, as in net/http.
func (c *conn) call(r *http.Request) (done bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			c.logf("http: panic serving %v: %v\n%s", c.remote, v, debug.Stack())
		}
	}()
	c.hs.Handler.ServeHTTP(&c.answer, r)
	return true
}

func (c *conn) logf(format string, args ...any) {
	if c.hs.ErrorLog != nil {
		c.hs.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}

// An Arrived is the body of a request that has come whole: to read it is to wait for
// nobody, and no time has to be set for that.
type Arrived interface {
	io.ReadCloser
	Arrived()
}

var _ Arrived = (*body)(nil)

// A body has come already.
type body struct {
	rest   []byte
	closed bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
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
	b.closed, b.rest = true, nil
	return nil
}

// Arrived implements Arrived.
func (b *body) Arrived() {}
