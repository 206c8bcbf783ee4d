package session

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
)

// Bounds of how long a poll waits, and how long it does if it does not choose.
const (
	maxWait    = 5 * time.Minute
	normalWait = 30 * time.Second

	// A shorter wait is none: it would not be worth a timer.
	minWait = 10 * time.Millisecond
)

// pollBytes is how much a poll is answered with: no record is begun after that.
const pollBytes = 256 << 10

// ParseWait reads how long a poll may wait for something to answer with.
func ParseWait(q surface.Query) (time.Duration, error) {
	text := q.Get("wait")
	if text == "" {
		return normalWait, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, surface.InvalidParameter("wait", text, "It is a duration from 0s to 5m, such as 30s.")
	}
	return d, nil
}

// A poll is a session that ends as soon as it has given something. It is its own
// Output and keeps what it was given: lines of NDJSON.
type poll struct {
	*session
	begin uint64 // the position it starts from
	late  bool   // it has waited long enough
	given int    // bytes that were due or told
	lines []byte
}

// Peek implements socket.Source.
func (p *poll) Peek(out *frame.Ranges, size int) socket.State {
	if p.given >= pollBytes && p.Between() {
		return socket.End
	}
	head := p.host.o.Live.Head()
	// At least 1: that is the rest of what was begun, and nothing after it.
	state := p.session.Peek(out, max(1, min(size, pollBytes-p.given)))
	if state != socket.Idle || p.given == 0 && !p.late {
		return state
	}
	// An answer moves on, or the next poll would find the same: it waits for a
	// page of history, and in time for all that lead past what it tells as gone.
	moved := p.After() > p.begin && (p.late || p.After() >= p.gone)
	if p.Between() && (moved || p.After() >= head) {
		return socket.End
	}
	return socket.Idle
}

// Advance implements socket.Source.
func (p *poll) Advance(out *frame.Ranges, n int) {
	p.session.Advance(out, n)
	p.given += n
}

// Notice implements socket.Source.
func (p *poll) Notice() []byte {
	block := p.session.Notice()
	p.given += len(block)
	return block
}

// Heartbeat implements socket.Source: the wait is over.
func (p *poll) Heartbeat() []byte {
	p.late = true
	return nil
}

// Farewell implements socket.Source: the answer says it.
func (p *poll) Farewell(time.Duration) []byte { return nil }

// Write implements socket.Output.
func (p *poll) Write(b []byte) (int, error) {
	p.lines = append(p.lines, b...)
	return len(b), nil
}

// Flush implements socket.Output.
func (p *poll) Flush() error { return nil }

// SetWriteDeadline implements socket.Output.
func (p *poll) SetWriteDeadline(time.Time) error { return nil }

// answer returns the document of what was given: the ends of the lines are the
// commas of an array.
func (p *poll) answer() []byte {
	body := append(make([]byte, 0, len(p.lines)+80), `{"events":[`...)
	// What was begun and could not be finished comes with the next poll.
	whole := p.lines[:bytes.LastIndexByte(p.lines, '\n')+1]
	if len(whole) > 0 {
		start := len(body)
		body = append(body, whole[:len(whole)-1]...)
		for i := start; i < len(body); i++ {
			if body[i] == '\n' {
				body[i] = ','
			}
		}
	}
	body = append(body, `],"next":"`...)
	return append(p.host.o.Live.Offset(p.After()).AppendTo(body), "\"}\n"...)
}

// PollHeader sets the fields of the answer to a poll.
func PollHeader(h http.Header) {
	h.Set("Content-Type", surface.JSON)
	h.Set("Cache-Control", "no-store")
}

// Poll answers with what a reader is due, as one JSON document: at once if there
// is something, otherwise when there is, or when the wait is over. If the server
// stops it answers with what it has. The Form must be Lines; Heartbeat and Beat
// do not matter.
func (h *Host) Poll(w http.ResponseWriter, r *http.Request, rd *Reading, wait time.Duration) {
	bell := socket.NewBell()
	ses := h.open(w, r, rd, bell)
	if ses == nil {
		return
	}
	defer ses.Close()
	p := &poll{session: ses, begin: rd.Start.After, late: wait < minWait}
	reason := h.o.Writer.Serve(r.Context(), socket.Conn{Output: p, Source: p, Bell: bell, Heartbeat: max(wait, minWait)})
	h.o.Logger.Debug("poll answered", "remote", r.RemoteAddr, "reason", reason, "after", h.o.Live.Offset(p.After()))
	switch {
	case reason == socket.ReasonGone:
		panic(http.ErrAbortHandler) // an answer without a document is none
	case reason == socket.ReasonCut && p.given == 0:
		surface.WriteError(w, r, h.o.Logger, cannotGoOn(p.Err()))
	default:
		body := p.answer()
		PollHeader(w.Header())
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // the client may be gone
	}
}

// cannotGoOn is the error of a reader that has failed before it got anything.
func cannotGoOn(err error) error {
	if e := (*leat.Error)(nil); errors.As(err, &e) {
		return e
	}
	return leat.Errorf(leat.CodeUnavailable, "the records cannot be read now: %w", err).Advise("Ask again with the same offset.")
}
