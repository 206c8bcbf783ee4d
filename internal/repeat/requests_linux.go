package repeat

import (
	"bytes"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leat-dev/leat/internal/epoll"
)

// notice takes an event of epoll.
func (d *desk) notice(e unix.EpollEvent) {
	c := d.conns[e.Fd]
	if c == nil || c.number != e.Pad {
		return
	}
	// Behind these a read may bring less than there is: the end comes with the next one,
	// and what follows an urgent byte too.
	const short = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR | unix.EPOLLPRI
	c.more = c.more || e.Events&(unix.EPOLLIN|short) != 0
	c.ending = c.ending || e.Events&short != 0
	if len(c.out) > 0 {
		d.flush(c, c.out)
	}
	d.read(c)
}

// read takes what a connection has sent, request by request, until one waits for its
// answer or there is no more.
func (d *desk) read(c *conn) {
	if c.busy || c.fd < 0 {
		return
	}
	begin, end := 0, copy(d.buf, c.rest)
	fresh := end == 0 // what will be in rest has begun now
	d.keep(c, nil)
	for turn := 0; !c.busy && c.fd >= 0; {
		r, taken, err := c.next(d.buf[begin:end])
		begin += taken
		switch {
		case err == nil:
			fresh = true
			d.serve(c, r)
			continue
		case err == errOther:
			d.giveBack(c, d.buf[begin:end])
			return
		case c.more && turn == mostTurn:
			d.again = append(d.again, c)
			fallthrough
		case !c.more:
			d.keep(c, d.buf[begin:end])
			if fresh && begin < end {
				c.since = d.now
			}
			return
		}
		turn++
		begin, end = 0, copy(d.buf, d.buf[begin:end])
		n, err := c.receive(d.buf[end:])
		end += n
		switch {
		case n > 0 || err == unix.EAGAIN:
		case end >= leastRequest:
			d.giveBack(c, d.buf[:end]) // net/http has rules for who stops half-way
			return
		default:
			d.drop(c)
		}
	}
	if c.fd >= 0 {
		d.keep(c, d.buf[begin:end])
	}
}

// mostTurn bounds how often one connection is read before others have their turn.
const mostTurn = 4

// receive reads what there is. After less than there was room for there is no more until
// an event says so. It is package syscall that reads, as for net, so that the race detector
// takes what was sent for what came before.
func (c *conn) receive(p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(c.fd), p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			c.more = c.more && err != unix.EAGAIN
			return 0, err
		}
		c.more = n == len(p) || c.ending
		return n, nil
	}
}

// keep keeps what was read of a connection and is not taken.
func (d *desk) keep(c *conn, rest []byte) {
	switch had := len(c.rest) > 0; {
	case !had && len(rest) > 0:
		d.parts++
	case had && len(rest) == 0:
		d.parts--
	}
	c.rest = bytes.Clone(rest)
}

// serve has a request answered.
func (d *desk) serve(c *conn, r *request) {
	c.busy = true
	a := d.newAnswer(c)
	if c.prompt {
		a.prompt = true
		a.broken = !c.call(a, r)
		if !a.late {
			d.answer(a)
		} else if a.broken {
			d.drop(c) // what was put off comes to a connection that has ended
		}
		return
	}
	r.body.rest = bytes.Clone(r.body.rest)
	d.hand(job{a, r})
}

// A job is a request for a handler that may wait.
type job struct {
	a *answer
	r *request
}

// mostIdle bounds the goroutines that are kept for jobs to come: one that has run a
// handler before has a stack for it.
const mostIdle = 64

// hand hands a job to a goroutine that waits for one, or to a new one.
func (d *desk) hand(j job) {
	select {
	case d.jobs <- j:
	default:
		d.cs.running.Go(func() { d.work(j) })
	}
}

// work does a job and those that come then, until it is one too many that waits. Close
// waits for its handler.
func (d *desk) work(j job) {
	for {
		d.do(j)
		if d.waiting.Add(1) > mostIdle {
			d.waiting.Add(-1)
			return
		}
		var more bool
		j, more = <-d.jobs
		d.waiting.Add(-1)
		if !more {
			return
		}
	}
}

// do calls a handler, and has its answer sent, even if it ends its goroutine.
func (d *desk) do(j job) {
	defer d.finish(j.a)
	j.a.broken = true
	j.a.broken = !j.a.conn.call(j.a, j.r)
}

func (d *desk) newAnswer(c *conn) *answer {
	n := len(d.spare)
	if n == 0 {
		return &answer{header: make(http.Header), conn: c}
	}
	a := d.spare[n-1]
	d.spare = d.spare[:n-1]
	a.conn = c
	return a
}

// settle sends an answer whose handler is done, and goes on to the next request.
func (d *desk) settle(a *answer) {
	c := a.conn
	if a.write != nil {
		a.broken = !c.callWrite(a)
	}
	d.answer(a)
	d.read(c)
}

// callWrite has an answer written that was put off. It reports whether that came to its end.
func (c *conn) callWrite(a *answer) (done bool) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(v)
		}
	}()
	a.write()
	return true
}

// answer sends an answer.
func (d *desk) answer(a *answer) {
	c := a.conn
	switch {
	case c.fd < 0: // it was closed meanwhile
	case a.broken:
		d.drop(c)
	default:
		c.last = d.goodbye || a.closes()
		d.flush(c, a.bytes(time.Now(), c.last))
	}
	a.end()
	if len(d.spare) < mostSpare && !a.broken {
		a.reset()
		d.spare = append(d.spare, a)
	}
}

// mostSpare bounds the answers that are kept for those to come.
const mostSpare = 256

// flush sends what an answer has. What there is no room for is sent later, and until then
// no other request is served.
func (d *desk) flush(c *conn, b []byte) {
	for len(b) > 0 {
		n, err := syscall.Write(int(c.fd), b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			c.out = bytes.Clone(b)
			return
		case err != nil:
			d.drop(c)
			return
		default:
			b = b[n:]
		}
	}
	c.out, c.busy, c.since = nil, false, d.now
	if c.last || d.goodbye && len(c.rest) == 0 {
		epoll.Discard(int(c.fd)) // what was written arrives
		d.drop(c)
	}
}
