// Package streams is the surface at /streams/{name}: one stream as a resource,
// which is made, appended to, read in every form that HTTP can stream it in, and
// removed.
package streams

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/surface"
)

// Prefix is what the path of every stream begins with.
const Prefix = "/streams/"

// Options are the settings of a Surface; all fields must be set.
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
}

// A Surface serves what is below Prefix.
type Surface struct{ o Options }

// New returns a Surface.
func New(o Options) *Surface { return &Surface{o} }

const methods = "DELETE, GET, HEAD, OPTIONS, POST, PUT"

func (s *Surface) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handle := s.read
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		handle = s.append
	case http.MethodPut:
		handle = s.create
	case http.MethodDelete:
		handle = s.remove
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		surface.MethodNotAllowed(w, r, s.o.Logger, methods)
		return
	}
	name, err := nameOf(r)
	if err == nil {
		err = handle(w, r, name)
	}
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
	}
}

// nameOf returns the name in a request's path: all that follows Prefix, after one
// percent-decoding. So %2F is a slash like any other.
func nameOf(r *http.Request) (string, error) {
	text := strings.TrimPrefix(r.URL.EscapedPath(), Prefix)
	name, err := url.PathUnescape(text)
	if err != nil {
		return "", leat.Errorf(leat.CodeInvalidName, "the path cannot be decoded: %w", err).
			Advise("Percent-encode what is not a letter, a digit or one of -._~/ in a name.")
	}
	return name, leat.CheckName(name)
}

// remove answers DELETE.
func (s *Surface) remove(w http.ResponseWriter, r *http.Request, name string) error {
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
	fieldEnd     = "Leat-End"           // how it ended, if not complete
	fieldRetain  = "Leat-Retention"     // what is kept of it
)

// setEnd sets the fields that tell where a stream stands and how it has ended.
func setEnd(h http.Header, last leat.Offset, over leat.EndState) {
	h.Set(fieldNext, last.String())
	if over == "" {
		return
	}
	h.Set(fieldClosed, "true")
	if over != leat.EndComplete {
		h.Set(fieldEnd, string(over))
	}
}

// setMeta sets the fields that describe a stream whatever is read of it.
func setMeta(h http.Header, m journal.Meta) {
	setEnd(h, m.Last, m.Over)
	c := m.Config
	if c == nil {
		return
	}
	if c.TTL > 0 {
		h.Set(fieldTTL, strconv.FormatInt(int64(c.TTL/time.Second), 10))
	}
	if !c.Expires.IsZero() {
		h.Set(fieldExpires, c.Expires.UTC().Format(time.RFC3339Nano))
	}
	if text := formatRetention(c.Retention); text != "" {
		h.Set(fieldRetain, text)
	}
}
