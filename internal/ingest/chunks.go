package ingest

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/leat-dev/leat/internal/journal"
)

// A chunk is as large as chunkBytes at the most, and is held back for no longer
// than chunkDelay.
const (
	chunkBytes = 64 << 10
	chunkDelay = 10 * time.Millisecond
)

// Chunks cuts the bytes of a body into records as they arrive. A record has
// 64 KiB, or MaxRecord if that is less, or what came within 10 ms of its first
// byte. Where it is cut follows the time and nothing else: text may be cut
// inside a character.
//
// To stop at such a moment takes a goroutine that reads. While the caller is
// busy with one chunk it reads on up to the next one and no further, so that
// the memory is that of two chunks. NewChunks starts it and Close joins it;
// Next and Close are for one goroutine at a time.
type Chunks struct {
	// Fixed after construction.
	body      Body
	limit     int           // of a chunk, in bytes
	interrupt func()        // nil: there is none
	news      chan struct{} // holds one: a chunk has begun or is full, or the body has stopped
	room      chan struct{} // holds one: bytes were taken
	quit      chan struct{} // closed by Close
	done      chan struct{} // closed at the end of the goroutine

	// Owned by the goroutine.
	in reader

	// Owned by the caller of Next and Close.
	timer  *time.Timer
	failed error // what Next ended with
	closed bool

	mu sync.Mutex // guards gathered
	gathered
}

// NewChunks returns the chunks of a body and begins to read it. Close must be
// called.
//
// interrupt is how the caller makes a Read of the body return that waits for
// bytes, for example by a read deadline in the past. After it has returned,
// each Read must end soon, one that is only about to begin too: a Reader that
// sets deadlines of its own must not set one after that. It may be nil if a
// Read never waits for long. Closing the body of a server's HTTP/1 request is no
// way: it waits for the Read.
func NewChunks(b Body, interrupt func()) *Chunks {
	c := &Chunks{
		body:      b,
		limit:     min(chunkBytes, b.MaxRecord),
		interrupt: interrupt,
		news:      make(chan struct{}, 1),
		room:      make(chan struct{}, 1),
		quit:      make(chan struct{}),
		done:      make(chan struct{}),
		in: reader{
			from:   b.Reader,
			advice: "Ask with HEAD where the stream ends now, and send what comes after that.",
		},
	}
	c.size = min(minBuffer, c.limit)
	if c.failed = b.checkEncoding(); c.failed != nil {
		close(c.done)
		return c
	}
	go c.gather() // owned by c; ends with the body, or by Close
	return c
}

// Next returns the next chunk: when it is full, when 10 ms have passed since
// its first byte arrived, or when the body has ended after it.
//
// The error is io.EOF at the end of the body, and a *leat.Error if the body
// stopped half-way. All that had arrived was returned before it.
func (c *Chunks) Next() (journal.Append, error) {
	for c.failed == nil {
		data, left := c.take()
		if len(data) > 0 {
			return c.body.append(data), nil
		}
		if c.failed == nil {
			c.wait(left)
		}
	}
	return journal.Append{}, c.failed
}

// Close ends the reading and waits until it has ended. If the body has not come
// to its end, it calls interrupt. After that Next returns what had arrived and
// then an error.
func (c *Chunks) Close() {
	if !c.closed {
		c.closed = true
		close(c.quit)
		c.mu.Lock()
		stopped := c.stop != nil
		c.mu.Unlock()
		if !stopped && c.failed == nil && c.interrupt != nil {
			c.interrupt()
		}
	}
	<-c.done
}

// gather reads the body until it stops or c is closed.
func (c *Chunks) gather() {
	defer close(c.done)
	for {
		free := c.free()
		if free == nil {
			c.arrived(0, io.ErrClosedPipe)
			return
		}
		n, err := c.in.read(free)
		c.arrived(n, err)
		if err != nil {
			return
		}
	}
}

// free returns where the next bytes go. It waits while a whole chunk has not
// been taken, and returns nil once c is closed.
func (c *Chunks) free() []byte {
	for {
		c.mu.Lock()
		free := c.makeRoom(c.limit)
		c.mu.Unlock()
		select {
		case <-c.quit:
			return nil
		default:
		}
		if len(free) > 0 {
			return free
		}
		select {
		case <-c.quit:
		case <-c.room:
		}
	}
}

// arrived notes what a read has brought, and tells Next if it waits for that.
func (c *Chunks) arrived(n int, err error) {
	c.mu.Lock()
	begins := n > 0 && len(c.rest()) == 0
	if begins {
		c.since = time.Now()
	}
	c.buf = c.buf[:len(c.buf)+n]
	c.stop = err
	full := len(c.rest()) == c.limit
	c.mu.Unlock()
	if begins || full || err != nil {
		signal(c.news)
	}
}

// take returns the next chunk if it is due, or how long that will take, 0 if
// nobody knows. At the end of the body it sets c.failed.
func (c *Chunks) take() (data []byte, left time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.rest())
	switch {
	case n == 0 && c.stop == io.EOF:
		c.failed = io.EOF
		return nil, 0
	case n == 0 && c.stop != nil:
		c.failed = c.in.fault(c.stop) // the goroutine has left it
		return nil, 0
	case n == 0:
		return nil, 0
	case n < c.limit && c.stop == nil:
		if left := time.Until(c.since.Add(chunkDelay)); left > 0 {
			return nil, left
		}
	}
	data = c.cut(c.limit)
	signal(c.room)
	return data, 0
}

// wait waits for news, but no longer than left if that is not 0.
func (c *Chunks) wait(left time.Duration) {
	if left == 0 {
		<-c.news
		return
	}
	if c.timer == nil {
		c.timer = time.NewTimer(left)
	} else {
		c.timer.Reset(left)
	}
	select {
	case <-c.news:
		c.timer.Stop()
	case <-c.timer.C:
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it has been told and has not looked yet
	}
}

// gathered is what has arrived and was not taken: buf[taken:], never more than
// one chunk. A read that is under way writes to what is behind len(buf).
type gathered struct {
	buf   []byte
	taken int
	size  int       // the capacity that buf is to have, unless more has come
	since time.Time // when the first byte of buf[taken:] arrived
	stop  error     // what the reader ended with
}

func (g *gathered) rest() []byte { return g.buf[g.taken:] }

// makeRoom returns where the next read writes to, nothing while a chunk is
// full. It must not be called during a read. Each byte is moved twice at most:
// to the front, when those before it were taken, and into the larger buffer.
func (g *gathered) makeRoom(limit int) []byte {
	rest := g.rest()
	switch {
	case len(rest) == 0 && cap(g.buf) != g.size:
		g.buf, g.taken = make([]byte, 0, g.size), 0
	case len(rest) == 0:
		g.buf, g.taken = g.buf[:0], 0
	case g.taken > 0 && len(rest) < g.size && g.size < cap(g.buf): // little comes
		g.buf, g.taken = append(make([]byte, 0, g.size), rest...), 0
	case len(g.buf) < cap(g.buf): // there is room behind
	case g.taken > 0:
		g.buf, g.taken = g.buf[:copy(g.buf, rest)], 0
	case cap(g.buf) < limit:
		g.buf = append(make([]byte, 0, limit), rest...)
	}
	return g.buf[len(g.buf):cap(g.buf)]
}

// cut takes all there is. The result is the caller's for good: a copy, unless
// it fills the whole buffer, for no read can be under way then.
func (g *gathered) cut(limit int) []byte {
	rest := g.rest()
	g.size = limit
	if len(rest) <= minBuffer {
		g.size = min(minBuffer, limit)
	}
	if len(rest) == limit {
		g.buf, g.taken = nil, 0
		return rest
	}
	g.taken = len(g.buf)
	return bytes.Clone(rest)
}
