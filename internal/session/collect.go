package session

import (
	"context"
	"net/http"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/store"
)

// A Chunk is what a stream has behind a position, as far as one answer goes.
type Chunk struct {
	Pieces [][]byte // the frames, which are immutable
	Bytes  int

	// Next is the last entry of the stream that the chunk has or passes, 0 if
	// there is none.
	Next uint64

	// UpToDate says that there is nothing more now.
	UpToDate bool

	// End is how the stream has ended, if nothing more will come.
	End leat.EndState
}

// A Want says what Collect is to bring.
type Want struct {
	Most  int           // after as many bytes no frame is begun
	Known uint64        // an entry that must be in it, if there is room
	Wait  time.Duration // how long to wait for something if there is nothing
}

// Collect brings what a reader of one stream is due, in a form that has no blocks. It
// waits for as long as it may if there is nothing, and ends early if the server stops.
// The error has leat.CodeGap if what the reader is owed is gone.
func (h *Host) Collect(ctx context.Context, rd *Reading, want Want) (*Chunk, error) {
	if rd.Loss != store.LossNone {
		return nil, h.gapRefused(rd.Asked, h.o.Live.Offset(rd.Start.After), string(rd.Loss))
	}
	c, err := h.collecting(ctx, rd, want)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var late <-chan time.Time
	if c.late = want.Wait <= 0; !c.late {
		timer := time.NewTimer(want.Wait)
		defer timer.Stop()
		late = timer.C
	}
	return c.next(ctx, late)
}

func (h *Host) collecting(ctx context.Context, rd *Reading, want Want) (*collecting, error) {
	bell := socket.NewBell()
	reader, err := h.o.Live.Join(ctx, rd.Filter, rd.Form.Encoding(), rd.Start, bell)
	if err != nil {
		return nil, err
	}
	return &collecting{
		kind: h.comes(rd.Kind), Reader: reader, host: h, bell: bell, asked: rd.Asked, within: rd.Within, most: want.Most, known: want.Known,
		stopping: h.o.Writer.Stopping(),
	}, nil
}

// collecting is a Collect under way.
type collecting struct {
	*live.Reader
	kind     *kind
	host     *Host
	bell     socket.Bell
	stopping <-chan struct{}
	asked    string
	within   bool // what comes first is not the beginning of the stream
	late     bool // nothing is waited for any more
	over     bool // the stream that it began in has gone
	most     int
	known    uint64
	chunk    Chunk
	ranges   frame.Ranges
}

// Close closes the reader.
func (c *collecting) Close() {
	c.kind.goes()
	c.Reader.Close()
}

// next waits for a chunk. What is on its way from the store still comes when late has
// something, and when the server stops.
func (c *collecting) next(ctx context.Context, late <-chan time.Time) (*Chunk, error) {
	for {
		if done, err := c.look(); done || err != nil {
			return &c.chunk, err
		}
		select {
		case <-c.bell.Rung():
		case <-late:
			c.late = true
		case <-c.stopping:
			c.late, c.stopping = true, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look takes what is due, and reports whether that is the answer.
func (c *collecting) look() (done bool, err error) {
	for {
		head := c.host.o.Live.Head()
		switch c.Peek(&c.ranges, max(1, c.most-c.chunk.Bytes)) {
		case live.Due:
			switch {
			case c.beginsAnew():
				return true, c.replaced()
			case c.chunk.Bytes >= c.most && c.ranges.Len() > 0:
				return true, nil
			}
			c.take()
		case live.Gap:
			if c.chunk.Next > 0 {
				return true, nil // who asks for what follows is told
			}
			return true, c.host.missingRefused(c.TakeGap(), c.asked, c.After())
		case live.Failed:
			return true, cannotGoOn(c.Err())
		case live.Ended:
			c.chunk.UpToDate, c.chunk.End = true, c.EndState()
			return true, nil
		default:
			atTail := c.After() >= max(head, c.known)
			c.chunk.UpToDate = atTail
			return atTail && (c.late || c.chunk.Next > 0), nil
		}
	}
}

// beginsAnew reports whether what was peeked at is not of the stream that the reader
// has read from. The end that says that it has gone is, and has no bytes; whatever comes
// after that is another's.
func (c *collecting) beginsAnew() bool {
	begins := c.ranges.Beginning() && (c.within || c.chunk.Next > 0)
	if c.over || begins && c.ranges.Len() > 0 {
		return true
	}
	c.over = begins
	return false
}

// take takes what was peeked at: whole frames.
func (c *collecting) take() {
	n := c.ranges.Len()
	if n > 0 { // the end of a stream is no bytes
		c.chunk.Pieces = append(c.chunk.Pieces, c.ranges.Keep()...)
	}
	c.chunk.Bytes += n
	c.host.o.Writer.Count(socket.Sent{Records: int64(c.ranges.Whole(n)), Bytes: int64(n)})
	c.Advance(&c.ranges, n)
	c.chunk.Next = c.After()
}

// replaced is the error of a reader whose stream has been deleted and made anew.
func (c *collecting) replaced() error {
	return c.host.gapRefused(c.asked, c.host.o.Live.Offset(c.After()), render.ReasonReplaced)
}

// Answer answers a request with what was collected: the header is written by now.
func (h *Host) Answer(w http.ResponseWriter, pieces [][]byte) {
	if reason := h.o.Writer.Answer(surface.NewOutput(w), pieces); reason != "" {
		h.o.Logger.Debug("answer was cut", "reason", reason)
		Abort(w)
	}
}

// copyBytes is how much of an answer is held at once that has more than that.
const copyBytes = 512 << 10

// Copy answers a request with what a reader is due up to where its Start says that it
// ends. If that cannot be had the answer is cut.
func (h *Host) Copy(w http.ResponseWriter, r *http.Request, rd *Reading) {
	c, err := h.collecting(r.Context(), rd, Want{Most: copyBytes})
	if err != nil {
		Abort(w)
	}
	defer c.Close()
	for c.After() < rd.Start.Until {
		c.chunk = Chunk{}
		if _, err := c.next(r.Context(), nil); err != nil {
			Abort(w)
		}
		h.Answer(w, c.chunk.Pieces)
	}
}

// Offset returns the offset of an entry of the log.
func (h *Host) Offset(seq uint64) leat.Offset { return h.o.Live.Offset(seq) }

// ResumeAt returns where a reader goes on that was given all up to an offset, of what a
// fork inherits too if there is a lineage, and whether that can be done.
func (h *Host) ResumeAt(o leat.Offset, of *journal.Lineage) (live.Start, store.Loss) {
	return h.o.Live.Resume(o, of)
}
