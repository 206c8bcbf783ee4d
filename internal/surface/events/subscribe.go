package events

import (
	"net/http"

	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
)

// subscribe answers GET /events.
func (s *Surface) subscribe(w http.ResponseWriter, r *http.Request) socket.Rest {
	w.Header().Add("Vary", "Accept")
	sub, err := s.parseSubscription(r)
	switch {
	case err != nil:
		surface.WriteError(w, r, s.o.Logger, err)
		return nil
	case r.Method == http.MethodHead:
		sub.header(w.Header())
		return nil
	case s.host.Full():
		s.host.TurnAway(w, r, sub.contentType, session.ErrFull())
		return nil
	}
	reading, err := s.host.Resolve(r.Context(), sub.ask, sub.filter, sub.form)
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return nil
	}
	reading.Kind = session.KindOf("events", sub.format, r)
	switch {
	case sub.socket:
		return s.host.Socket(w, r, reading)
	case sub.polls:
		return socket.Later(func() { s.host.Poll(w, r, reading, sub.wait) })
	default:
		return s.host.Stream(w, r, reading, sub.header)
	}
}

// header sets the fields of the answer.
func (sub *subscription) header(h http.Header) {
	if sub.polls {
		session.PollHeader(h)
	} else {
		surface.StreamHeader(h, sub.contentType)
	}
}

// TurnAway answers a request to subscribe that cannot be served now, because of
// err.
func (s *Surface) TurnAway(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Add("Vary", "Accept")
	q, _ := surface.ParseQuery(r) // what could be read of it
	_, contentType, _ := choose(r, q)
	s.host.TurnAway(w, r, contentType, err)
}
