package streams

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
)

// typeForm is the media type that curl -d sends. It stands for nothing here and
// counts as text.
const typeForm = "application/x-www-form-urlencoded"

// essenceOf returns a content type without its parameters, in lower case, and one that
// cannot be parsed as it is.
func essenceOf(contentType string) string {
	if !strings.Contains(contentType, ";") {
		return strings.ToLower(strings.TrimSpace(contentType)) // there is nothing to parse
	}
	essence, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(contentType))
	}
	return essence
}

// A manner is how a body becomes records.
type manner int

const (
	whole  manner = iota // one record, or the elements of a JSON array, all or none
	chunks               // bytes as they arrive
	values               // a JSON text on each line
	events               // an event stream
)

// pace returns what the sender's time is limited for.
func (how manner) pace() upload.Pace {
	switch how {
	case chunks:
		return upload.Byte
	case values, events:
		return upload.Line
	}
	return upload.Whole
}

// mannerOf returns how a body of a media type is appended to a stream, or why it
// is not. A body of the stream's own type is bytes, whatever that type is.
func mannerOf(m journal.Meta, essence string, streamed bool) (manner, error) {
	own := essenceOf(m.ContentType)
	switch {
	case streamed && m.Kind == leat.KindJSON:
		return 0, surface.InvalidParameter("append", "stream", "A JSON stream takes JSON texts, one on each line, as application/x-ndjson.")
	case streamed && (essence == own || essence == "" || essence == typeForm):
		return chunks, nil // what curl says of a file, or does not say, is no claim
	case essence == "":
		return 0, errNoType(m.ContentType)
	case streamed:
	case essence == own, essence == typeForm && own == "text/plain":
		return whole, nil
	case m.Kind == leat.KindJSON && slices.Contains(surface.NDJSON, essence):
		return values, nil
	case m.Kind != leat.KindBinary && essence == surface.EventStream:
		return events, nil
	}
	return 0, leat.Errorf(leat.CodeTypeMismatch, "the stream %q holds %s and this is %s", m.Name, m.ContentType, essence).
		Advise("Send that type, or append to another stream.")
}

func errNoType(of string) error {
	return leat.Errorf(leat.CodeInvalidParameter, "there is no Content-Type").
		Advise("Send the type of the stream, Content-Type: " + of + ".")
}

// location returns the URL of the request as an absolute one, as Durable Streams
// wants it.
func location(r *http.Request) string { return origin(r) + r.URL.EscapedPath() }

// origin returns the scheme and the host as the client had them, and what stood in the
// path before ours.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host + mount(r)
}

// mount returns what http.StripPrefix, or the like, has taken from the path of a request.
func mount(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return "" // of a proxy's request, or one that did not come over HTTP
	}
	before, ok := strings.CutSuffix(path, r.URL.EscapedPath())
	if !ok {
		return ""
	}
	return before
}
