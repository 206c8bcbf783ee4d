package socket

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
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

	mu     sync.Mutex
	spread time.Duration
	closed bool
	done   chan struct{} // closed when the server stops
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
	w := &Writer{stall: o.StallTimeout, done: make(chan struct{})}
	w.buffers.New = func() any { return new(buffer) }
	return w
}

// Shutdown ends every connection with the farewell of its Source. Clients are
// asked to come back after delays spread evenly over a time, so that they do
// not come all at once. Connections that begin later end at once.
func (w *Writer) Shutdown(spread time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed, w.spread = true, spread
		close(w.done)
	}
}

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
func (w *Writer) Stopping() <-chan struct{} { return w.done }

// Answer writes what there is to write at once, each piece within the stall
// timeout. It returns the reason if it could not.
func (w *Writer) Answer(o Output, pieces [][]byte) Reason {
	s := serving{writer: w, Conn: Conn{Output: o}}
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
}

// Serve writes to a connection until it ends, and says why. It ends with ctx,
// which is that of the request.
func (w *Writer) Serve(ctx context.Context, c Conn) Reason {
	s := serving{writer: w, Conn: c}
	if reason := s.send(c.Head, true); reason != "" {
		return s.because(ctx, reason)
	}
	// The timer measures silence only: nothing that is due waits for it.
	silence := time.NewTimer(c.Heartbeat)
	defer silence.Stop()
	for {
		reason := s.sendDue()
		if reason == "" && s.stopping() { // whatever else there is to do
			return s.farewell()
		}
		if reason == "" {
			select {
			case <-c.Bell.rung:
			case <-silence.C:
				reason = s.beat(silence)
			case <-w.done:
				return s.farewell()
			case <-ctx.Done():
				return ReasonGone
			}
		}
		if reason != "" {
			return s.because(ctx, reason)
		}
	}
}

// serving is the state of one Serve.
type serving struct {
	writer *Writer
	Conn
	lastWrite time.Time
}

// because returns the reason of an end. When a client goes away a write may
// fail before the request's context ends, or the other way round.
func (s *serving) because(ctx context.Context, reason Reason) Reason {
	if reason == ReasonBroken && ctx.Err() != nil {
		return ReasonGone
	}
	return reason
}

// farewell ends a connection because the server stops. A client drops a frame
// that was begun; the block would become part of it.
func (s *serving) farewell() Reason {
	if s.Source.Between() {
		s.send(s.Source.Farewell(s.writer.farewellDelay()), true)
	}
	return ReasonShutdown
}

// beat sends a heartbeat if the silence has lasted, and sets the timer anew.
func (s *serving) beat(silence *time.Timer) Reason {
	if quiet := time.Since(s.lastWrite); quiet < s.Conn.Heartbeat {
		silence.Reset(s.Conn.Heartbeat - quiet)
		return ""
	}
	silence.Reset(s.Conn.Heartbeat)
	if !s.Source.Between() {
		return "" // the rest of a frame is being brought: other bytes would break it
	}
	return s.send(s.Source.Heartbeat(), true)
}

// sendDue sends all that is due and then flushes. The reason is empty when
// nothing is due any more.
func (s *serving) sendDue() Reason {
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
func (s *serving) gather(buf *buffer) (n int, state State) {
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
		s.Source.Advance(&buf.ranges, taken)
		n += taken
	}
	return n, Due
}

// stopping reports whether the server stops.
func (s *serving) stopping() bool {
	select {
	case <-s.writer.done:
		return true
	default:
		return false
	}
}

// send writes p and, if flush is set, lets nothing of it and of what was
// written before be held back. The deadline is for this call alone: HTTP/2
// resets a stream whose deadline passes while it is idle.
func (s *serving) send(p []byte, flush bool) Reason {
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
	s.lastWrite = time.Now()
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonStalled
	default:
		return ReasonBroken
	}
}
