// Package wire watches connections of a listener and does harm to them on purpose. It
// is for the lab, where one wants to see each byte as it goes over the wire and what
// becomes of readers when connections are cut or stop: not for a server that matters.
//
// It knows nothing of HTTP.
package wire

import (
	"net"
	"sync"
	"time"
)

// Bounds of what a Recorder keeps for whoever is late in taking it.
const (
	keptBytes  = 4 << 20
	keptPieces = 8 << 10
)

// A Recorder is the log of all connections of its listeners, and can harm them. All
// methods may be called by many goroutines at once.
type Recorder struct {
	*Log
	now func() time.Time

	mu     sync.Mutex
	conns  map[uint64]*Conn
	last   uint64        // the newest connection
	stall  time.Time     // until then nothing is written
	turned chan struct{} // closed and replaced when stall is set
	closed bool
}

// NewRecorder returns a Recorder that takes the time from now.
func NewRecorder(now func() time.Time) *Recorder {
	return &Recorder{Log: NewLog(now, keptBytes, keptPieces), now: now, conns: map[uint64]*Conn{}, turned: make(chan struct{})}
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
	if r.closed {
		return
	}
	r.stall = r.now().Add(d)
	close(r.turned)
	r.turned = make(chan struct{})
}

// Close ends a stall, and every After. The connections stay.
func (r *Recorder) Close() {
	r.Stall(0)
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.Log.Close()
}

func (r *Recorder) record(c *Conn, dir Direction, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !c.exempt {
		r.Add(c.ID, dir, data)
	}
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
		left, turned := r.stall.Sub(r.now()), r.turned
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
		case <-turned:
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
