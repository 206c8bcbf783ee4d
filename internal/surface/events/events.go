// Package events is the surface at /events: publish to a topic, and subscribe
// to many topics at once.
package events

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/tally"
)

// MaxTopics is how many topics one subscription may name.
const MaxTopics = 100

// Options are the settings of a Surface; all fields must be set.
type Options struct {
	Journal *journal.Journal
	Host    *session.Host
	Logger  *slog.Logger

	// Heartbeat is the longest silence of a stream if the reader does not
	// choose.
	Heartbeat time.Duration

	// BodyTimeout is how long a record may take to arrive.
	BodyTimeout time.Duration

	// Refused counts publishes that were answered with an error, by its code.
	Refused *tally.Names
}

// A Surface serves /events.
type Surface struct {
	o    Options
	host *session.Host
}

// New returns a Surface.
func New(o Options) *Surface { return &Surface{o, o.Host} }

// Answer answers a request, but for the rest, which is to be run, if there is one.
func (s *Surface) Answer(w http.ResponseWriter, r *http.Request) socket.Rest {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.subscribe(w, r)
	case http.MethodPost:
		s.publish(w, r)
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
	default:
		surface.MethodNotAllowed(w, r, s.o.Logger, methods)
	}
	return nil
}

const methods = "GET, HEAD, OPTIONS, POST"
