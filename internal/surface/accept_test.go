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

// "as=… overrides." The media type is the one asked for where there are several.
func TestChoose(t *testing.T) {
	offers := []Offer{
		{"sse", []string{"text/event-stream"}},
		{"ndjson", []string{"application/x-ndjson", "application/jsonl"}},
	}
	for _, test := range []struct {
		accept, as, want, contentType string
		code                          leat.Code
	}{
		{"", "", "sse", "text/event-stream", ""},
		{"application/jsonl", "", "ndjson", "application/jsonl", ""},
		{"application/*", "", "ndjson", "application/x-ndjson", ""},
		{"text/event-stream, application/jsonl;q=0.5", "ndjson", "ndjson", "application/jsonl", ""},
		{"text/html", "ndjson", "ndjson", "application/x-ndjson", ""},
		{"application/jsonl", "sse", "sse", "text/event-stream", ""},
		{"text/html", "", "", "", leat.CodeNotAcceptable},
		{"*/*", "xml", "", "", leat.CodeInvalidParameter},
	} {
		got, contentType, err := Choose([]string{test.accept}, test.as, offers...)
		if got.As != test.want || contentType != test.contentType || leat.CodeOf(err) != test.code {
			t.Errorf("Accept %q, as=%s: %q as %q, %v; want %q as %q", test.accept, test.as, got.As, contentType, err, test.want, test.contentType)
		}
	}
}
