package surface

import (
	"testing"

	"github.com/leat-dev/leat"
)

// RFC 9110, section 12.5.1: "The most specific reference has precedence", "a
// value of 0 means "not acceptable"", "If no Accept header field is present …
// the user agent will accept any media type".
func TestNegotiate(t *testing.T) {
	const sse, ndjson = "text/event-stream", "application/x-ndjson"
	for _, test := range []struct {
		accept []string
		want   string // empty: not acceptable
	}{
		{nil, sse},
		{[]string{""}, sse},
		{[]string{"*/*"}, sse},
		{[]string{"text/*"}, sse},
		{[]string{"application/*"}, ndjson},
		{[]string{"text/event-stream, application/x-ndjson"}, sse},
		{[]string{"text/event-stream;q=0.5, application/x-ndjson"}, ndjson},
		{[]string{"text/event-stream;q=0.5", "application/x-ndjson;q=0.4"}, sse},
		{[]string{"*/*;q=0.1, application/x-ndjson"}, ndjson},
		{[]string{"text/event-stream;q=0, */*"}, ndjson},
		{[]string{"text/*;q=0, text/event-stream"}, sse},
		{[]string{"TEXT/Event-Stream"}, sse},
		{[]string{"nonsense, application/x-ndjson"}, ndjson},
		{[]string{"text/event-stream;q=2"}, ""},
		{[]string{"text/html"}, ""},
		{[]string{"*/*;q=0"}, ""},
	} {
		got, err := Negotiate(test.accept, sse, ndjson)
		if got != test.want || (test.want == "") != (leat.CodeOf(err) == leat.CodeNotAcceptable) {
			t.Errorf("Accept %q: %q, %v; want %q", test.accept, got, err, test.want)
		}
	}
}
