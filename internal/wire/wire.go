// Package wire watches connections of a listener and does harm to them on purpose. It
// is for the lab, where one wants to see each byte as it goes over the wire and what
// becomes of readers when connections are cut or stop: not for a server that matters.
//
// It knows nothing of HTTP.
package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// Bounds of what a Recorder keeps for whoever is late in taking it.
const (
	keptBytes  = 4 << 20
	keptPieces = 8 << 10
)

// A Direction is where bytes went.
type Direction string

// The directions, and what else befalls a connection.
const (
	In     Direction = "in"     // from the client
	Out    Direction = "out"    // to the client
	Closed Direction = "closed" // no bytes: the connection has ended
)

// A Piece is what one read or write of a connection moved.
type Piece struct {
	Number uint64 // of all pieces, from 1 on, without holes
	Conn   uint64
	At     time.Time
	Dir    Direction
	Data   []byte // not to be changed
}

// A Recorder keeps the newest pieces of all connections of its listeners. All methods
// may be called by many goroutines at once.
type Recorder struct {
	now func() time.Time

	mu     sync.Mutex
	conns  map[uint64]*Conn
	last   uint64 // the newest connection
	pieces []Piece
	bytes  int
	number uint64        // of the newest piece
	more   chan struct{} // closed and replaced with each piece
	stall  time.Time     // until then nothing is written
	closed bool
}

// NewRecorder returns a Recorder that takes the time from now.
func NewRecorder(now func() time.Time) *Recorder {
	return &Recorder{now: now, conns: map[uint64]*Conn{}, more: make(chan struct{})}
}

// Listen returns a listener whose connections are recorded.
func (r *Recorder) Listen(under net.Listener) net.Listener { return &listener{under, r} }

type listener struct {
	net.Listener
	recorder *Recorder
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := l.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	conn := &Conn{Conn: c, recorder: r, ID: r.last, ended: make(chan struct{})}
	r.conns[conn.ID] = conn
	return conn, nil
}

// After returns the pieces after the one with a number, as many as are kept, and waits
// for one if there is none. A number that the next piece does not follow says that some
// are gone. The error is that of ctx, or net.ErrClosed after Close.
func (r *Recorder) After(ctx context.Context, number uint64) ([]Piece, error) {
	for {
		r.mu.Lock()
		new := min(r.number-min(number, r.number), uint64(len(r.pieces)))
		pieces, more := r.pieces[uint64(len(r.pieces))-new:], r.more
		pieces = append([]Piece(nil), pieces...)
		closed := r.closed
		r.mu.Unlock()
		switch {
		case closed:
			return nil, net.ErrClosed
		case len(pieces) > 0:
			return pieces, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Number returns the number of the newest piece.
func (r *Recorder) Number() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// Cut closes all connections that are watched, as a network does that fails, and returns
// how many these were.
func (r *Recorder) Cut() int {
	r.mu.Lock()
	var conns []*Conn
	for _, c := range r.conns {
		if !c.exempt {
			conns = append(conns, c)
		}
	}
	r.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
	return len(conns)
}

// Stall keeps all connections that are watched from writing for a time. A later call
// takes the place of an earlier one; 0 ends it.
func (r *Recorder) Stall(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.stall = r.now().Add(d)
	}
	r.wake()
}

// Close ends a stall, and every After. The connections stay.
func (r *Recorder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.stall = true, time.Time{}
	r.wake()
}

// wake has all who wait look again. The caller holds mu.
func (r *Recorder) wake() {
	close(r.more)
	r.more = make(chan struct{})
}

func (r *Recorder) record(c *Conn, dir Direction, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.exempt {
		return
	}
	r.number++
	r.pieces = append(r.pieces, Piece{r.number, c.ID, r.now(), dir, append([]byte(nil), data...)})
	r.bytes += len(data)
	for len(r.pieces) > 1 && (r.bytes > keptBytes || len(r.pieces) > keptPieces) {
		r.bytes -= len(r.pieces[0].Data)
		r.pieces[0] = Piece{}
		r.pieces = r.pieces[1:]
	}
	r.wake()
}

// A Conn is a connection that is recorded.
type Conn struct {
	net.Conn
	ID uint64 // from 1 on

	recorder *Recorder
	closing  sync.Once
	ended    chan struct{} // closed by Close

	exempt bool // guarded by the recorder's mu
}

// Exempt takes a connection out of all this: one that carries what was recorded would
// record itself without end. What was recorded of it stays.
func (c *Conn) Exempt() {
	c.recorder.mu.Lock()
	defer c.recorder.mu.Unlock()
	c.exempt = true
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.recorder.record(c, In, p[:n])
	}
	return n, err
}

// Write implements net.Conn. While the recorder stalls it waits, also beyond a deadline,
// which it then meets.
func (c *Conn) Write(p []byte) (int, error) {
	c.waitStalled()
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.recorder.record(c, Out, p[:n])
	}
	return n, err
}

func (c *Conn) waitStalled() {
	r := c.recorder
	for {
		r.mu.Lock()
		left, more := r.stall.Sub(r.now()), r.more
		if c.exempt || r.stall.IsZero() {
			left = 0
		}
		r.mu.Unlock()
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-more:
		case <-c.ended:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		close(c.ended)
		c.recorder.record(c, Closed, nil)
		c.recorder.mu.Lock()
		delete(c.recorder.conns, c.ID)
		c.recorder.mu.Unlock()
	})
	return c.Conn.Close()
}

// reset closes the connection so that the client sees it break.
func (c *Conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
