package socket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A peer is both ends of a connection of a loop.
type peer struct {
	t      testing.TB
	conn   *LoopConn
	script *script
	client *net.TCPConn
	ended  chan Reason
	late   func() bool
}

// dial returns a connection over loopback: a descriptor for a loop, and the client.
func dial(t testing.TB) (fd int, client *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if fd, err = Duplicate(s.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return fd, c.(*net.TCPConn)
}

func newLoops(t testing.TB, o LoopOptions) *Loops {
	t.Helper()
	if o.Loops == 0 {
		o.Loops = 1
	}
	ls, err := NewLoops(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ls.Close)
	return ls
}

// prepare makes a peer whose connection is not started yet.
func prepare(t testing.TB, ls *Loops) *peer {
	t.Helper()
	p := &peer{t: t, conn: ls.NewConn(), script: newScript(), ended: make(chan Reason, 2)}
	p.script.wake = p.conn.Wake
	return p
}

// ending makes a Source an Ender.
type ending struct {
	Source
	done func(Reason)
	late func() bool // nil: never
}

func (e ending) Done(r Reason) { e.done(r) }
func (e ending) Late() bool    { return e.late != nil && e.late() }

// start serves a Source over a peer's connection.
func (p *peer) start(src Source, heartbeat time.Duration) {
	p.t.Helper()
	var fd int
	fd, p.client = dial(p.t)
	p.take(fd, src, heartbeat)
}

// take serves a Source over a descriptor.
func (p *peer) take(fd int, src Source, heartbeat time.Duration) {
	p.conn.Start(Taken{
		FD: fd, Source: ending{src, func(r Reason) { p.ended <- r }, p.late},
		Head: []byte(wireHead), Block: []byte("<head>"), Heartbeat: heartbeat,
	})
}

func connect(t testing.TB, ls *Loops) *peer {
	t.Helper()
	p := prepare(t, ls)
	p.start(p.script, time.Hour)
	p.expect(wireHead + "6\r\n<head>\r\n")
	return p
}

// expect reads what has to come next.
func (p *peer) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.client, got)
	if string(got[:n]) != want {
		p.t.Fatalf("got %.100q, want %.100q; %v", got[:n], want, err)
	}
}

func chunk(s string) string { return string(appendChunk(nil, []byte(s))) }

// rest reads until the end of the connection, and returns what came with it.
func (p *peer) rest() (string, error) {
	b, err := io.ReadAll(p.client)
	return string(b), err
}

// reason waits for the end.
func (p *peer) reason() Reason {
	p.t.Helper()
	select {
	case r := <-p.ended:
		return r
	case <-time.After(30 * time.Second):
		p.t.Fatal("the connection does not end")
	}
	panic("unreachable")
}

func TestLoopReasons(t *testing.T) {
	const last = "0\r\n\r\n"
	for _, test := range []struct {
		name string
		do   func(ls *Loops, p *peer)
		want Reason
		sent string // what comes until the end, unless it is a reset
	}{
		{"the client leaves", func(_ *Loops, p *peer) { p.client.Close() }, ReasonGone, ""},
		{"the client's network resets", func(_ *Loops, p *peer) { p.client.SetLinger(0); p.client.Close() }, ReasonGone, ""},
		{"the client sends no more", func(_ *Loops, p *peer) { p.client.CloseWrite() }, ReasonGone, ""},
		{"all is sent", func(_ *Loops, p *peer) { p.script.add("a"); p.script.finish(End) }, ReasonEnded, chunk("a") + last},
		{"the source cannot go on", func(_ *Loops, p *peer) { p.script.finish(Cut) }, ReasonCut, ""},
		{"the reader is too slow", func(_ *Loops, p *peer) { p.script.add("a"); p.expect(chunk("a")); p.script.fallBehind() }, ReasonSlow, chunk("<bye 500ms>") + last},
		{"the server stops", func(ls *Loops, p *peer) { ls.Shutdown(0) }, ReasonShutdown, chunk("<bye 500ms>") + last},
		{"the server stops at once", func(ls *Loops, p *peer) { ls.Close() }, ReasonShutdown, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ls := newLoops(t, LoopOptions{})
			p := connect(t, ls)
			test.do(ls, p)
			if got := p.reason(); got != test.want {
				t.Errorf("reason %q, want %q", got, test.want)
			}
			if test.sent != "" {
				if got, err := p.rest(); got != test.sent && !(strings.Contains(test.sent, "bye") && strings.HasSuffix(got, last)) || err != nil {
					t.Errorf("sent %q, want %q; %v", got, test.sent, err)
				}
			}
			<-ls.Shutdown(0) // nothing is left
			if n := ls.Len(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
			select {
			case r := <-p.ended:
				t.Errorf("Done was called again: %s", r)
			default:
			}
			p.conn.Wake() // after its end, and after that of the loop
			ls.Close()
			p.conn.Wake()
		})
	}
}

// A client that sends no more, such as `nc -N`, gets what is due by then.
func TestLoopHalfClosedGetsWhatIsDue(t *testing.T) {
	p := prepare(t, newLoops(t, LoopOptions{}))
	data := strings.Repeat("x", 8<<20) // more than the system holds
	p.script.add(data)
	p.start(p.script, time.Hour)
	p.client.CloseWrite()
	got, err := p.rest()
	if want := wireHead + chunk("<head>") + chunk(data); got != want || err != nil {
		t.Errorf("got %d bytes, want %d; %v", len(got), len(want), err)
	}
	if r := p.reason(); r != ReasonGone {
		t.Errorf("reason %s", r)
	}
}

// A slow client gets every byte once, whatever the system took at a time.
func TestLoopSlowClient(t *testing.T) {
	p := connect(t, newLoops(t, LoopOptions{}))
	p.client.SetReadBuffer(64 << 10)
	var want strings.Builder
	for i := range 200 {
		text := strings.Repeat(strconv.Itoa(i)+",", 5000)
		p.script.add(text)
		want.WriteString(text)
	}
	p.script.finish(End)
	var wire bytes.Buffer
	wire.WriteString(wireHead)
	for buf := make([]byte, 10001); ; {
		n, err := p.client.Read(buf)
		wire.Write(buf[:n])
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if body, clean := decode(t, wire.Bytes()); body != want.String() || !clean {
		t.Errorf("got %d bytes, want %d, an end: %v", len(body), want.Len(), clean)
	}
}

// "How long a client may take nothing of what it is sent", to the tick, whether
// heartbeats are longer or shorter.
func TestLoopStall(t *testing.T) {
	const stall = time.Second
	for _, heartbeat := range []time.Duration{time.Hour, 500 * time.Millisecond} {
		p := prepare(t, newLoops(t, LoopOptions{StallTimeout: stall}))
		p.start(p.script, heartbeat)
		p.expect(wireHead + chunk("<head>"))
		began := time.Now()
		p.script.add(strings.Repeat("x", 16<<20))
		if r := p.reason(); r != ReasonStalled {
			t.Fatalf("reason %s", r)
		}
		if d := time.Since(began); d < stall || d > stall+10*tick {
			t.Errorf("heartbeat %v: cut after %v", heartbeat, d)
		}
	}
}

// What a client acknowledges is progress, although there is no room yet.
func TestLoopSeesProgress(t *testing.T) {
	ls := newLoops(t, LoopOptions{})
	l := ls.loops[0]
	ls.Close() // what is called here is the loop's
	fd, client := dial(t)
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 1<<20)
	for {
		if _, err := unix.Write(fd, junk); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	c := &LoopConn{loop: l, fd: int32(fd), waits: true}
	look := func(now time.Duration) time.Duration {
		l.now = now
		l.seeProgress(c)
		return c.lastWrite
	}
	// While the system moves what it can there is progress, and then there is none.
	now := time.Duration(1)
	for look(now) == now {
		time.Sleep(10 * time.Millisecond)
		now++
	}
	held := c.unacked
	for look(now) != now {
		if _, err := client.Read(junk[:64<<10]); err != nil || c.unacked == 0 {
			t.Fatalf("the client has taken what it was sent, and no progress was seen: %v", err)
		}
		now++
	}
	if c.unacked == 0 || c.unacked >= held {
		t.Errorf("progress with %d of %d bytes left", c.unacked, held)
	}
}

// A reader that takes nothing and is too far behind is not waited for: the wheel finds
// it, within a heartbeat.
func TestLoopLate(t *testing.T) {
	const heartbeat = time.Second
	var late atomic.Bool
	p := prepare(t, newLoops(t, LoopOptions{StallTimeout: 5 * time.Second}))
	p.late = late.Load
	p.start(p.script, heartbeat)
	p.expect(wireHead + chunk("<head>"))
	p.script.add(strings.Repeat("x", 16<<20))
	select {
	case r := <-p.ended:
		t.Fatalf("not late, and it has ended: %s", r)
	case <-time.After(heartbeat + 2*tick):
	}
	began := time.Now()
	late.Store(true)
	if r := p.reason(); r != ReasonSlow {
		t.Errorf("reason %s", r)
	}
	if d := time.Since(began); d > heartbeat+10*tick {
		t.Errorf("found after %v", d)
	}
}

// Stall timeouts below 0 are for ever, and a heartbeat does not mind.
func TestLoopStallsForEver(t *testing.T) {
	p := prepare(t, newLoops(t, LoopOptions{StallTimeout: -1}))
	p.start(p.script, 10*time.Millisecond)
	p.expect(wireHead + chunk("<head>"))
	for range 4 {
		p.expect(chunk("<beat>"))
	}
	data := strings.Repeat("x", 16<<20)
	p.script.add(data)
	time.Sleep(2 * tick) // heartbeats are due, and must not come
	buf := make([]byte, 1<<20)
	n, _ := io.ReadFull(p.client, buf)
	if i := bytes.Index(buf[:n], []byte("xx")); strings.Contains(string(buf[i:n]), "beat") {
		t.Error("a heartbeat in the middle of a frame")
	}
	p.script.finish(End)
	got, err := p.rest()
	if !strings.HasSuffix(got, "0\r\n\r\n") || err != nil {
		t.Errorf("the end is %q, %v", got[max(0, len(got)-20):], err)
	}
}

// After a time without room, heartbeats come as they should.
func TestLoopHeartbeatAfterStall(t *testing.T) {
	const heartbeat = 600 * time.Millisecond
	p := prepare(t, newLoops(t, LoopOptions{StallTimeout: 20 * time.Second}))
	p.start(p.script, heartbeat)
	p.expect(wireHead + chunk("<head>"))
	data := strings.Repeat("x", 16<<20)
	p.script.add(data)
	time.Sleep(2 * heartbeat) // a look while there is no room
	var wire bytes.Buffer
	wire.WriteString(wireHead)
	var beats []time.Time
	for buf := make([]byte, 1<<20); len(beats) < 3; {
		n, err := p.client.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		wire.Write(buf[:n])
		if bytes.HasSuffix(buf[:n], []byte("<beat>\r\n")) {
			beats = append(beats, time.Now())
		}
	}
	for i, at := range beats[1:] {
		if d := at.Sub(beats[i]); d > heartbeat+3*tick {
			t.Errorf("a silence of %v", d)
		}
	}
	if !bytes.Contains(wire.Bytes(), []byte("xxxx")) {
		t.Error("the data did not come")
	}
}

// Unread input at a close would be a reset, which takes from the client what it was
// sent last.
func TestLoopUnreadInput(t *testing.T) {
	p := connect(t, newLoops(t, LoopOptions{}))
	if _, err := p.client.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 1000)); err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("x", 100<<10)
	p.script.add(data)
	p.script.finish(End)
	if r := p.reason(); r != ReasonEnded {
		t.Errorf("reason %s", r)
	}
	got, err := p.rest()
	if err != nil || !strings.HasSuffix(got, "0\r\n\r\n") || len(got) < len(data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// "After as much the next connection has its turn": a client that takes all there is
// does not keep another from its event.
func TestLoopIsShared(t *testing.T) {
	ls := newLoops(t, LoopOptions{})
	greedy, modest := prepare(t, ls), connect(t, ls)
	src := &endless{script: greedy.script, page: strings.Repeat("x", 1<<20)}
	src.more()
	greedy.start(src, time.Hour)
	eaten := make(chan struct{})
	go func() { // ends with the connection
		defer close(eaten)
		io.Copy(io.Discard, greedy.client)
	}()
	for range 20 {
		modest.script.add("event")
		modest.expect(chunk("event"))
	}
	ls.Close()
	<-eaten
}

// endless is a Source that is never done.
type endless struct {
	*script
	page string
}

func (s *endless) more() { s.script.add(s.page) }

func (s *endless) Between() bool {
	if s.script.Between() {
		s.mu.Lock()
		s.next = 0
		s.mu.Unlock()
	}
	return s.script.Between()
}

// Readers that never read keep nobody waiting, and are cut.
func TestLoopNeverReading(t *testing.T) {
	ls := newLoops(t, LoopOptions{StallTimeout: time.Second})
	reader := connect(t, ls)
	var stalled []*peer
	for range 50 {
		p := connect(t, ls)
		p.script.add(strings.Repeat("x", 2<<20))
		stalled = append(stalled, p)
	}
	for i := range 100 {
		reader.script.add("event" + strconv.Itoa(i))
		reader.expect(chunk("event" + strconv.Itoa(i)))
	}
	for _, p := range stalled {
		if r := p.reason(); r != ReasonStalled {
			t.Errorf("reason %s", r)
		}
	}
	reader.script.add("still")
	reader.expect(chunk("still"))
}

// A connection may be woken before it is started, be started late, or never.
func TestLoopStartedLateOrNever(t *testing.T) {
	ls := newLoops(t, LoopOptions{})
	never, late := prepare(t, ls), prepare(t, ls)
	never.conn.Wake()
	late.conn.Wake()
	late.script.add("event")
	other := connect(t, ls) // the loop has been through the list
	other.script.add("x")
	other.expect(chunk("x"))
	late.start(late.script, time.Hour)
	late.expect(wireHead + chunk("<head>") + chunk("event"))
	<-ls.Shutdown(time.Second)
	if got, _ := late.rest(); !strings.Contains(got, "<bye") || !strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("farewell %q", got)
	}
	// After that, a connection is told at once.
	after := prepare(t, ls)
	after.start(after.script, time.Hour)
	if r := after.reason(); r != ReasonShutdown {
		t.Errorf("reason %s", r)
	}
	if got, err := after.rest(); !strings.Contains(got, "<bye") || err != nil {
		t.Errorf("farewell %q, %v", got, err)
	}
	<-ls.Shutdown(time.Second)
	ls.Close()
	ls.Close()
	closed := prepare(t, ls)
	closed.start(closed.script, time.Hour)
	if r := closed.reason(); r != ReasonShutdown {
		t.Errorf("reason %s", r)
	}
	if got, err := closed.rest(); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	<-ls.Shutdown(time.Second)
}

// Of connections that start while the loops end each has one end, and no descriptor
// is left open or closed twice.
func TestLoopStartAgainstClose(t *testing.T) {
	before := descriptors(t)
	for round := range 100 {
		ls, err := NewLoops(LoopOptions{Loops: 2})
		if err != nil {
			t.Fatal(err)
		}
		var ends atomic.Int32
		var wg sync.WaitGroup
		const conns = 20
		for range conns {
			wg.Go(func() {
				pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				if err != nil {
					t.Error(err)
					return
				}
				defer unix.Close(pair[1])
				s, c := newScript(), ls.NewConn()
				s.wake = c.Wake
				ended := make(chan struct{})
				c.Wake()
				c.Start(Taken{FD: pair[0], Source: ending{s, func(Reason) { ends.Add(1); close(ended) }, nil}, Head: []byte("x"), Heartbeat: time.Hour})
				s.add("event")
				<-ended
				c.Wake()
			})
		}
		if round%2 == 0 {
			<-ls.Shutdown(0)
		}
		ls.Close()
		wg.Wait()
		if n := ends.Load(); n != conns || ls.Len() != 0 {
			t.Fatalf("%d connections have ended %d times, %d are left", conns, n, ls.Len())
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// Descriptors come and go and are reused at once; each client gets what is its own.
func TestLoopReusesDescriptors(t *testing.T) {
	ls := newLoops(t, LoopOptions{Loops: 2})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 60 {
				p := prepare(t, ls)
				text := fmt.Sprintf("%d/%d;", worker, i)
				p.start(p.script, time.Hour)
				p.expect(wireHead + chunk("<head>"))
				p.script.add(text)
				p.expect(chunk(text))
				switch i % 4 {
				case 0:
					p.client.Close()
				case 1: // bytes on their way to one that is gone
					p.script.add(strings.Repeat("x", 1<<20))
					p.client.Close()
				case 2:
					p.client.SetLinger(0)
					p.client.Close()
				case 3:
					p.script.finish(End)
					if got, err := p.rest(); got != "0\r\n\r\n" || err != nil {
						t.Errorf("%q, %v", got, err)
					}
				}
				p.script.add("into the void")
				p.reason()
			}
		})
	}
	wg.Wait()
	<-ls.Shutdown(0) // a connection is counted until its Done has returned
	if n := ls.Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// An event that was fetched before a connection was dropped does nothing to the one that
// has its descriptor since.
func TestLoopEventOfAnother(t *testing.T) {
	l, err := newLoop(LoopOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ls := &Loops{loops: []*loop{l}} // which does not run: this is its goroutine
	old := prepare(t, ls)
	old.start(old.script, time.Hour)
	l.serve(old.conn)
	fd := int(old.conn.fd)
	old.client.Close()
	var event unix.EpollEvent
	go l.watch.Run()                        // ends with l
	for event.Events&unix.EPOLLRDHUP == 0 { // there is room, is told first
		event = (<-l.watch.Events)[0]
		l.watch.Taken <- struct{}{}
	}
	l.drop(old.conn, ReasonEnded)

	another := prepare(t, ls)
	var own int
	own, another.client = dial(t)
	if own != fd {
		if err := unix.Dup3(own, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(own)
	}
	another.take(fd, another.script, time.Hour)
	l.serve(another.conn)
	l.notice(event)
	another.script.add("one")
	l.serve(another.conn)
	another.expect(wireHead + chunk("<head>") + chunk("one"))
	l.end()
	if r := another.reason(); r != ReasonShutdown {
		t.Errorf("ended with %v", r)
	}
}

// "A connection that has nothing to send or no room costs no goroutine", and closing
// gives every descriptor back.
func TestLoopGoroutinesAndDescriptors(t *testing.T) {
	conns := 1000
	if os.Getenv("LEAT_SOAK") != "" {
		conns = 9000 // two descriptors each
	}
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	ls := newLoops(t, LoopOptions{Loops: 2})
	var ends sync.WaitGroup
	ends.Add(conns)
	scripts, clients := make([]*script, conns), make([]int, conns)
	for i := range conns {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(pair[0], true)
		s, c := newScript(), ls.NewConn()
		s.wake = c.Wake
		c.Start(Taken{FD: pair[0], Source: ending{s, func(Reason) { ends.Done() }, nil}, Head: []byte("x"), Heartbeat: time.Hour})
		scripts[i], clients[i] = s, pair[1]
	}
	for i, s := range scripts {
		s.add("event")
		want := "x" + chunk("event")
		got := make([]byte, len(want))
		for n := 0; n < len(want); {
			k, err := unix.Read(clients[i], got[n:])
			if k <= 0 {
				t.Fatal(k, err)
			}
			n += k
		}
		if string(got) != want {
			t.Fatalf("got %q", got)
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines+2*2 { // two for each loop
		t.Errorf("%d connections have %d goroutines", conns, n-goroutines)
	}
	if n := ls.Len(); n != conns {
		t.Errorf("%d connections are counted", n)
	}
	for _, fd := range clients {
		unix.Close(fd)
	}
	ends.Wait()
	ls.Close()
	if n := descriptors(t); n > fds {
		t.Errorf("%d descriptors before, %d after", fds, n)
	}
	// One that has said that it is done is there for a moment more.
	for runtime.NumGoroutine() > goroutines {
		runtime.Gosched()
	}
}

// descriptors returns how many are open.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// A loop that sleeps, and what watches its connections meanwhile, hold no thread: one
// that waits in the system keeps the runtime's watchdog awake.
func TestSleepingLoopHoldsNoThread(t *testing.T) {
	newLoops(t, LoopOptions{})
	stacks := make([]byte, 1<<20)
	asleep := func(in, state string) bool {
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if head, _, _ := strings.Cut(g, "\n"); strings.Contains(g, in) {
				return strings.Contains(head, state)
			}
		}
		return false
	}
	for !asleep("socket.(*loop).run(", "[select") || !asleep("epoll.(*Watch).Run(", "[IO wait") {
		runtime.Gosched()
	}
}

// "The error is that of a system that has no descriptors left", and what was opened
// before is closed.
func TestNoDescriptorsLeft(t *testing.T) {
	fd, client := dial(t)
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	fds := descriptors(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	for spare := range 2 { // each loop needs one
		var plugs []int // the numbers below the limit that are free
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fds + 20), Max: limit.Max})
		for {
			plug, err := unix.Dup(0)
			if err != nil {
				break
			}
			plugs = append(plugs, plug)
		}
		for _, plug := range plugs[len(plugs)-spare:] {
			unix.Close(plug)
		}
		ls, err := NewLoops(LoopOptions{Loops: 2})
		if err == nil {
			ls.Close()
		}
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("with %d spare: %v", spare, err)
		}
		if spare == 0 {
			if _, err := Duplicate(client); !errors.Is(err, unix.EMFILE) {
				t.Errorf("Duplicate: %v", err)
			}
		}
		free := 0
		for {
			plug, err := unix.Dup(0)
			if err != nil {
				break
			}
			defer unix.Close(plug)
			free++
		}
		if free != spare {
			t.Errorf("%d descriptors of %d are left", free, spare)
		}
		for _, plug := range plugs[:len(plugs)-spare] {
			unix.Close(plug)
		}
	}
}

// fragile is a Source that panics.
type fragile struct {
	*script
	in string
}

func (s *fragile) Between() bool {
	if s.in == "Between" {
		panic("Between")
	}
	return s.script.Between()
}

func (s *fragile) Notice() []byte { panic("Notice") }

// "Only its connection ends."
func TestLoopPanics(t *testing.T) {
	var panics atomic.Int32
	ls := newLoops(t, LoopOptions{Panicked: func(v any, stack []byte) {
		panics.Add(1)
		if !bytes.Contains(stack, []byte("loops_linux_test.go")) {
			t.Errorf("%v at %s", v, stack)
		}
	}})
	healthy := connect(t, ls)
	p := prepare(t, ls)
	p.script.notices[0] = "x"
	p.start(&fragile{script: p.script}, time.Hour) // while it is served
	if r := p.reason(); r != ReasonBroken {
		t.Errorf("reason %s", r)
	}
	p = prepare(t, ls)
	p.start(&fragile{script: p.script, in: "Between"}, 10*time.Millisecond) // at a heartbeat
	if r := p.reason(); r != ReasonBroken {
		t.Errorf("reason %s", r)
	}
	p = prepare(t, ls)
	fd, client := dial(t)
	p.conn.Start(Taken{FD: fd, Source: ending{p.script, func(Reason) { panic("Done") }, nil}, Heartbeat: time.Hour})
	p.script.finish(End)
	p.client = client
	if got, err := p.rest(); got != "0\r\n\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	healthy.script.add("event")
	healthy.expect(chunk("event"))
	healthy.client.Close()
	<-ls.Shutdown(0)
	if n := panics.Load(); n != 3 || ls.Len() != 0 {
		t.Errorf("%d panics, %d connections are left", n, ls.Len())
	}
}

// A wake-up is never lost, whatever the loop is doing.
func TestLoopWakeUps(t *testing.T) {
	ls := newLoops(t, LoopOptions{Loops: 2})
	rounds := 5000
	if testing.Short() {
		rounds = 500
	}
	var wg sync.WaitGroup
	for range 2 {
		p := connect(t, ls)
		wg.Go(func() {
			for i := range rounds {
				text := strconv.Itoa(i)
				p.client.SetDeadline(time.Now().Add(5 * time.Second))
				p.script.add(text)
				p.expect(chunk(text))
			}
		})
	}
	wg.Wait()
}
