package session

import (
	"context"
	"iter"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
)

// A Told is what a reader in this process is given: a record, which may be the end of a
// stream, or a gap, or, with neither, its position alone.
type Told struct {
	Position leat.Offset // where another reader goes on
	Record   *leat.Record
	Gap      *render.Gap
}

// Records is Stream for a reader in this process: the position first, then what it is
// due, each once, in order, until there will be no more. The Form must be
// render.Records. If rd.Heartbeat is not 0 the position is told after a silence so
// long. The last pair has the error if the reader cannot go on, ctx ends or the server
// stops. left is told why it ends, as the counts are.
func (h *Host) Records(ctx context.Context, rd *Reading, left func(reason string)) iter.Seq2[Told, error] {
	return func(yield func(Told, error) bool) {
		bell := socket.NewBell()
		ses, err := h.join(ctx, rd, bell)
		switch {
		case err != nil:
			yield(Told{}, err)
			return
		case ses == nil:
			return // it has seen the end
		}
		telling := telling{session: ses, ctx: ctx, bell: bell, heartbeat: rd.Heartbeat, yield: yield, reason: socket.ReasonGone}
		// Also if the loop that takes what is told is left by a panic.
		defer func() {
			h.log(ses, telling.reason)
			left(string(telling.reason))
			ses.Close()
		}()
		telling.run()
	}
}

// A telling is a Records under way.
type telling struct {
	*session
	ctx       context.Context // that of the whole
	bell      socket.Bell
	heartbeat time.Duration
	yield     func(Told, error) bool
	ranges    frame.Ranges
	reason    socket.Reason // of the end: gone is that the loop was left
}

func (t *telling) position() leat.Offset { return t.host.o.Live.Offset(t.After()) }

func (t *telling) run() {
	var silence *time.Timer
	var silent <-chan time.Time
	if t.heartbeat > 0 {
		silence = time.NewTimer(t.heartbeat)
		defer silence.Stop()
		silent = silence.C
	}
	for more := t.tell(Told{Position: t.position()}); more; {
		if more = t.look(); !more {
			return
		}
		if silence != nil {
			silence.Reset(t.heartbeat)
		}
		select {
		case <-t.bell.Rung():
		case <-silent:
			t.Reader.Peek(&t.ranges, 0) // the position moves on
			more = t.tell(Told{Position: t.position()})
		case <-t.host.o.Writer.Stopping():
			t.fail(socket.ReasonShutdown, leat.Errorf(leat.CodeUnavailable, "the server is stopping").
				Advise("Subscribe to the next one, from the last position."))
			return
		case <-t.ctx.Done():
			t.fail(socket.ReasonGone, t.ctx.Err())
			return
		}
	}
}

// look tells all that is due, and reports whether there may be more. Who is slow pins no
// page: a record is a copy, and made one by one.
func (t *telling) look() bool {
	for t.ctx.Err() == nil && !t.stopping() {
		if t.TooSlow() {
			t.fail(socket.ReasonSlow, leat.Errorf(leat.CodeUnavailable, "the reader fell behind by more than it may").
				Advise("Subscribe again, from the last position."))
			return false
		}
		switch t.Peek(&t.ranges, 1) {
		case socket.Due:
			n := t.ranges.Len()
			r := render.ParseRecord(t.ranges.Bytes[0])
			t.host.o.Writer.Count(socket.Sent{Records: 1, Bytes: int64(n)})
			t.Advance(&t.ranges, n)
			t.ranges.Reset()
			if !t.tell(Told{Position: r.Offset, Record: r}) {
				return false
			}
		case socket.Notice:
			for _, gap := range t.takeGaps() {
				if !t.tell(Told{Position: gap.Next, Gap: gap}) {
					return false
				}
			}
		case socket.End:
			t.reason = socket.ReasonEnded
			return false
		case socket.Cut:
			t.fail(socket.ReasonCut, cannotGoOn(t.Err()))
			return false
		default:
			return true
		}
	}
	return true // run finds out which
}

func (t *telling) stopping() bool {
	select {
	case <-t.host.o.Writer.Stopping():
		return true
	default:
		return false
	}
}

// tell gives something away, and reports whether the loop goes on.
func (t *telling) tell(what Told) bool { return t.yield(what, nil) }

// fail ends the telling with an error.
func (t *telling) fail(reason socket.Reason, err error) {
	t.reason = reason
	t.yield(Told{Position: t.position()}, err)
}
