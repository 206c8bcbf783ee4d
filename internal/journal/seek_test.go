package journal

import (
	"context"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "The error has leat.CodeGap if the byte is gone", whatever has become of the
// stream since it was looked at: trimmed, deleted, or made anew. Who begins at the
// end in its place would go on with bytes of another stream.
func TestSeekWhatIsGone(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, clock *clock) {
		j := open(t, st, Options{Now: clock.Now, Sweep: -1})
		ctx := context.Background()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		_, written, err := j.Create(ctx, Config{ContentType: "text/plain"}, Write{Stream: "a", Appends: []Append{{Data: []byte("abc")}}})
		must(err)
		m, err := j.Stat(ctx, "a", false)
		must(err)
		if seq, start, err := j.Seek(ctx, m, 1); seq != written.Last.Seq || start != 0 || err != nil {
			t.Errorf("what is there: %d at %d, %v", seq, start, err)
		}
		if seq, _, err := j.Seek(ctx, m, 3); seq != 0 || err != nil {
			t.Errorf("at the end: %d, %v", seq, err)
		}
		for _, what := range []struct {
			becomes string
			do      func() error
		}{
			{"trimmed", func() error { return st.Trim(ctx, "a", written.Last.Seq) }},
			{"deleted", func() error { return j.Delete(ctx, "a") }},
			{"made anew", func() error {
				_, _, err := j.Create(ctx, Config{ContentType: "text/plain"}, Write{Stream: "a", Appends: []Append{{Data: []byte("xyz")}}})
				return err
			}},
		} {
			must(what.do())
			if _, _, err := j.Seek(ctx, m, 1); leat.CodeOf(err) != leat.CodeGap {
				t.Errorf("%s: %v", what.becomes, err)
			}
		}
	})
}
