package journal

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// What is removed by hand is what stands up to an offset and nothing else. An end
// stays, and removing it again is no error.
func TestTrim(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		at := newStream(t, j, "a", "text/plain", "1", "2", "3", "4")
		other := newStream(t, j, "b", "text/plain", "x")
		trim := func(upTo leat.Offset, want string) {
			t.Helper()
			for range 2 {
				if err := j.Trim(ctx, "a", upTo); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(contents(t, st, "a"), ""); got != want {
					t.Fatalf("%q is left, want %q", got, want)
				}
			}
		}
		trim(leat.Offset{}, "1234")
		trim(at[0], "234")
		trim(at[2], "4")
		if m, err := j.Stat(ctx, "a", false); err != nil || m.Start != 3 || m.End != 4 || m.Records != 1 {
			t.Errorf("%+v, %v", m, err)
		}
		must(t, j, text("a", "5"))
		trim(other[0], "5") // any offset of the log will do
		if _, err := j.Write(ctx, Write{Stream: "a", End: leat.EndComplete}); err != nil {
			t.Fatal(err)
		}
		end, _ := j.Stat(ctx, "a", false)
		trim(end.Last, "")
		if all := everything(t, st, "a"); len(all) != 1 || all[0].Kind != leat.KindEnd {
			t.Errorf("of a stream that has ended %v is left", all)
		}
		if got := contents(t, st, "b"); !slices.Equal(got, []string{"x"}) {
			t.Errorf("of another stream %q is left", got)
		}
		wantCode(t, j.Trim(ctx, "none", at[0]), leat.CodeNotFound)
		wantCode(t, j.Trim(ctx, "a", leat.Offset{Epoch: 1, Seq: 1}), leat.CodeInvalidOffset)
	})
}

// Nothing that a fork begins with is removed, from whichever end it is tried.
func TestTrimOfForks(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		at := newStream(t, j, "a", "text/plain", "1", "2")
		forked(t, j, "b", Fork{Source: "a"})
		wantCode(t, j.Trim(ctx, "a", at[0]), leat.CodePrecondition)
		wantCode(t, j.Trim(ctx, "b", at[0]), leat.CodePrecondition)
		wantCode(t, j.Trim(ctx, "b", at[1]), leat.CodePrecondition)
		wantFork(t, j, "b", "1|2")
		own := []leat.Offset{writeTo(t, j, "b", "3"), writeTo(t, j, "b", "4")}
		wantCode(t, j.Trim(ctx, "b", at[1]), leat.CodePrecondition)
		wantFork(t, j, "b", "1|2|3|4")
		if err := j.Trim(ctx, "b", own[0]); err != nil {
			t.Fatal(err)
		}
		wantFork(t, j, "b", "4")
		if err := j.Trim(ctx, "a", at[0]); err != nil {
			t.Fatal(err) // the fork has nothing of it any more
		}
		wantFork(t, j, "a", "2")
	})
}
