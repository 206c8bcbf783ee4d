package session

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/store"
)

// Reconnection times that clients are given: spread, so that the readers of a
// server that went away do not come back in one moment.
const (
	minRetry, maxRetry         = time.Second, 3 * time.Second
	minBusyRetry, maxBusyRetry = 5 * time.Second, 20 * time.Second
)

// longAnswer is the length from which on an answer whose length is known is worth its
// connection.
const longAnswer = 256 << 10

// Options are the settings of a Host; Live, Writer and Logger must be set.
type Options struct {
	Live   *live.Live
	Writer *socket.Writer
	Logger *slog.Logger

	// Loops serve the connections that can be taken over from the HTTP
	// server. nil: there are none.
	Loops *socket.Loops

	// MaxSubscribers is the number of readers above which new ones are sent
	// away. 0: no limit.
	MaxSubscribers int
}

// A Host answers readers. Its methods may be called by many goroutines at once.
type Host struct {
	o        Options
	notTaken sync.Once // logged
	counts
	roll roll
}

// NewHost returns a Host.
func NewHost(o Options) *Host { return &Host{o: o, counts: newCounts()} }

// Full reports whether there is room for no further reader.
func (h *Host) Full() bool {
	return h.o.MaxSubscribers > 0 && h.o.Live.Readers() >= h.o.MaxSubscribers
}

// A Reading is what one reader is given. All fields up to Heartbeat must be
// set, except that the zero Start and Loss are the beginning and none, and that Kind is
// for who counts.
type Reading struct {
	Kind      Kind // what it is counted as
	Filter    *leat.Filter
	Form      render.Form
	Start     live.Start
	Loss      store.Loss    // of the offset the reader came with
	Asked     string        // that offset, as it came
	Heartbeat time.Duration // the longest silence

	// Resumes says that the reader has seen what was before Start. One that
	// has seen the end of all it asks for is not answered again.
	Resumes bool

	// Then is the form from the position Start.Until on, at which one that ends
	// there goes on. nil: it does not.
	Then render.Form

	Beat     Beat
	Retry    time.Duration // after which to reconnect; 0: a moment that differs for each
	GapError bool          // end after the first gap

	// Gone is the error for a reader of a stream that does not exist, if it
	// turns out that nothing tells of its end. nil: there is no such error.
	Gone error

	// CloseAfter is the time after which the answer ends, as soon as nothing is
	// due. 0: it does not for that.
	CloseAfter time.Duration

	// Known is an entry that is due before that.
	Known uint64

	// Head and Tail stand before and behind the frames; a Tail needs a Limit.
	Head, Tail []byte

	// Status is that of the answer. 0: 200.
	Status int

	// Within says that Start is not at the beginning of the stream's content. A form
	// that has nothing for the end of a deleted stream has content of one stream only.
	Within bool

	// Limit is the number of bytes of frames after which the answer ends,
	// wherever in a record that is. 0: none. An answer of no bytes needs no
	// reader.
	Limit int64

	// Broken says that what there is broke off: the answer is cut even after
	// all of it was sent, so that it does not look complete.
	Broken bool
}

// Resolve finds where a reader begins that asks for a. The error is of the
// request: what it asks for cannot be understood, or is gone and it wants to
// hear that as an error.
func (h *Host) Resolve(ctx context.Context, a *Ask, filter *leat.Filter, form render.Form) (*Reading, error) {
	start, loss, err := a.start(ctx, h.o.Live, filter, time.Now())
	if err != nil {
		return nil, err
	}
	rd := &Reading{
		Filter: filter, Form: form, Start: start, Loss: loss, Asked: a.asked(h.o.Live, start),
		Heartbeat: a.Heartbeat, Beat: a.Beat, Retry: a.Retry, GapError: a.GapError, Resumes: a.Resumes(),
	}
	// Who does not resume is owed nothing of what went before.
	owed := a.Cursor != "" || start.Told == 0
	if a.GapError && (loss != store.LossNone || owed) {
		err = h.RefuseGap(ctx, rd)
	}
	return rd, err
}

// RefuseGap returns an error if the reader cannot be given all it is owed.
func (h *Host) RefuseGap(ctx context.Context, rd *Reading) error {
	next := h.o.Live.Offset(rd.Start.After)
	if rd.Loss != store.LossNone {
		return h.gapRefused(rd.Asked, next, string(rd.Loss))
	}
	missing, err := h.o.Live.Missing(ctx, rd.Filter, rd.Start.Lineage, rd.Start.After)
	if err != nil || missing == nil {
		return err
	}
	return h.missingRefused(missing, rd.Asked, rd.Start.After)
}

func (h *Host) missingRefused(missing *live.Missing, asked string, after uint64) *leat.Error {
	gap := gapOf(h.o.Live, missing, asked, after, false)
	if len(gap.Topics) == 0 {
		gap = gapOf(h.o.Live, missing, asked, after, true) // all of them were deleted
	}
	return h.gapRefused(asked, gap.Next, gap.Reason).With("topics", gap.Topics)
}

func (h *Host) gapRefused(asked string, next leat.Offset, reason string) *leat.Error {
	h.gaps.Add(reason)
	return leat.Errorf(leat.CodeGap, "records after %s are gone: %s", asked, reason).
		Advise("Fetch the present state another way, then subscribe from now; or leave gap=error out to go on and be told in the stream.").
		With("reason", reason).With("asked", asked).With("next", next)
}

// join makes the session of a reading, whose reader must be closed. It is nil
// if the reader has seen all that there will ever be, the end included. One that
// does not say what it has seen begins with the end, so that it is told.
func (h *Host) join(ctx context.Context, rd *Reading, waker live.Waker) (*session, error) {
	rd.Start.Patient = rd.Limit != 0
	join := func() (*live.Reader, error) {
		return h.o.Live.Join(ctx, rd.Filter, rd.Form.Encoding(), rd.Start, waker)
	}
	reader, err := join()
	if err != nil {
		return nil, err
	}
	last, ended := reader.LastEnd()
	switch {
	case !ended && rd.Gone != nil:
		reader.Close()
		return nil, rd.Gone
	case ended && rd.Start.After >= last && rd.Limit == 0:
		reader.Close()
		if rd.Resumes && rd.Loss == store.LossNone {
			return nil, nil
		}
		rd.Start = live.Start{After: last - 1, Lineage: rd.Start.Lineage}
		if reader, err = join(); err != nil {
			return nil, err
		}
	}
	var then *live.Reader
	if rd.Then != nil {
		// It is there before the first look: what comes meanwhile is not missed.
		start := live.Start{After: rd.Start.Until, Lineage: rd.Start.Lineage}
		if then, err = h.o.Live.Join(ctx, rd.Filter, rd.Then.Encoding(), start, waker); err != nil {
			reader.Close()
			return nil, err
		}
	}
	closeAt := time.Time{}
	if rd.CloseAfter > 0 {
		closeAt = time.Now().Add(rd.CloseAfter)
	}
	asked := ""
	if rd.Loss != store.LossNone { // only then it is told
		asked = strings.Clone(rd.Asked)
	}
	return &session{
		kind: h.comes(rd.Kind).followed(ctx), Reader: reader, then: then, closeAt: closeAt, known: rd.Known,
		host: h, form: rd.Form, beat: rd.Beat, asked: asked, gapError: rd.GapError,
		limited: rd.Limit != 0, left: rd.Limit, within: rd.Within, id: rd.Start.After, loss: rd.Loss,
	}, nil
}

// open is join for a request, which it answers if there is no session.
func (h *Host) open(w http.ResponseWriter, r *http.Request, rd *Reading, waker live.Waker) *session {
	ses, err := h.join(r.Context(), rd, waker)
	switch {
	case err != nil:
		surface.WriteError(w, r, h.o.Logger, err)
	case ses == nil:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodHead:
		h.roll.enter(ses, r, rd)
	}
	return ses
}

// Stream sends a reader what it is due until the connection ends. header fills in
// the header; it is not called for a reader that has seen the end of all it asks
// for: that is answered 204, which makes an EventSource stop. An answer that stops
// before its end, in a form that cannot say so, is cut. A request with HEAD is
// answered with the header alone.
//
// What Stream returns is to be run: that is the answer, and closes the reader. It is nil
// if the request is answered, or its connection was given to a loop.
func (h *Host) Stream(w http.ResponseWriter, r *http.Request, rd *Reading, header func(http.Header)) socket.Rest {
	if h.o.Loops != nil && rd.isLong() && surface.CanTakeOver(r) && h.giveAway(w, r, rd, header) {
		return nil
	}
	if rd.Limit == 0 && r.Method != http.MethodHead {
		if err := surface.CheckFlush(w); err != nil {
			surface.WriteError(w, r, h.o.Logger, err)
			return nil
		}
	}
	bell := socket.NewBell()
	ses := h.open(w, r, rd, bell)
	if ses == nil {
		return nil
	}
	header(w.Header())
	w.WriteHeader(rd.status())
	if r.Method == http.MethodHead {
		ses.Close()
		return nil
	}
	return h.o.Writer.Begin(r.Context(), socket.Conn{
		Output:    surface.NewOutput(w),
		Source:    ses,
		Bell:      bell,
		Head:      h.opening(rd),
		Heartbeat: rd.Heartbeat,
		Aside:     surface.IsShared(r),
		Done:      ses.ending(w, rd.Tail, rd.Broken),
	})
}

// ending returns what ends the answer of a session for a reason.
func (s *session) ending(w http.ResponseWriter, tail []byte, broken bool) func(socket.Reason) {
	return func(reason socket.Reason) {
		defer s.Close()
		if reason == "" {
			s.host.left.Add(string(socket.ReasonBroken))
			return // it panicked
		}
		s.host.log(s, reason)
		switch {
		case reason == socket.ReasonCut:
		case reason == socket.ReasonEnded:
			_, _ = w.Write(tail) // the client may be gone
			if !broken {
				return
			}
		case s.form.Tells():
			return
		}
		Abort(w)
	}
}

// Abort ends an answer so that it does not look complete: HTTP/1 without the last
// chunk, HTTP/2 with a reset. What was written arrives, unless the client takes
// nothing for a while. It does not return.
func Abort(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_ = rc.Flush()
	panic(http.ErrAbortHandler)
}

// giveAway is Stream for a connection that is taken over from the HTTP server. It
// reports whether the request is answered.
func (h *Host) giveAway(w http.ResponseWriter, r *http.Request, rd *Reading, header func(http.Header)) bool {
	c := h.o.Loops.NewConn()
	ses := h.open(w, r, rd, c)
	if ses == nil {
		return true
	}
	header(w.Header())
	fd, head, err := surface.TakeOver(w, r, rd.status())
	if err != nil {
		ses.kind.unfollow()
		ses.Close()
		h.notTaken.Do(func() {
			h.o.Logger.Warn("a reader's connection could not be taken over from the http.Server: readers may cost a goroutine each; this is logged once", "remote", r.RemoteAddr, "err", err)
		})
		return false
	}
	var source socket.Ender = ses
	if rd.Limit > 0 {
		source = &download{session: ses, tail: rd.Tail, broken: rd.Broken}
	}
	c.Start(socket.Taken{
		FD: fd, Source: source, Head: head, Plain: w.Header().Get("Content-Length") != "",
		Block:     h.opening(rd),
		Heartbeat: rd.Heartbeat,
	})
	return true
}

// log tells how a reader left.
func (h *Host) log(ses *session, reason socket.Reason) {
	if ses.dismissed() {
		reason = socket.ReasonDismissed
	}
	h.left.Add(string(reason))
	ses.kind.leaves(reason)
	after := h.o.Live.Offset(ses.After())
	h.o.Logger.Debug("reader left", "remote", ses.remote, "reason", reason, "after", after)
	if err := ses.Err(); reason == socket.ReasonCut && err != nil {
		h.o.Logger.Warn("reader was cut", "remote", ses.remote, "after", after, "err", err)
	}
}

// isLong reports whether the answer is worth a connection: one that ends soon leaves
// it to the next request.
func (rd *Reading) isLong() bool { return rd.Limit == 0 || rd.Limit >= longAnswer }

// opening is what a reader is sent first.
func (h *Host) opening(rd *Reading) []byte {
	retry := rd.Retry
	if retry == 0 {
		retry = between(minRetry, maxRetry)
	}
	return rd.Form.AppendOpening(rd.Head, retry, h.o.Live.Offset(rd.Start.After))
}

func (rd *Reading) status() int { return cmp.Or(rd.Status, http.StatusOK) }

// TurnAway answers a reader that cannot be served now, because of err. An error
// status would end a native EventSource for ever, so an event stream is one that
// ends at once with the advice to come back later; in every other form nothing has
// begun, and it is an error that says when to come back.
func (h *Host) TurnAway(w http.ResponseWriter, r *http.Request, contentType string, err error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
	case err == errFull:
		h.turnedAway.Add(TurnedAwayFull)
	default:
		h.turnedAway.Add(TurnedAwayStopping)
	}
	later := between(minBusyRetry, maxBusyRetry)
	if contentType != surface.EventStream {
		w.Header().Set("Retry-After", strconv.Itoa(int(later/time.Second)))
		surface.WriteError(w, r, h.o.Logger, err)
		return
	}
	surface.StreamHeader(w.Header(), surface.EventStream)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(render.AppendBusy(nil, later))
}

// ErrFull is why a reader is refused when the Host is Full.
func ErrFull() error { return errFull }

var errFull error = leat.Errorf(leat.CodeUnavailable, "there is no room for another reader now").Advise("Come back later.")

func between(low, high time.Duration) time.Duration { return low + rand.N(high-low) }
