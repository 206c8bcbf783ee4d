package surface

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/leat-dev/leat"
)

// Who is to come back is told when: in all answers but those that know better, and in no
// other ones.
func TestRetryAfter(t *testing.T) {
	for code, want := range map[leat.Code]string{
		leat.CodeUnavailable: "2", leat.CodeOverloaded: "2", leat.CodeStoreFailed: "", leat.CodeTooManyProducers: "", leat.CodeConflict: "",
	} {
		for _, known := range []string{"", "17"} {
			w := httptest.NewRecorder()
			if known != "" {
				w.Header().Set("Retry-After", known)
				want = known
			}
			WriteError(w, httptest.NewRequest("POST", "/", nil), slog.New(slog.DiscardHandler), leat.Errorf(code, "x").Advise("y"))
			if got := w.Header().Get("Retry-After"); got != want || w.Code != code.Status() {
				t.Errorf("%s: status %d, Retry-After %q, want %q", code, w.Code, got, want)
			}
		}
	}
}
