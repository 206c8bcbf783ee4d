package events

import (
	"net/http"

	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/surface"
)

// subscribe answers GET /events.
func (s *Surface) subscribe(w http.ResponseWriter, r *http.Request) {
	sub, err := s.parseSubscription(r)
	if err == nil {
		w.Header().Add("Vary", "Accept")
		_, err = surface.Negotiate(r.Header.Values("Accept"), surface.EventStream)
	}
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return
	}
	if r.Method == http.MethodHead {
		surface.StreamHeader(w.Header(), surface.EventStream)
		return
	}
	if s.host.Full() {
		s.SendAway(w)
		return
	}
	reading, err := s.host.Resolve(r.Context(), sub.ask, sub.filter, sub.form)
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return
	}
	s.host.Stream(w, r, reading, func(h http.Header) { surface.StreamHeader(h, surface.EventStream) })
}

// SendAway answers a reader that cannot be served now.
func (s *Surface) SendAway(w http.ResponseWriter) { session.SendAway(w) }
