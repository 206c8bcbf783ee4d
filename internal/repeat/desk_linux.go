package repeat

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leat-dev/leat/internal/epoll"
)

const haveDesks = true

// sweepStep is how often a desk looks for connections that have waited too long, as a
// share of the time that they have.
const sweepStep = 8

// A desk is one goroutine and its connections. One that waits for a request costs no
// goroutine, no timer and no buffer.
type desk struct {
	// Static after construction.
	cs      *Conns
	watch   *epoll.Watch
	began   time.Time
	open    atomic.Int64
	woken   chan struct{} // of capacity 1: ends a sleep
	jobs    chan job      // closed with the desk
	waiting atomic.Int32  // goroutines, for jobs

	// Owned by run.
	conns   map[int32]*conn // by descriptor
	number  int32           // of the last that was admitted
	buf     []byte          // what is being looked at
	spare   []*answer
	now     time.Duration // since began
	alarm   *time.Timer   // ends a sleep
	due     time.Duration // when it does; 0: it does not
	again   []*conn       // had their turn, and have more
	parts   int           // connections with something in rest
	idle    time.Duration // the shortest that one has had; 0: none
	goodbye bool          // answers are the last

	mu       sync.Mutex
	arrived  []*conn
	finished []*answer
	sleeping bool
	stopping bool
	closed   bool
	ended    bool // nobody looks any more
}

func newDesk(cs *Conns) (*desk, error) {
	w, err := epoll.NewWatch()
	if err != nil {
		return nil, err
	}
	d := &desk{
		cs: cs, watch: w, began: time.Now(), woken: make(chan struct{}, 1), jobs: make(chan job), alarm: time.NewTimer(time.Hour),
		conns: make(map[int32]*conn), buf: make([]byte, mostRequest),
	}
	d.alarm.Stop()
	// Owned by cs: Close ends and joins them.
	cs.running.Go(d.run)
	cs.running.Go(w.Run)
	return d, nil
}

// take takes a connection over, of which early has been read. Only its descriptor is
// kept: to give it back another net.Conn is made, and the poller of the runtime need
// not look at it until then.
func (cs *Conns) take(ctx context.Context, hs *http.Server, nc *net.TCPConn, like *http.Request, early []byte) {
	fd, err := epoll.Duplicate(nc)
	if err != nil {
		cs.giveBack(hs, nc, bytes.Clone(early))
		return
	}
	c := &conn{
		desk: cs.nextDesk(),
		hs:   hs, remote: nc.RemoteAddr().String(), like: like, idle: hs.IdleTimeout, fd: int32(fd), rest: bytes.Clone(early),
	}
	c.ctx, c.cancel = context.WithCancel(context.WithValue(ctx, http.LocalAddrContextKey, nc.LocalAddr()))
	_ = nc.Close()
	c.desk.arrive(c)
}

// arrive takes a connection, unless there are to be no more.
func (d *desk) arrive(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping || d.closed {
		c.cancel()
		_ = unix.Close(int(c.fd))
		return
	}
	d.open.Add(1)
	d.cs.taken.Add(1)
	d.arrived = append(d.arrived, c)
	d.wake()
}

// finish takes an answer whose handler is done. It never waits.
func (d *desk) finish(a *answer) {
	d.mu.Lock()
	ended := d.ended
	if !ended {
		d.finished = append(d.finished, a)
		d.wake()
	}
	d.mu.Unlock()
	if ended {
		a.end()
	}
}

// end calls who wants to hear that an answer is over.
func (a *answer) end() {
	if a.over != nil {
		a.over()
	}
}

func (d *desk) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopping = true
	d.wake()
}

func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.wake()
}

// wake ends the desk's sleep. The caller holds mu.
func (d *desk) wake() {
	if d.sleeping {
		d.sleeping = false
		d.woken <- struct{}{} // there is room: a desk that goes to sleep has emptied it
	}
}

// run serves until the desk is closed. It waits nowhere but in sleep.
func (d *desk) run() {
	var arrived []*conn
	var finished []*answer
	for {
		events := d.sleep()
		d.now = time.Since(d.began)
		if events != nil {
			for _, e := range events {
				d.notice(e)
			}
			d.watch.Taken <- struct{}{}
		}
		d.mu.Lock()
		arrived, d.arrived = d.arrived, arrived[:0]
		finished, d.finished = d.finished, finished[:0]
		stopping, closed := d.stopping, d.closed
		d.mu.Unlock()
		for i, c := range arrived {
			arrived[i] = nil
			d.admit(c)
		}
		for i, a := range finished {
			finished[i] = nil
			d.settle(a)
		}
		again := d.again
		d.again = nil
		for _, c := range again {
			d.read(c)
		}
		if closed {
			d.end()
			return
		}
		if stopping && !d.goodbye {
			d.sayGoodbye()
		}
		if d.due > 0 && d.now >= d.due {
			d.due = 0
			d.sweep()
		}
		d.setAlarm()
	}
}

// sleep returns when there is something to do, with the events of the watch if it is
// those. They must be given back.
func (d *desk) sleep() []unix.EpollEvent {
	d.mu.Lock()
	busy := len(d.arrived)+len(d.finished)+len(d.again) > 0 || d.closed || d.stopping && !d.goodbye
	d.sleeping = !busy
	d.mu.Unlock()
	if busy {
		select {
		case events := <-d.watch.Events:
			return events
		default:
			return nil
		}
	}
	var events []unix.EpollEvent
	select {
	case <-d.woken:
		return nil
	case events = <-d.watch.Events:
	case <-d.alarm.C:
	}
	d.mu.Lock()
	d.sleeping = false
	select {
	case <-d.woken: // for something else than what ended the sleep
	default:
	}
	d.mu.Unlock()
	return events
}

// setAlarm sees to it that connections are looked at that wait too long.
func (d *desk) setAlarm() {
	every := d.idle / sweepStep
	if d.parts > 0 && (every == 0 || every > patience/sweepStep) {
		every = patience / sweepStep
	}
	if every > 0 && len(d.conns) > 0 && (d.due == 0 || d.now+every < d.due) {
		d.due = d.now + every
		d.alarm.Reset(every)
	}
}

// sweep ends what has waited too long.
func (d *desk) sweep() {
	for _, c := range d.conns {
		waits := d.now - c.since
		switch {
		case c.busy:
		case len(c.rest) > 0 && waits > patience:
			d.giveBack(c, c.rest)
		case len(c.rest) == 0 && c.idle > 0 && waits > c.idle:
			d.drop(c)
		}
	}
}

// sayGoodbye closes the connections that wait for a request, and has others end with their
// answer.
func (d *desk) sayGoodbye() {
	d.goodbye = true
	for _, c := range d.conns {
		if !c.busy && len(c.rest) == 0 {
			d.drop(c)
		}
	}
}

// end closes all connections.
func (d *desk) end() {
	for _, c := range d.conns {
		d.drop(c)
	}
	d.mu.Lock()
	d.ended = true
	left := d.finished
	d.mu.Unlock()
	for _, a := range left {
		a.end()
	}
	d.alarm.Stop()
	d.watch.Close()
	close(d.jobs)
}

// admit makes a connection one of the desk's.
func (d *desk) admit(c *conn) {
	d.number++
	c.number, c.since = d.number, d.now
	d.conns[c.fd] = c
	early := c.rest
	c.rest = nil
	d.keep(c, early)
	if c.idle > 0 && (d.idle == 0 || c.idle < d.idle) {
		d.idle = c.idle
	}
	if d.watch.Add(c.fd, c.number, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLPRI) != nil {
		d.giveBack(c, c.rest)
		return
	}
	d.read(c)
}

// leave forgets a connection, and leaves its descriptor to the caller.
func (d *desk) leave(c *conn) (fd int) {
	d.keep(c, nil)
	d.watch.Remove(c.fd)
	delete(d.conns, c.fd)
	fd, c.fd = int(c.fd), -1
	c.cancel()
	d.open.Add(-1)
	return fd
}

// drop closes a connection.
func (d *desk) drop(c *conn) {
	if c.fd >= 0 {
		_ = unix.Close(d.leave(c))
	}
}
