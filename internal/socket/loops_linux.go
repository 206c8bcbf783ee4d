package socket

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leat-dev/leat/internal/epoll"
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
		l, err := newLoop(o)
		if err != nil {
			ls.Close()
			return nil, err
		}
		ls.loops = append(ls.loops, l)
		// Owned by ls: Close ends and joins them.
		ls.running.Go(l.run)
		ls.running.Go(l.watch.Run)
	}
	return ls, nil
}

// NewConn returns a connection that can be woken already, and is started later or
// never.
func (ls *Loops) NewConn() *LoopConn {
	i := ls.next.Add(1) % uint32(len(ls.loops))
	return &LoopConn{loop: ls.loops[i], fd: -1}
}

// Len returns the number of connections.
func (ls *Loops) Len() int {
	n := int64(0)
	for _, l := range ls.loops {
		n += l.open.Load()
	}
	return int(n)
}

// Sent returns what all connections were sent, those that have ended too.
func (ls *Loops) Sent() (all Sent) {
	for _, l := range ls.loops {
		n := l.sent.load()
		all.Records += n.Records
		all.Bytes += n.Bytes
	}
	return all
}

// Shutdown ends every connection with the farewell of its Source, as that of
// Writer does, and connections that begin later at once. The channel is closed when
// there are none left: a client that does not take its farewell keeps its
// connection until the stall timeout, or Close. It may be called again, to wait for
// connections that began after the first call.
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

// A loop is one goroutine and its connections.
type loop struct {
	// Static after construction.
	watch    *epoll.Watch
	stall    time.Duration
	panicked func(any, []byte)
	began    time.Time
	open     atomic.Int64
	sent     sum           // what scratch counts, as of the last round
	woken    chan struct{} // of capacity 1: ends a sleep

	// Owned by run.
	alarm   *time.Timer         // ends a sleep
	due     time.Duration       // when it does, since began; 0: it does not
	conns   map[int32]*LoopConn // by descriptor
	number  int32               // of the last that was admitted
	wheel   wheel
	scratch scratch
	writes  writes
	now     time.Duration // since began
	bye     bool          // all connections are parting, and those that come

	mu       sync.Mutex
	ready    []*LoopConn
	sleeping bool
	stopping bool
	closed   bool
	spread   time.Duration
	left     []func() // called when no connection is left after stopping
}

func newLoop(o LoopOptions) (*loop, error) {
	w, err := epoll.NewWatch()
	if err != nil {
		return nil, err
	}
	l := &loop{
		watch: w, stall: o.StallTimeout, panicked: o.Panicked, began: time.Now(),
		woken: make(chan struct{}, 1), alarm: time.NewTimer(time.Hour),
		conns: make(map[int32]*LoopConn), scratch: newScratch(),
	}
	l.alarm.Stop()
	return l, nil
}

// start takes a connection, unless the loop is closed.
func (l *loop) start(c *LoopConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.open.Add(1)
	c.started.Store(true)
	// If it is in the list already it is looked at with what was set here.
	if !c.queued.Swap(true) {
		l.ready = append(l.ready, c)
		l.wake()
	}
	return true
}

// push puts c, which is not there, into the ready list.
func (l *loop) push(c *LoopConn) {
	l.mu.Lock()
	if !l.closed { // after that nobody looks
		l.ready = append(l.ready, c)
		l.wake()
	}
	l.mu.Unlock()
}

// wake ends the loop's sleep. The caller holds mu.
func (l *loop) wake() {
	if l.sleeping {
		l.sleeping = false
		l.woken <- struct{}{} // there is room: a loop that goes to sleep has emptied it
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

// run serves until the loop is closed. It waits nowhere but in sleep, and never
// for a reader: what a Source has to bring first wakes the connection later.
func (l *loop) run() {
	var ready []*LoopConn
	for {
		events := l.sleep()
		l.now = time.Since(l.began)
		if events != nil {
			for _, e := range events {
				l.notice(e)
			}
			l.watch.Taken <- struct{}{}
		}
		var closed, stopping bool
		ready, closed, stopping = l.takeReady(ready)
		for i, c := range ready {
			ready[i] = nil
			c.queued.Store(false) // first: what comes from here on is looked for again
			if c.started.Load() {
				l.serve(c)
			}
		}
		if closed {
			l.end()
			return
		}
		if stopping && !l.bye {
			l.sayFarewell()
		}
		l.wheel.turn(l.now, l.look)
		l.sent.store(l.scratch.sent)
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

// sleep returns when there is something to do, with the events of epoll if it is those.
// They must be given back.
func (l *loop) sleep() []unix.EpollEvent {
	if l.busy() {
		select {
		case events := <-l.watch.Events:
			return events
		default:
			return nil
		}
	}
	// An alarm that comes too early does no harm, and is not set again for each sleep.
	if wait, ok := l.wheel.wait(time.Since(l.began)); ok {
		if due := time.Since(l.began) + wait; l.due == 0 || due < l.due {
			l.due = due
			l.alarm.Reset(wait)
		}
	}
	select {
	case <-l.woken:
	case events := <-l.watch.Events:
		return events
	case <-l.alarm.C:
		l.due = 0
	}
	return nil
}

// busy reports whether there is something to do at once. If not, wake ends the sleep
// that is to follow.
func (l *loop) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) > 0 || l.closed || l.stopping && (!l.bye || l.left != nil && l.open.Load() == 0) {
		return true
	}
	l.sleeping = true
	return false
}

func (l *loop) takeReady(ready []*LoopConn) (_ []*LoopConn, closed, stopping bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sleeping = false
	select {
	case <-l.woken: // for something else than what ended the sleep
	default:
	}
	l.scratch.spread = l.spread
	ready, l.ready = l.ready, ready[:0]
	return ready, l.closed, l.stopping
}

// notice takes an event of epoll. It may be about a connection that was dropped after the
// watch had got it, and whose descriptor another has since: the number tells them apart.
func (l *loop) notice(e unix.EpollEvent) {
	c := l.conns[e.Fd]
	switch {
	case c == nil || c.number != e.Pad:
	case e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		why := ReasonGone
		if c.waits && timedOut(int(c.fd)) {
			why = ReasonStalled // the system was the first to notice
		}
		l.drop(c, why)
	default:
		// A client that sends no more gets what is due. If it has gone
		// altogether, the answer to that says so.
		c.leaving = c.leaving || e.Events&unix.EPOLLRDHUP != 0
		if c.waits || c.leaving {
			l.serve(c)
		}
	}
}

// serve writes what a connection is due.
func (l *loop) serve(c *LoopConn) {
	if c.fd < 0 {
		return // it has ended, and was woken before
	}
	defer l.recovered(c)
	if !c.admitted && !l.admit(c) {
		return
	}
	l.writes.fd = int(c.fd)
	state, err := c.pump.run(&l.writes, &l.scratch)
	if c.pump.moved {
		c.pump.moved = false
		c.lastWrite = l.now
	}
	if state != blocked {
		c.waits = false
	}
	switch state {
	case paused:
		if c.leaving {
			l.drop(c, ReasonGone)
		}
	case blocked:
		l.waitForRoom(c)
	case unready:
		c.tookTurn()
		c.Wake() // behind those that are ready
	case ended:
		l.drop(c, ReasonEnded)
	case cut:
		l.drop(c, ReasonCut)
	case failed:
		l.drop(c, reasonOf(err))
	}
}

// recovered ends a connection whose Source or Done has panicked, if anybody wants to
// hear of it; else the process ends. It is to be deferred.
func (l *loop) recovered(c *LoopConn) {
	if l.panicked == nil {
		return
	}
	if v := recover(); v != nil {
		l.panicked(v, debug.Stack())
		l.drop(c, ReasonBroken)
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
	c.pump.parting = l.bye
	l.number++
	c.number = l.number
	l.conns[c.fd] = c
	l.wheel.add(c, l.now+c.heartbeat)
	c.holdUnsent(writeSize)
	// EPOLLOUT comes after a write that found no room, and need not be asked for each time.
	err := l.watch.Add(c.fd, c.number, unix.EPOLLOUT|unix.EPOLLRDHUP)
	if err != nil {
		l.drop(c, ReasonBroken)
	}
	return err == nil
}

// waitForRoom notes that a connection waits for room: from now on it is the stall
// that is timed.
func (l *loop) waitForRoom(c *LoopConn) {
	if c.waits {
		return
	}
	c.waits, c.unacked = true, 0
	c.lastWrite = l.now
	if l.stall > 0 && l.stall/4 < c.heartbeat {
		l.wheel.remove(c)
		l.wheel.add(c, l.now+l.stall/4)
	}
}

// look is what the wheel does with a connection whose time has come: it has been
// silent, or has had no room, for long.
func (l *loop) look(c *LoopConn) {
	defer l.recovered(c)
	limit, soon := c.heartbeat, c.heartbeat
	if c.waits {
		l.seeProgress(c)
		limit, soon = l.stall, min(c.heartbeat, l.stall/4)
	}
	quiet := l.now - c.lastWrite
	switch {
	case c.waits && c.pump.source.(Ender).Late():
		l.drop(c, ReasonSlow)
	case limit > 0 && quiet < limit:
		// Once it has room again it is silence that is timed.
		l.wheel.add(c, min(c.lastWrite+limit, l.now+soon))
	case c.waits && limit > 0:
		l.drop(c, ReasonStalled)
	default:
		l.wheel.add(c, l.now+c.heartbeat)
		if !c.waits && c.pump.between() {
			c.pump.send(c.pump.source.Heartbeat())
			l.serve(c)
		}
	}
}

// seeProgress finds out whether the client of a connection that waits for room has
// acknowledged something since this was last looked at. That is what counts: there is
// room again only after it has taken tens of kilobytes.
func (l *loop) seeProgress(c *LoopConn) {
	n, err := unacked(int(c.fd))
	if err == nil && (c.unacked == 0 || n < c.unacked) {
		c.lastWrite = l.now
	}
	c.unacked = n
}

// sayFarewell has all connections part, and those that come.
func (l *loop) sayFarewell() {
	l.bye = true
	for _, c := range l.conns {
		c.pump.parting = true
		if !c.waits {
			l.serve(c)
		}
	}
}

// drop closes a connection.
func (l *loop) drop(c *LoopConn, why Reason) {
	if c.fd < 0 {
		return
	}
	switch {
	case why != ReasonEnded && why != ReasonCut:
	case c.pump.slow:
		why = ReasonSlow
	case l.bye && c.pump.parting:
		why = ReasonShutdown
	}
	delete(l.conns, c.fd)
	l.wheel.remove(c)
	if c.admitted {
		l.watch.Remove(c.fd)
	}
	if why == ReasonEnded || why == ReasonCut || why == ReasonShutdown || why == ReasonSlow {
		epoll.Discard(int(c.fd)) // what was written arrives
	}
	_ = unix.Close(int(c.fd))
	c.fd = -1
	source := c.pump.source.(Ender) // as Start was given it
	c.pump = pump{}
	defer l.open.Add(-1)
	defer l.recovered(c)
	source.Done(why)
}

// end closes what is left. Nothing starts any more.
func (l *loop) end() {
	for _, c := range l.conns {
		l.drop(c, ReasonShutdown)
	}
	l.mu.Lock()
	l.ready = nil
	l.mu.Unlock()
	l.tellLeft()
	l.alarm.Stop()
	l.watch.Close()
}
