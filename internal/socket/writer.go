package socket

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// An Output is a connection that can be written to, or one stream of it.
type Output interface {
	// Write may hold bytes back until Flush. It keeps no slice.
	Write(p []byte) (int, error)

	// Flush sends what was held back.
	Flush() error

	// SetWriteDeadline bounds the writes and flushes that follow; the zero
	// Time means for ever.
	SetWriteDeadline(t time.Time) error
}

// Options are the settings of a Writer. The zero value works.
type Options struct {
	// StallTimeout is how long a client may take nothing of what it is sent
	// before its connection is cut. 0 means a minute, negative for ever.
	StallTimeout time.Duration
}

// bufferSize is the most that one write takes from pages. A write that waits
// for its client holds a private copy: pages are never pinned by a reader.
const bufferSize = 8 << 10

// answerSize is the most of an answer that is written at once: as much has to be
// taken within the stall timeout.
const answerSize = 64 << 10

// A Writer serves each connection on the goroutine of its request. It works
// with any Output: TLS, HTTP/2, and what foreign middleware has wrapped.
//
// Its methods may be called by many goroutines at once.
type Writer struct {
	// Static after construction.
	stall   time.Duration
	buffers sync.Pool // of *buffer
	sent    sum
	began   time.Time

	stopped context.Context // done when the server stops
	stop    context.CancelFunc

	mu      sync.Mutex
	spread  time.Duration
	serving map[*Serving]struct{} // to be woken when the server stops
}

type buffer struct {
	bytes  [bufferSize]byte
	ranges frame.Ranges
}

// NewWriter returns a Writer.
func NewWriter(o Options) *Writer {
	if o.StallTimeout == 0 {
		o.StallTimeout = time.Minute
	}
	w := &Writer{stall: o.StallTimeout, began: time.Now(), serving: make(map[*Serving]struct{})}
	w.stopped, w.stop = context.WithCancel(context.Background())
	w.buffers.New = func() any { return new(buffer) }
	return w
}

// Shutdown ends every connection with the farewell of its Source. Clients are
// asked to come back after delays spread evenly over a time, so that they do
// not come all at once. Connections that begin later end at once.
func (w *Writer) Shutdown(spread time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped.Err() == nil {
		w.spread = spread
		w.stop()
		for s := range w.serving {
			s.Bell.Wake()
		}
	}
}

// now returns the time since w began.
func (w *Writer) now() time.Duration { return time.Since(w.began) }

// farewellDelay returns when a client is asked to come back: never at once.
func (w *Writer) farewellDelay() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return farewellDelay(w.spread)
}

// slowSpread is the time over which readers that were too slow are asked to come back:
// what made one of them slow may have made them all.
const slowSpread = 5 * time.Second

// farewellDelay returns a delay spread evenly over a time, but never none.
func farewellDelay(spread time.Duration) time.Duration {
	const soonest = 500 * time.Millisecond
	return soonest + rand.N(spread+1)
}

// A Bell wakes the goroutine that serves a connection. It implements the
// wake-up of a live reader and holds nothing but the fact that there was one.
type Bell struct{ rung chan struct{} }

// NewBell returns a Bell.
func NewBell() Bell { return Bell{make(chan struct{}, 1)} }

// Wake rings the bell. It never waits.
func (b Bell) Wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// Rung returns the channel that has something when the bell was rung.
func (b Bell) Rung() <-chan struct{} { return b.rung }

// Stopping returns a channel that is closed when the server stops.
func (w *Writer) Stopping() <-chan struct{} { return w.stopped.Done() }

// Sent returns what all connections were sent, those that have ended too.
func (w *Writer) Sent() Sent { return w.sent.load() }

// Count adds to that what was sent to a reader without a connection of the Writer.
func (w *Writer) Count(n Sent) { w.sent.add(n) }

// Answer writes what there is to write at once, each piece within the stall
// timeout. It returns the reason if it could not.
func (w *Writer) Answer(o Output, pieces [][]byte) Reason {
	s := Serving{writer: w, Conn: Conn{Output: o}}
	for _, p := range pieces {
		for len(p) > 0 {
			n := min(len(p), answerSize)
			if reason := s.send(p[:n], false); reason != "" {
				return reason
			}
			p = p[n:]
		}
	}
	return ""
}

// A Conn is what Serve needs to know of a connection.
type Conn struct {
	Output    Output
	Source    Source
	Bell      Bell
	Head      []byte        // sent first
	Heartbeat time.Duration // the longest silence

	// Aside says that looks are made by other goroutines than the one that runs the
	// Serving, whose stack does not grow by them.
	Aside bool

	// Done is told why it ended; no reason if serving it panicked. nil: nobody is.
	Done func(Reason)
}

// Serve writes to a connection until it ends, and says why. It ends with ctx,
// which is that of the request.
func (w *Writer) Serve(ctx context.Context, c Conn) Reason {
	s := w.Begin(ctx, c)
	s.Run()
	return s.reason
}

// Begin begins a Serve, before anything is written; Run is the rest of it.
func (w *Writer) Begin(ctx context.Context, c Conn) *Serving {
	return &Serving{writer: w, ctx: ctx, Conn: c}
}

// A Serving is a connection being served, and the Rest of its answer.
type Serving struct {
	writer *Writer
	ctx    context.Context // that of the request, whose state this is
	Conn
	reason Reason

	// While looks are made aside.
	state   atomic.Int32
	hurried uint8 // looks in a row that came soon
	panic   any   // of a look

	// Times are those since the Writer began.
	lastWrite time.Duration

	// The timer measures silence only: nothing that is due waits for it.
	silence *time.Timer
	rings   time.Duration // then it rings the bell
	leaving func() bool   // so that the end of ctx does not any more
}

// Run is the rest of Serve, and ends with Done. An idle reader waits right here, and for
// one thing: a frame more on the way, or a select, and its stack has twice the size.
func (s *Serving) Run() {
	defer s.end()
	if s.Aside {
		s.await()
	}
	for s.reason == "" {
		if s.reason = s.look(); s.reason == "" {
			<-s.Bell.rung
		}
	}
}

// start has the bell rung when anything happens, and sends the head. It is the beginning
// of the first look.
func (s *Serving) start() Reason {
	w := s.writer
	s.rings = w.now() + s.Heartbeat
	s.silence = time.AfterFunc(s.Heartbeat, s.Bell.Wake)
	s.leaving = context.AfterFunc(s.ctx, s.Bell.Wake)
	w.mu.Lock()
	w.serving[s] = struct{}{}
	w.mu.Unlock()
	head := s.Head
	s.Head = nil
	return s.send(head, true)
}

// end ends Run, also if it panics.
func (s *Serving) end() {
	if s.silence != nil {
		s.silence.Stop()
		s.leaving()
	}
	w := s.writer
	w.mu.Lock()
	delete(w.serving, s)
	w.mu.Unlock()
	// When a client goes away a write may fail before the request's context ends, or
	// the other way round.
	if s.reason == ReasonBroken && s.ctx.Err() != nil {
		s.reason = ReasonGone
	}
	if s.Done != nil {
		s.Done(s.reason)
	}
}

// look does what is to be done.
func (s *Serving) look() Reason {
	if s.silence == nil {
		if reason := s.start(); reason != "" {
			return reason
		}
	}
	if s.ctx.Err() != nil {
		return ReasonGone
	}
	for {
		if reason := s.sendDue(); reason != "" {
			return reason
		}
		if s.stopping() { // whatever else there is to do
			return s.farewell()
		}
		if s.writer.now() < s.rings {
			return ""
		}
		if reason := s.beat(); reason != "" {
			return reason
		}
	}
}

// farewell ends a connection because the server stops. A client drops a frame
// that was begun; the block would become part of it.
func (s *Serving) farewell() Reason {
	if s.Source.Between() {
		s.send(s.Source.Farewell(s.writer.farewellDelay()), true)
	}
	return ReasonShutdown
}

// beat sends a heartbeat if the silence has lasted, and sets the timer anew.
func (s *Serving) beat() Reason {
	if quiet := s.writer.now() - s.lastWrite; quiet < s.Heartbeat {
		s.ringAfter(s.Heartbeat - quiet)
		return ""
	}
	s.ringAfter(s.Heartbeat)
	if !s.Source.Between() {
		return "" // the rest of a frame is being brought: other bytes would break it
	}
	return s.send(s.Source.Heartbeat(), true)
}

func (s *Serving) ringAfter(d time.Duration) {
	s.rings = s.writer.now() + d
	s.silence.Reset(d)
}

// sendDue sends all that is due and then flushes. The reason is empty when
// nothing is due any more.
func (s *Serving) sendDue() Reason {
	buf := s.writer.buffers.Get().(*buffer)
	defer func() {
		buf.ranges.Reset()
		s.writer.buffers.Put(buf)
	}()
	for wrote := false; ; wrote = true {
		n, state := s.gather(buf)
		idle := state != Due && state != Notice
		if n > 0 || wrote && idle {
			if reason := s.send(buf.bytes[:n], idle); reason != "" {
				return reason
			}
		}
		switch state {
		case Idle:
			return ""
		case Notice:
			if reason := s.send(s.Source.Notice(), true); reason != "" {
				return reason
			}
		case End:
			return ReasonEnded
		case Cut:
			return ReasonCut
		case tooSlow:
			if reason := s.send(s.Source.Farewell(farewellDelay(slowSpread)), true); reason != "" {
				return reason
			}
			return ReasonSlow
		}
		if s.stopping() && s.Source.Between() {
			return "" // Serve says farewell
		}
	}
}

// tooSlow is what gather comes to where the Source is TooSlow.
const tooSlow State = -1

// gather copies what is due into the buffer until it is full, and returns the
// state of what follows.
func (s *Serving) gather(buf *buffer) (n int, state State) {
	var sent Sent
	defer func() {
		if sent != (Sent{}) {
			s.writer.sent.add(sent)
		}
	}()
	for n < len(buf.bytes) {
		if s.Source.TooSlow() {
			return n, tooSlow
		}
		state = s.Source.Peek(&buf.ranges, len(buf.bytes)-n)
		if state != Due {
			return n, state
		}
		taken := 0
		for _, b := range buf.ranges.Bytes {
			taken += copy(buf.bytes[n+taken:], b)
		}
		sent.Bytes += int64(taken)
		sent.Records += int64(buf.ranges.Whole(taken))
		s.Source.Advance(&buf.ranges, taken)
		n += taken
	}
	return n, Due
}

// stopping reports whether the server stops.
func (s *Serving) stopping() bool { return s.writer.stopped.Err() != nil }

// send writes p and, if flush is set, lets nothing of it and of what was
// written before be held back. The deadline is for this call alone: HTTP/2
// resets a stream whose deadline passes while it is idle.
func (s *Serving) send(p []byte, flush bool) Reason {
	if s.writer.stall > 0 {
		// An Output without deadlines is bounded by its client's patience.
		_ = s.Output.SetWriteDeadline(time.Now().Add(s.writer.stall))
		defer func() { _ = s.Output.SetWriteDeadline(time.Time{}) }()
	}
	var err error
	if len(p) > 0 {
		_, err = s.Output.Write(p)
	}
	if err == nil && flush {
		err = s.Output.Flush()
	}
	s.lastWrite = s.writer.now()
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonStalled
	default:
		return ReasonBroken
	}
}
