package events

import (
	"time"

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
	live     *live.Live
	beat     beat
	asked    string // the offset that the reader came with
	gapError bool   // end instead of going on after a gap

	id    uint64     // the position that the client knows
	loss  store.Loss // of the offset the reader came with; to be told
	ended bool
}

var _ socket.Source = (*session)(nil)

// Peek implements socket.Source.
func (s *session) Peek(out *frame.Ranges, size int) socket.State {
	switch {
	case s.ended:
		return socket.End
	case s.loss != store.LossNone:
		return socket.Notice
	}
	switch s.Reader.Peek(out, size) {
	case live.Due:
		return socket.Due
	case live.Gap:
		return socket.Notice
	case live.Failed:
		return socket.Cut
	case live.Ended:
		return socket.End
	default:
		return socket.Idle
	}
}

// Advance implements socket.Source.
func (s *session) Advance(out *frame.Ranges, n int) {
	before := s.After()
	s.Reader.Advance(out, n)
	if after := s.After(); after != before {
		s.id = after // the last event's
	}
}

// Notice implements socket.Source: it tells a gap.
func (s *session) Notice() []byte {
	s.id = s.After()
	s.ended = s.gapError
	if s.loss != store.LossNone {
		gap := render.Gap{Reason: string(s.loss), Asked: s.asked, Next: s.live.Offset(s.After())}
		s.loss = store.LossNone
		return render.AppendGap(nil, &gap)
	}
	missing := s.TakeGap()
	asked := s.live.Offset(s.After()).String()
	block := render.AppendGap(nil, gapOf(s.live, missing, asked, s.After(), false))
	return render.AppendGap(block, gapOf(s.live, missing, asked, s.After(), true))
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
	moved := s.After() != s.id
	if s.beat == beatEvent || s.beat == beatAuto && moved {
		s.id = s.After()
		return render.AppendCursor(nil, s.live.Offset(s.id))
	}
	return render.AppendComment(nil)
}

// Farewell implements socket.Source. It ends with the position, so that nothing
// is read again that was only passed over.
func (s *session) Farewell(delay time.Duration) []byte {
	return render.AppendCursor(render.AppendRetry(nil, delay), s.live.Offset(s.After()))
}
