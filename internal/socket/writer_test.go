package socket

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// script is a Source: a list of frames that a test extends, with notices
// between them.
type script struct {
	mu      sync.Mutex
	bell    Bell
	wake    func() // the bell's, or that of another connection
	frames  []frame.Frame
	notices map[int]string // by the number of frames before it
	end     State          // after the last frame, if not Idle
	next    int
	sent    int
	slow    bool
}

func newScript() *script {
	bell := NewBell()
	return &script{bell: bell, wake: bell.Wake, notices: map[int]string{}}
}

// add appends frames, each in a page of its own.
func (s *script) add(texts ...string) {
	s.mu.Lock()
	for _, text := range texts {
		seq := uint64(len(s.frames) + 1)
		s.frames = append(s.frames, frame.NewPage([]byte(text)).Frame(seq, 0, len(text)))
	}
	s.mu.Unlock()
	s.wake()
}

func (s *script) finish(end State) {
	s.mu.Lock()
	s.end = end
	s.mu.Unlock()
	s.wake()
}

func (s *script) Peek(out *frame.Ranges, size int) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Reset()
	if _, ok := s.notices[s.next]; ok && s.sent == 0 {
		return Notice
	}
	if s.next == len(s.frames) {
		return s.end
	}
	out.Fill(s.frames[s.next:s.next+1], s.sent, size)
	return Due
}

func (s *script) Advance(out *frame.Ranges, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, _, sent := out.Written(n)
	if last > 0 {
		s.next = int(last)
	}
	s.sent = sent
}

func (s *script) TooSlow() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.slow && s.sent == 0 }

func (s *script) fallBehind() {
	s.mu.Lock()
	s.slow = true
	s.mu.Unlock()
	s.wake()
}

func (s *script) Between() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.sent == 0 }

func (s *script) Notice() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.notices[s.next]
	delete(s.notices, s.next)
	return []byte(text)
}

func (s *script) Heartbeat() []byte               { return []byte("<beat>") }
func (s *script) Farewell(d time.Duration) []byte { return []byte("<bye " + d.String() + ">") }

// line is an Output with a window: Write takes what the window has room for and
// then waits, like a connection whose client does not read. What was written
// but not flushed cannot be read.
type line struct {
	mu       sync.Mutex
	changed  *sync.Cond
	window   int
	held     []byte
	arrived  []byte
	deadline time.Time
	expiry   *time.Timer
	err      error
	most     int // the most bytes that one Write was given
}

func newLine(window int) *line {
	l := &line{window: window}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = max(l.most, len(p))
	for n := 0; n < len(p); {
		for l.window == 0 && l.err == nil && !l.expired() {
			l.changed.Wait()
		}
		if l.err != nil {
			return n, l.err
		}
		if l.window == 0 {
			return n, os.ErrDeadlineExceeded
		}
		k := min(l.window, len(p)-n)
		l.held = append(l.held, p[n:n+k]...)
		n, l.window = n+k, l.window-k
	}
	return len(p), nil
}

func (l *line) expired() bool { return !l.deadline.IsZero() && !time.Now().Before(l.deadline) }

func (l *line) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived = append(l.arrived, l.held...)
	l.held = nil
	return l.err
}

func (l *line) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.deadline = t
	if !t.IsZero() {
		l.expiry = time.AfterFunc(time.Until(t), l.changed.Broadcast)
	}
	return nil
}

func (l *line) open(n int) {
	l.mu.Lock()
	l.window += n
	l.mu.Unlock()
	l.changed.Broadcast()
}

func (l *line) fail(err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	l.changed.Broadcast()
}

// got returns what has arrived.
func (l *line) got() string { l.mu.Lock(); defer l.mu.Unlock(); return string(l.arrived) }

const wide = 1 << 30

// serve runs a Serve in the bubble of a test; end waits for its reason.
func serve(ctx context.Context, w *Writer, s *script, l *line) (end func() Reason) {
	reason := make(chan Reason, 1)
	go func() {
		reason <- w.Serve(ctx, conn(ctx, s, s.bell, l))
	}()
	return func() Reason { return <-reason }
}

// conn is the connection of a test, which says in ctx who looks.
func conn(ctx context.Context, s Source, bell Bell, l *line) Conn {
	return Conn{Output: l, Source: s, Bell: bell, Head: []byte("<head>"), Heartbeat: 15 * time.Second, Aside: ctx.Value(aside{}) != nil}
}

type aside struct{}

// bubble runs a test with fake time, in the two ways in which a connection can be looked
// after; it ends with the test.
func bubble(t *testing.T, test func(t *testing.T, ctx context.Context)) {
	for name, who := range map[string]any{"in place": nil, "aside": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), aside{}, who))
				defer cancel()
				test(t, ctx)
			})
		})
	}
}

func TestHeadIsSentAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		l := newLine(wide)
		serve(ctx, NewWriter(Options{}), newScript(), l)
		synctest.Wait()
		if l.got() != "<head>" {
			t.Errorf("got %q", l.got())
		}
	})
}

// No time passes between an append and its delivery: the clock of the bubble
// stands still while anything can run.
func TestNoTimerBetweenAppendAndDelivery(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		l, s := newLine(wide), newScript()
		serve(ctx, NewWriter(Options{}), s, l)
		began := time.Now()
		want := "<head>"
		for range 100 {
			s.add("event;")
			want += "event;"
			synctest.Wait()
			if l.got() != want {
				t.Fatalf("got %q, want %q", l.got(), want)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("%v passed", d)
		}
	})
}

func TestHeartbeatAfterSilenceOnly(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		l, s := newLine(wide), newScript()
		serve(ctx, NewWriter(Options{}), s, l)
		time.Sleep(10 * time.Second)
		s.add("event")
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if l.got() != "<head>event" {
			t.Errorf("14 s after an event: %q", l.got())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if l.got() != "<head>event<beat>" {
			t.Errorf("15 s after an event: %q", l.got())
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if l.got() != "<head>event<beat><beat><beat>" {
			t.Errorf("30 s later: %q", l.got())
		}
	})
}

// A connection that takes 7 bytes and then would block, again and again, is
// sent every byte once; notices come between frames only.
func TestSevenBytesAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		l, s := newLine(7), newScript()
		s.add("first frame.", strings.Repeat("long ", 5000), "x")
		s.notices[1], s.notices[3] = "<gap>", "<gap2>"
		s.finish(End)
		end := serve(ctx, NewWriter(Options{}), s, l)
		for range (5*5000 + 60) / 7 {
			synctest.Wait()
			l.open(7)
		}
		if reason := end(); reason != ReasonEnded {
			t.Errorf("reason %s", reason)
		}
		want := "<head>first frame.<gap>" + strings.Repeat("long ", 5000) + "x<gap2>"
		if l.got() != want {
			t.Errorf("got %d bytes, want %d", len(l.got()), len(want))
		}
		if l.most > bufferSize {
			t.Errorf("a write of %d bytes pins more than the buffer of %d", l.most, bufferSize)
		}
	})
}

func TestReasons(t *testing.T) {
	broken := errors.New("connection reset")
	for _, test := range []struct {
		name string
		do   func(w *Writer, s *script, l *line, cancel func())
		want Reason
	}{
		{"the client leaves", func(_ *Writer, _ *script, _ *line, cancel func()) { cancel() }, ReasonGone},
		{"all is sent", func(_ *Writer, s *script, _ *line, _ func()) { s.finish(End) }, ReasonEnded},
		{"the source cannot go on", func(_ *Writer, s *script, _ *line, _ func()) { s.finish(Cut) }, ReasonCut},
		{"the reader is too slow", func(_ *Writer, s *script, _ *line, _ func()) { s.fallBehind() }, ReasonSlow},
		{"the client takes nothing", func(_ *Writer, s *script, l *line, _ func()) { s.add(strings.Repeat("x", 1000)) }, ReasonStalled},
		{"a write fails", func(_ *Writer, s *script, l *line, _ func()) { l.fail(broken); s.add("x") }, ReasonBroken},
		{"a write fails because the client left", func(_ *Writer, s *script, l *line, cancel func()) { l.fail(broken); s.add("x"); cancel() }, ReasonGone},
		{"the server stops", func(w *Writer, _ *script, _ *line, _ func()) { w.Shutdown(time.Second) }, ReasonShutdown},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, ctx context.Context) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				w, s, l := NewWriter(Options{}), newScript(), newLine(500)
				end := serve(ctx, w, s, l)
				synctest.Wait()
				test.do(w, s, l, cancel)
				if got := end(); got != test.want {
					t.Errorf("reason %q, want %q", got, test.want)
				}
			})
		})
	}
}

// One that is too slow is noticed between any two frames, wherever these lie in a write,
// and not in the middle of one.
func TestTooSlowBetweenFrames(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		s, l := newScript(), newLine(0)
		x, y := strings.Repeat("x", 3*bufferSize+100), strings.Repeat("y", bufferSize+100)
		s.add(x, y)
		end := serve(ctx, NewWriter(Options{}), s, l)
		l.open(len("<head>") + bufferSize)
		synctest.Wait()
		s.fallBehind()
		l.open(wide)
		if reason := end(); reason != ReasonSlow {
			t.Errorf("reason %s", reason)
		}
		farewell, ok := strings.CutPrefix(l.got(), "<head>"+x)
		if !ok || !strings.HasPrefix(farewell, "<bye ") {
			t.Errorf("the farewell is %.50q, behind the frame: %v", farewell, ok)
		}
	})
}

// A stalled connection is cut after the stall timeout, not before, and only
// while there is something to send; one that takes a little is not cut.
func TestStallTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		l, s := newLine(6), newScript()
		end := serve(ctx, NewWriter(Options{StallTimeout: 20 * time.Second}), s, l)
		synctest.Wait()
		began := time.Now()
		time.Sleep(10 * time.Second) // nothing to send
		s.add("event")
		time.Sleep(19 * time.Second)
		l.open(5)
		synctest.Wait()
		if !strings.HasSuffix(l.got(), "event") {
			t.Fatalf("cut too early: %q", l.got())
		}
		if reason := end(); reason != ReasonStalled { // on the heartbeat
			t.Errorf("reason %q", reason)
		}
		if d := time.Since(began); d != 29*time.Second+15*time.Second+20*time.Second {
			t.Errorf("cut after %v", d)
		}
	})
}

func TestShutdownSaysFarewellBetweenFrames(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		w, s, l := NewWriter(Options{}), newScript(), newLine(6+100)
		long := strings.Repeat("x", 3*bufferSize)
		s.add(long, "never sent")
		end := serve(ctx, w, s, l)
		synctest.Wait()
		w.Shutdown(2 * time.Second)
		l.open(wide)
		if reason := end(); reason != ReasonShutdown {
			t.Errorf("reason %q", reason)
		}
		rest, ok := strings.CutPrefix(l.got(), "<head>"+long)
		d, err := time.ParseDuration(strings.TrimSuffix(strings.TrimPrefix(rest, "<bye "), ">"))
		if !ok || err != nil || d < 500*time.Millisecond || d > 2500*time.Millisecond {
			t.Errorf("the farewell is %q", rest)
		}
	})
}

// Clients are told different delays.
func TestFarewellsAreSpread(t *testing.T) {
	w := NewWriter(Options{})
	w.Shutdown(10 * time.Second)
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[w.farewellDelay()/time.Second] = true
	}
	if len(seen) < 5 {
		t.Errorf("100 clients come back within %d different seconds of 10", len(seen))
	}
}

// "Use rc.Flush() and look at its error."
func TestErrorsOfFlushAreSeen(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		l, s := newLine(wide), newScript()
		l.fail(io.ErrClosedPipe)
		if reason := serve(ctx, NewWriter(Options{}), s, l)(); reason != ReasonBroken {
			t.Errorf("reason %q", reason)
		}
	})
}
