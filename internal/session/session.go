// Package session is what happens between a request to read and a connection,
// the same for every surface and every form: what the request asks for, where
// its reader begins, the blocks it is sent between its frames, and how the
// answer ends.
package session

import (
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/store"
)

// A session is a live reader as a connection sees it: its frames, and between
// them the blocks that tell about gaps, positions and the end.
type session struct {
	*live.Reader
	kind    *kind        // nil once it is closed
	entry                // in the roll, of a reader with a connection
	then    *live.Reader // goes on where Reader ends; nil if that is the last
	host    *Host
	form    render.Form
	asked   string     // the offset that the reader came with
	remote  string     // its address
	loss    store.Loss // of the offset the reader came with; to be told
	left    int64      // bytes of frames, if limited
	id      uint64     // the position that the client knows
	closeAt time.Time  // from when on it ends when nothing is due; zero: never
	known   uint64     // an entry that is given before that
	gone    uint64     // the last record that was told as gone

	// Small things together: there is one of these for each reader.
	beat     Beat
	gapError bool // end instead of going on after a gap
	limited  bool // end after left bytes of frames
	within   bool // what was given or passed is content of a stream
	ended    bool
}

var _ socket.Ender = (*session)(nil)

// Peek implements socket.Source.
func (s *session) Peek(out *frame.Ranges, size int) socket.State {
	switch {
	case s.complete():
		return socket.End
	case s.dismissed():
		return s.goNow()
	case s.loss != store.LossNone:
		return s.tell()
	}
	head := s.host.o.Live.Head()
	switch s.Reader.Peek(out, size) {
	case live.Due:
		if s.within && out.Beginning() { // another stream of that name: its content does not go with this
			if s.form.Tells() {
				return socket.End // who comes back is told
			}
			return socket.Cut
		}
		s.trim(out)
		return socket.Due
	case live.Gap:
		return s.tell()
	case live.Failed:
		return socket.Cut
	case live.Ended:
		if s.then != nil {
			s.Reader.Close()
			s.Reader, s.then = s.then, nil
			return s.Peek(out, size)
		}
		if !s.form.Tells() && s.EndState() != leat.EndComplete {
			return socket.Cut // so that it does not look complete
		}
		return socket.End
	default:
		s.at.Store(s.After())
		// Who waits for a page of history, or for what the follower has yet to
		// hear of, has not come to the head.
		if atHead := s.After() >= max(head, s.known); atHead && s.late() && s.Between() {
			return socket.End
		}
		return socket.Idle
	}
}

// late reports whether the answer has lasted for as long as it is to.
func (s *session) late() bool { return !s.closeAt.IsZero() && !time.Now().Before(s.closeAt) }

// complete reports whether nothing more is to be sent, although there may be.
func (s *session) complete() bool { return s.ended || s.limited && s.left == 0 }

// tell is the state in which there is a gap to tell.
func (s *session) tell() socket.State {
	if s.form.Tells() {
		return socket.Notice
	}
	return socket.Cut
}

// trim takes from out what is beyond the limit.
func (s *session) trim(out *frame.Ranges) {
	if !s.limited {
		return
	}
	left := s.left
	for i, b := range out.Bytes {
		n := min(left, int64(len(b)))
		out.Bytes[i] = b[:n]
		left -= n
	}
}

// Advance implements socket.Source.
func (s *session) Advance(out *frame.Ranges, n int) {
	before := s.After()
	s.moves(out.Bytes, n)
	s.Reader.Advance(out, n)
	s.left -= int64(n)
	s.within = s.within || n > 0
	if after := s.After(); after != before {
		s.id = after // the last event's
		s.at.Store(after)
	}
}

// Between implements socket.Source. A limit may be in the middle of a frame:
// there nothing follows.
func (s *session) Between() bool { return s.complete() || s.Reader.Between() }

// Notice implements socket.Source: it tells a gap.
func (s *session) Notice() (block []byte) {
	if s.dismissed() {
		return s.sends(s.dismissal())
	}
	for _, gap := range s.takeGaps() {
		block = s.form.AppendGap(block, gap)
	}
	return s.sends(block)
}

// takeGaps returns what there is to tell: one gap, or two if topics were deleted beside
// those that only lost records.
func (s *session) takeGaps() (gaps []*render.Gap) {
	s.ended = s.gapError
	l := s.host.o.Live
	if s.loss != store.LossNone {
		gaps = append(gaps, &render.Gap{Reason: string(s.loss), Asked: s.asked, Next: l.Offset(s.After())})
		s.loss = store.LossNone
	} else if missing := s.TakeGap(); missing.Skipped {
		gaps = append(gaps, &render.Gap{Reason: render.ReasonSkipped, Asked: l.Offset(missing.From).String(), Next: l.Offset(s.After())})
	} else {
		for _, rm := range missing.Removed {
			s.gone = max(s.gone, rm.Through)
		}
		asked := l.Offset(s.After()).String()
		for _, replaced := range []bool{false, true} {
			if gap := gapOf(l, missing, asked, s.After(), replaced); gap.Tells() {
				gaps = append(gaps, gap)
			}
		}
	}
	s.id = s.After()
	for _, gap := range gaps {
		s.host.gaps.Add(gap.Reason)
	}
	return gaps
}

// gapOf says what is missing because it was removed from topics that go on, or,
// if replaced is set, with topics that were deleted.
func gapOf(l *live.Live, missing *live.Missing, asked string, after uint64, replaced bool) *render.Gap {
	gap := &render.Gap{Reason: render.ReasonTrimmed, Asked: asked, Next: l.Offset(after)}
	if replaced {
		gap.Reason = render.ReasonReplaced
	} else {
		gap.More = missing.More
	}
	for _, rm := range missing.Removed {
		if rm.Dropped == replaced {
			gap.Topics = append(gap.Topics, render.GapTopic{Topic: rm.Stream, Through: l.Offset(rm.Through)})
		}
	}
	return gap
}

// Heartbeat implements socket.Source.
func (s *session) Heartbeat() []byte {
	// A quiet reader is not woken when the log moves on: look how far. What
	// is due by now is peeked at again.
	var none frame.Ranges
	s.Reader.Peek(&none, 0)
	none.Reset()
	moved := s.After() != s.id
	s.at.Store(s.After())
	if s.beat == BeatEvent || s.beat == BeatAuto && moved {
		s.id = s.After()
		return s.sends(s.form.AppendCursor(nil, s.host.o.Live.Offset(s.id)))
	}
	return s.sends(s.form.AppendHeartbeat(nil))
}

// Farewell implements socket.Source.
func (s *session) Farewell(delay time.Duration) []byte {
	return s.sends(s.form.AppendFarewell(nil, delay, s.host.o.Live.Offset(s.After())))
}

// TooSlow implements socket.Source. Who cannot be told cannot be skipped.
func (s *session) TooSlow() bool { return s.Reader.TooSlow(s.form.Tells()) }

// Late implements socket.Ender.
func (s *session) Late() bool { return s.Reader.Late(s.form.Tells()) }

// Close closes the readers. Only the first call does something.
func (s *session) Close() {
	if s.kind == nil {
		return
	}
	s.kind.goes()
	s.kind = nil
	s.host.roll.leave(s)
	s.Reader.Close()
	if s.then != nil {
		s.then.Close()
	}
}

// Done implements socket.Ender.
func (s *session) Done(reason socket.Reason) {
	s.host.log(s, reason)
	s.Close()
}
