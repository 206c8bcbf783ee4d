package socket

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Loops write to connections that were taken over from an HTTP server, many with
// one goroutine: a connection that has nothing to send or no room costs no
// goroutine, no timer and no buffer. All methods may be called by many goroutines
// at once.
type Loops struct {
	// Static after construction.
	loops   []*loop
	running sync.WaitGroup

	next atomic.Uint32 // the loop that gets the next connection
}

// NewLoops returns Loops that run until Close. The error is that of a system that
// has no descriptors left.
func NewLoops(o LoopOptions) (*Loops, error) {
	if o.Loops <= 0 {
		o.Loops = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = time.Minute
	}
	ls := &Loops{}
	for range o.Loops {
		l, err := newLoop(o.StallTimeout)
		if err != nil {
			ls.Close()
			return nil, err
		}
		ls.loops = append(ls.loops, l)
		// Owned by ls: Close ends and joins it.
		ls.running.Go(l.run)
	}
	return ls, nil
}

// NewConn returns a connection that can be woken already, and is started later or
// never.
func (ls *Loops) NewConn() *LoopConn {
	i := ls.next.Add(1)
	return &LoopConn{loop: ls.loops[int(i)%len(ls.loops)], fd: -1}
}

// Len returns the number of connections.
func (ls *Loops) Len() int {
	n := int64(0)
	for _, l := range ls.loops {
		n += l.open.Load()
	}
	return int(n)
}

// Shutdown ends every connection with the farewell of its Source, as that of
// Writer does, and connections that begin later at once. The channel is closed when
// there are none left: a client that does not take its farewell keeps its
// connection until the stall timeout, or Close.
func (ls *Loops) Shutdown(spread time.Duration) <-chan struct{} {
	done := make(chan struct{})
	var left sync.WaitGroup
	for _, l := range ls.loops {
		left.Add(1)
		l.stop(spread, left.Done)
	}
	// Ends with the last connection: Close leaves none.
	go func() { left.Wait(); close(done) }()
	return done
}

// Close closes all connections and ends the loops.
func (ls *Loops) Close() {
	for _, l := range ls.loops {
		l.close()
	}
	ls.running.Wait()
}

// A LoopConn is a connection of a loop. It is the Waker of its reader.
type LoopConn struct {
	// Static after Start, which comes before the loop looks at them.
	loop      *loop
	fd        int
	heartbeat time.Duration
	done      func(Reason)

	started atomic.Bool
	queued  atomic.Bool // in the loop's ready list

	// Owned by the loop.
	pump         pump
	admitted     bool // known to epoll and to the wheel
	waitsOut     bool // for room
	lastWrite    time.Duration
	place        int // in the wheel
	older, newer *LoopConn
}

// Start begins to serve a connection. It must be called once.
func (c *LoopConn) Start(t Taken) {
	c.fd, c.heartbeat, c.done = t.FD, t.Heartbeat, t.Done
	c.pump.source = t.Source
	c.pump.begin(t.Head, t.Block)
	if !c.loop.accept() {
		_ = unix.Close(c.fd)
		c.done(ReasonShutdown)
		return
	}
	c.started.Store(true)
	c.Wake()
}

// Wake has the loop look at the connection. It never waits.
func (c *LoopConn) Wake() {
	if !c.queued.Swap(true) {
		c.loop.push(c)
	}
}

// A loop is one goroutine and its connections.
type loop struct {
	// Static after construction.
	epoll, event int // descriptors
	stall        time.Duration
	began        time.Time
	open         atomic.Int64

	// Owned by run.
	conns   map[int32]*LoopConn
	wheel   wheel
	scratch scratch
	now     time.Duration // since began
	bye     bool          // the farewells have been said

	mu       sync.Mutex
	ready    []*LoopConn
	sleeping bool
	stopping bool
	closed   bool
	spread   time.Duration
	left     []func() // called when no connection is left after stopping
}

func newLoop(stall time.Duration) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)})
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(epoll))
	}
	l := &loop{epoll: epoll, event: event, stall: stall, began: time.Now(), conns: make(map[int32]*LoopConn)}
	l.scratch.bufs = make([][]byte, 0, mostBufs+2)
	return l, nil
}

// accept counts a connection that is to come, unless the loop is closed.
func (l *loop) accept() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.open.Add(1)
	}
	return !l.closed
}

// push puts c, which is not there, into the ready list.
func (l *loop) push(c *LoopConn) {
	l.mu.Lock()
	l.ready = append(l.ready, c)
	l.wake()
	l.mu.Unlock()
}

// wake ends the loop's sleep. The caller holds mu.
func (l *loop) wake() {
	if l.sleeping {
		l.sleeping = false
		one := [8]byte{1}
		_, _ = unix.Write(l.event, one[:]) // it cannot be full: nobody else counts
	}
}

func (l *loop) stop(spread time.Duration, left func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		left()
		return
	}
	l.stopping, l.spread = true, spread
	l.left = append(l.left, left)
	l.wake()
}

func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// run serves until the loop is closed. It waits nowhere but in epoll, and never
// for a reader: what a Source has to bring first wakes the connection later.
func (l *loop) run() {
	events := make([]unix.EpollEvent, 256)
	var ready []*LoopConn
	for {
		n, err := unix.EpollWait(l.epoll, events, l.patience())
		if err != nil && err != unix.EINTR {
			n = 0 // nothing that could be done about it here
		}
		l.now = time.Since(l.began)
		for _, e := range events[:max(n, 0)] {
			l.notice(e)
		}
		var closed, stopping bool
		ready, closed, stopping = l.takeReady(ready)
		for i, c := range ready {
			ready[i] = nil
			c.queued.Store(false)
			if c.started.Load() {
				l.serve(c)
			}
		}
		if closed {
			l.end()
			return
		}
		if stopping {
			l.sayFarewell()
		}
		l.wheel.turn(l.now, l.look)
		if stopping && l.open.Load() == 0 {
			l.tellLeft()
		}
	}
}

// tellLeft tells that there is no connection left.
func (l *loop) tellLeft() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, left := range l.left {
		left()
	}
	l.left = nil
}

// patience returns how long to wait for something to happen, in milliseconds: not
// at all if a connection is ready, otherwise until the wheel turns.
func (l *loop) patience() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) > 0 || l.closed || l.stopping && (!l.bye || l.left != nil && l.open.Load() == 0) {
		return 0
	}
	l.sleeping = true
	if len(l.conns) == 0 {
		return -1
	}
	return int(l.wheel.wait(time.Since(l.began))/time.Millisecond) + 1
}

func (l *loop) takeReady(ready []*LoopConn) (_ []*LoopConn, closed, stopping bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sleeping = false
	ready, l.ready = l.ready, ready[:0]
	return ready, l.closed, l.stopping
}

// notice takes an event of epoll.
func (l *loop) notice(e unix.EpollEvent) {
	if e.Fd == int32(l.event) {
		var count [8]byte
		_, _ = unix.Read(l.event, count[:])
		return
	}
	c := l.conns[e.Fd]
	switch {
	case c == nil:
	case e.Events&(unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0:
		l.drop(c, ReasonGone)
	case e.Events&unix.EPOLLOUT != 0:
		l.serve(c)
	}
}

// serve writes what a connection is due.
func (l *loop) serve(c *LoopConn) {
	if c.fd < 0 {
		return // it has ended, and was woken before
	}
	if !c.admitted && !l.admit(c) {
		return
	}
	state, err := c.pump.run(descriptor(c.fd), &l.scratch)
	if c.pump.moved {
		c.pump.moved = false
		c.lastWrite = l.now
	}
	switch state {
	case paused:
		l.waitOut(c, false)
	case blocked:
		l.waitOut(c, true)
	case unready:
		c.Wake()
	case ended:
		l.drop(c, ReasonEnded)
	case cut:
		l.drop(c, ReasonCut)
	case failed:
		l.drop(c, reasonOf(err))
	}
}

// reasonOf names the end of a connection that cannot be written to.
func reasonOf(err error) Reason {
	switch err {
	case unix.EPIPE, unix.ECONNRESET, unix.ETIMEDOUT:
		return ReasonGone
	}
	return ReasonBroken
}

// admit makes a connection one of the loop's. It reports whether it could.
func (l *loop) admit(c *LoopConn) bool {
	c.admitted = true
	c.lastWrite = l.now
	l.conns[int32(c.fd)] = c
	l.wheel.add(c, l.now+c.heartbeat)
	// What the system holds for a client that does not read is not looked at
	// again: it is better off in the pages that all share.
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, writeSize)
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLRDHUP, Fd: int32(c.fd)})
	if err != nil {
		l.drop(c, ReasonBroken)
	}
	return err == nil
}

// waitOut has epoll tell, or not, when there is room.
func (l *loop) waitOut(c *LoopConn, wait bool) {
	if c.waitsOut == wait {
		return
	}
	c.waitsOut = wait
	events := uint32(unix.EPOLLRDHUP)
	if wait {
		events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)}); err != nil {
		l.drop(c, ReasonBroken)
	}
}

// look is what the wheel does with a connection whose time has come: it has been
// silent, or has had no room, for long.
func (l *loop) look(c *LoopConn) {
	quiet := l.now - c.lastWrite
	limit := c.heartbeat
	if c.waitsOut && l.stall > 0 {
		limit = l.stall
	}
	if quiet < limit {
		l.wheel.add(c, c.lastWrite+limit)
		return
	}
	switch {
	case c.waitsOut && l.stall > 0:
		l.drop(c, ReasonStalled)
		return
	case !c.waitsOut && c.pump.between():
		c.pump.send(c.pump.source.Heartbeat())
	}
	// The next look may come sooner than a heartbeat, for a connection that
	// has no room by then.
	l.wheel.add(c, l.now+c.heartbeat)
	l.serve(c)
}

// sayFarewell ends all connections, and those that come.
func (l *loop) sayFarewell() {
	l.bye = true
	for _, c := range l.conns {
		if c.pump.last {
			continue
		}
		var block []byte
		if c.pump.between() {
			block = c.pump.source.Farewell(farewellDelay(l.spread))
		}
		if len(block) == 0 {
			l.drop(c, ReasonShutdown)
			continue
		}
		c.pump.finish(block)
		l.serve(c)
	}
}

// drop closes a connection.
func (l *loop) drop(c *LoopConn, why Reason) {
	if c.fd < 0 {
		return
	}
	delete(l.conns, int32(c.fd))
	l.wheel.remove(c)
	_ = unix.Close(c.fd) // which takes it out of epoll
	c.fd = -1
	if c.pump.last && l.bye && why == ReasonEnded {
		why = ReasonShutdown
	}
	c.pump = pump{}
	c.done(why)
	l.open.Add(-1)
}

// end closes what is left.
func (l *loop) end() {
	for _, c := range l.conns {
		l.drop(c, ReasonShutdown)
	}
	l.mu.Lock()
	ready := l.ready
	l.ready = nil
	l.mu.Unlock()
	for _, c := range ready {
		if c.started.Load() {
			l.drop(c, ReasonShutdown)
		}
	}
	l.tellLeft()
	_ = unix.Close(l.event)
	_ = unix.Close(l.epoll)
}

// Duplicate returns a second descriptor of a connection, the caller's own.
func Duplicate(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(own uintptr) {
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(cerr, err); err != nil {
		return -1, err
	}
	return fd, nil
}

// A descriptor is a sink.
type descriptor int

func (d descriptor) writev(bufs [][]byte) (int, error) {
	for {
		n, err := d.write(bufs)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err != nil:
			return 0, err
		}
		size := 0
		for _, b := range bufs {
			size += len(b)
		}
		if n < size {
			return n, errWouldBlock
		}
		return n, nil
	}
}

func (d descriptor) write(bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return unix.Write(int(d), bufs[0])
	}
	return unix.Writev(int(d), bufs)
}
