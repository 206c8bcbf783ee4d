package events

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/store"
)

const eventStream = "text/event-stream"

// Reconnection times that clients are given: spread, so that the readers of a
// server that went away do not come back in one moment.
const (
	minRetry, maxRetry         = time.Second, 3 * time.Second
	minBusyRetry, maxBusyRetry = 5 * time.Second, 20 * time.Second
)

// subscribe answers GET /events.
func (s *Surface) subscribe(w http.ResponseWriter, r *http.Request) {
	sub, err := parseSubscription(r, s.o.Heartbeat)
	if err == nil {
		w.Header().Add("Vary", "Accept")
		_, err = surface.Negotiate(r.Header.Values("Accept"), eventStream)
	}
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return
	}
	if r.Method == http.MethodHead {
		surface.StreamHeader(w.Header(), eventStream)
		return
	}
	if most := s.o.MaxSubscribers; most > 0 && s.o.Live.Readers() >= most {
		s.SendAway(w)
		return
	}
	start, loss, err := sub.start(r.Context(), s.o.Live, time.Now())
	if err == nil && sub.gapError {
		err = s.refuseGap(r, sub, start, loss)
	}
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return
	}
	s.stream(w, r, sub, start, loss)
}

// stream sends events until the connection ends.
func (s *Surface) stream(w http.ResponseWriter, r *http.Request, sub *subscription, start live.Start, loss store.Loss) {
	bell := socket.NewBell()
	encoding := render.SSE
	if sub.envelope {
		encoding = render.SSEEnvelope
	}
	reader, err := s.o.Live.Join(r.Context(), sub.filter, encoding, start, bell)
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return
	}
	defer reader.Close()
	ses := &session{Reader: reader, live: s.o.Live, beat: sub.beat, asked: sub.asked(s.o.Live, start), gapError: sub.gapError, id: start.After, loss: loss}

	surface.StreamHeader(w.Header(), eventStream)
	w.WriteHeader(http.StatusOK)
	reason := s.o.Writer.Serve(r.Context(), socket.Conn{
		Output:    surface.NewOutput(w),
		Source:    ses,
		Bell:      bell,
		Head:      render.AppendOpening(nil, between(minRetry, maxRetry), s.o.Live.Offset(start.After)),
		Heartbeat: sub.heartbeat,
	})
	s.o.Logger.Debug("reader left", "remote", r.RemoteAddr, "reason", reason, "after", s.o.Live.Offset(reader.After()))
	if reason == socket.ReasonCut {
		s.o.Logger.Warn("reader was cut", "remote", r.RemoteAddr, "err", reader.Err())
		panic(http.ErrAbortHandler) // so that it does not look like an end
	}
}

// asked returns the text of the offset that the reader asked for.
func (s *subscription) asked(l *live.Live, start live.Start) string {
	if s.cursor != "" {
		return s.cursor
	}
	if _, err := leat.ParseOffset(s.from); err == nil {
		return s.from
	}
	return l.Offset(start.After).String()
}

// refuseGap returns an error if the reader cannot be given all it is owed.
func (s *Surface) refuseGap(r *http.Request, sub *subscription, start live.Start, loss store.Loss) error {
	next := s.o.Live.Offset(start.After)
	if loss != store.LossNone {
		return gapRefused(sub.asked(s.o.Live, start), next, string(loss))
	}
	if sub.cursor == "" && start.Told > 0 {
		return nil // it does not resume
	}
	missing, err := s.o.Live.Missing(r.Context(), sub.filter, start.After)
	if err != nil || missing == nil {
		return err
	}
	e := gapRefused(sub.asked(s.o.Live, start), next, render.ReasonTrimmed)
	return e.With("topics", gapOf(s.o.Live, missing, sub.asked(s.o.Live, start), start.After, false).Topics)
}

func gapRefused(asked string, next leat.Offset, reason string) *leat.Error {
	return leat.Errorf(leat.CodeGap, "records after %s are gone: %s", asked, reason).
		Advise("Fetch the present state another way, then subscribe from now; or leave gap=error out to go on and be told in the stream.").
		With("reason", reason).With("asked", asked).With("next", next)
}

// SendAway answers a reader that cannot be served now. An error status would
// end a native EventSource for ever, so it gets a stream that ends at once and
// the advice to come back later.
func (s *Surface) SendAway(w http.ResponseWriter) {
	surface.StreamHeader(w.Header(), eventStream)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(render.AppendBusy(nil, between(minBusyRetry, maxBusyRetry)))
}

func between(low, high time.Duration) time.Duration { return low + rand.N(high-low) }
