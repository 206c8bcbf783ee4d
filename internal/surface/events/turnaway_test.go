package events

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/session"
)

// "Shed load with 200, retry: and a close, or 503 with Retry-After only before
// the stream has begun": an event stream the one way, every other form the
// other, also if what is asked for cannot be understood.
func TestTurnAway(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s := New(Options{Host: session.NewHost(session.Options{Logger: log}), Logger: log})
	stopping := leat.Errorf(leat.CodeUnavailable, "the server is stopping")
	for _, test := range []struct {
		query, accept string
		status        int
		body          string // a part
	}{
		{"topic=a", "", 200, "retry: "},
		{"topic=a", "text/event-stream", 200, "retry: "},
		{"", "*/*", 200, "retry: "},
		{"topic=a&as=json", "*/*", 503, `"code":"unavailable"`},
		{"topic=a", "application/json", 503, `"code":"unavailable"`},
		{"topic=a", "application/jsonl", 503, `"code":"unavailable"`},
		{"topic=a", "text/html", 503, `"code":"unavailable"`},
		{"topic=a&as=xml", "", 503, `"code":"unavailable"`},
		{"topic=%zz", "", 200, "retry: "},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/events?"+test.query, nil)
		if test.accept != "" {
			r.Header.Set("Accept", test.accept)
		}
		s.TurnAway(w, r, stopping)
		retry := w.Header().Get("Retry-After") != ""
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) || retry != (test.status == 503) || w.Header().Get("Vary") != "Accept" {
			t.Errorf("%s, Accept %q: status %d, %v, %q", test.query, test.accept, w.Code, w.Header(), w.Body)
		}
	}
}
