// Package streams is the surface at /streams/{name}: one stream as a resource,
// which is made, appended to, read in every form that HTTP can stream it in, and
// removed.
package streams

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/subscription"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/tally"
	"github.com/leat-dev/leat/internal/upload"
)

// What the path of every stream begins with: the first is ours, the second where
// tools that speak the Durable Streams protocol look.
const (
	prefix = "/streams/"
	alias  = "/v1/stream/"
)

// Options are the settings of a Surface; all fields but Subscriptions must be set.
type Options struct {
	Journal *journal.Journal
	Host    *session.Host
	Logger  *slog.Logger

	// Heartbeat is the longest silence of a stream of events or lines if the
	// reader does not choose.
	Heartbeat time.Duration

	// BodyTimeout is how long a body that is stored as a whole may take to
	// arrive, and a line of one that is stored as it arrives.
	BodyTimeout time.Duration

	// LongPollTimeout is how long a poll of the Durable Streams protocol waits.
	LongPollTimeout time.Duration

	// SSECloseAfter is how long an event stream of that protocol lasts, about. 0:
	// to the end of its stream.
	SSECloseAfter time.Duration

	// ReadChunk is the size of an answer to an offset, in bytes: no record is
	// begun after it. 0: there is no bound.
	ReadChunk int

	// Subscriptions are served below __ds/; nil: there are none.
	Subscriptions *subscription.Manager

	// Refused counts appends that were answered with an error, by its code, and
	// streams that were not made.
	Refused *tally.Names

	// NoAlias says that there are no streams below /v1/stream/.
	NoAlias bool
}

// A Surface serves streams.
type Surface struct{ o Options }

// New returns a Surface.
func New(o Options) *Surface { return &Surface{o} }

// Name returns the name of the stream at a path, which was decoded once: %2F is a
// slash like any other. Not every one is valid.
func (s *Surface) Name(path string) (name string, ok bool) {
	if name, ok = strings.CutPrefix(path, prefix); !ok && !s.o.NoAlias {
		name, ok = strings.CutPrefix(path, alias)
	}
	return name, ok
}

var crossOrigin = []string{"cross-origin"} // never changed

const methods = "DELETE, GET, HEAD, OPTIONS, POST, PUT"

// Answer answers a request, but for the rest, which is to be run, if there is one.
func (s *Surface) Answer(w http.ResponseWriter, r *http.Request) socket.Rest {
	w.Header()["Cross-Origin-Resource-Policy"] = crossOrigin // X-Content-Type-Options is the guard's
	in := upload.NewBody(w, r, s.o.BodyTimeout)
	rest, err := s.answer(w, r, in)
	if err != nil {
		s.refuse(w, r, in, err)
	}
	return rest
}

// refuse answers a request with an error.
func (s *Surface) refuse(w http.ResponseWriter, r *http.Request, in *upload.Body, err error) {
	in.Leave()
	code := surface.WriteError(w, r, s.o.Logger, err)
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		s.o.Refused.Add(string(code))
	}
}

// answer answers a request but for the rest, or returns why it cannot be done.
func (s *Surface) answer(w http.ResponseWriter, r *http.Request, in *upload.Body) (socket.Rest, error) {
	var handle func(http.ResponseWriter, *http.Request, string, *upload.Body) error
	switch r.Method {
	case http.MethodGet, http.MethodHead: // read
	case http.MethodPost:
		handle = s.append
	case http.MethodPut:
		handle = s.create
	case http.MethodDelete:
		handle = s.remove
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	default:
		in.Leave()
		surface.MethodNotAllowed(w, r, s.o.Logger, methods)
		return nil, nil
	}
	name, _ := s.Name(r.URL.Path)
	if name == "" && handle == nil {
		return nil, s.list(w, r)
	}
	if rest, ok := strings.CutPrefix(name, controlPrefix); ok && s.o.Subscriptions != nil {
		s.control(w, r, rest, in)
		return nil, nil
	}
	if err := leat.CheckName(name); err != nil {
		return nil, err
	}
	if handle == nil {
		return s.read(w, r, name, in)
	}
	return nil, handle(w, r, name, in)
}

// remove answers DELETE.
func (s *Surface) remove(w http.ResponseWriter, r *http.Request, name string, _ *upload.Body) error {
	if err := s.o.Journal.Delete(r.Context(), name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Fields of requests and answers.
const (
	fieldNext    = "Stream-Next-Offset" // where the stream ends: reading goes on after it
	fieldClosed  = "Stream-Closed"      // true: it has ended
	fieldTTL     = "Stream-TTL"         // seconds from the last use
	fieldExpires = "Stream-Expires-At"  // a date and time of RFC 3339
	fieldEnd     = "Leat-End"           // how it ended, if not complete, and why
	fieldRetain  = "Leat-Retention"     // what is kept of it
	fieldTrim    = "Leat-Trim"          // the last offset of what is to be removed
)

// setEnd sets the fields that tell where a stream stands and how it has ended.
func setEnd(h http.Header, last leat.Offset, end ending) {
	h[fieldNext] = []string{last.String()}
	if end.state == "" {
		return
	}
	h.Set(fieldClosed, "true")
	if end.state != leat.EndComplete {
		h.Set(fieldEnd, formatEnd(end))
	}
}

// setMeta sets the fields that describe a stream whatever is read of it.
func setMeta(h http.Header, m journal.Meta) {
	setEnd(h, m.Last, ending{m.Over, m.Reason})
	c := m.Config
	if c == nil {
		return
	}
	if c.TTL > 0 {
		h.Set(fieldTTL, strconv.FormatInt(int64(c.TTL/time.Second), 10))
	}
	if !c.Expires.IsZero() {
		h.Set(fieldExpires, c.ExpiresText)
	}
	if text := formatRetention(c.Retention); text != "" {
		h.Set(fieldRetain, text)
	}
}
