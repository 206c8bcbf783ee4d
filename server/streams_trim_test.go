package server_test

import (
	"testing"

	"github.com/leat-dev/leat/server"
)

// Records are removed up to an offset, and readers that were owed them are told.
func TestStreamTrim(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		first := s.publish("a", "1")
		s.publish("a", "2")
		third := s.publish("a", "3")
		f := s.fetch("POST", "/streams/a", "", "Leat-Trim", third)
		if f.status != 204 || f.header.Get("Stream-Next-Offset") != third {
			t.Fatalf("status %d, %v, %q", f.status, f.header, f.body)
		}
		s.publish("a", "4")
		if got := s.content("a"); got != "4" {
			t.Errorf("%q is left", got)
		}
		s.fetch("GET", "/events?topic=a&as=json&last_event_id="+first, "").want(t, "an older position", 200, `"reason":"trimmed"`)
		s.fetch("GET", "/streams/a?offset="+first, "").want(t, "an older offset", 410, `"gap"`)

		for what, test := range map[string]struct {
			body   string
			fields []string
			status int
			code   string
		}{
			"a body":                {"x", []string{"Leat-Trim", third, "Content-Type", "text/plain"}, 400, "invalid_body"},
			"an end":                {"", []string{"Leat-Trim", third, "Stream-Closed", "true"}, 400, "invalid_body"},
			"no offset":             {"", []string{"Leat-Trim", ""}, 400, "invalid_offset"},
			"what is none":          {"", []string{"Leat-Trim", "-1"}, 400, "invalid_offset"},
			"that of another log":   {"", []string{"Leat-Trim", "0000000000000007_0000000000000001"}, 400, "invalid_offset"},
			"one that will be used": {"", []string{"Leat-Trim", third[:17] + "0000000000099999"}, 400, "invalid_offset"},
		} {
			s.fetch("POST", "/streams/a", test.body, test.fields...).want(t, what, test.status, test.code)
		}
		s.fetch("POST", "/streams/none", "", "Leat-Trim", third).want(t, "no stream", 404, "not_found")
		if got := s.content("a"); got != "4" {
			t.Errorf("%q is left in the end", got)
		}
	})
}
