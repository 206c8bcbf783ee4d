package journal

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// postAll posts each record without waiting for any. What is told is in the channel.
func postAll(ctx context.Context, j *Journal, as ...Append) chan answer {
	answers := make(chan answer, 2*len(as)) // there is room for what is told twice
	for i, a := range as {
		j.Post(ctx, a, func(done []Appended, err error) { answers <- answer{i, done, err} })
	}
	return answers
}

// "What Append would have returned is told to then": whether the stream is known, and
// what it is and holds, or has to be read first.
func TestPost(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		for _, known := range []bool{true, false} {
			options := Options{Now: c.Now, Sweep: -1, MaxRecord: 10}
			j := open(t, st, options)
			names := []string{fmt.Sprint("appended", known), fmt.Sprint("posted", known)}
			for i, step := range []struct {
				a         Append
				code      leat.Code
				duplicate bool
			}{
				{a: Append{Existing: true}, code: leat.CodeNotFound},
				{a: Append{ContentType: "nonsense"}, code: leat.CodeMediaType},
				{a: text("", "\xff"), code: leat.CodeInvalidBody},
				{a: text("", "one")},
				{a: text("", "two")},
				{a: keyed("", "k", "three")},
				{a: keyed("", "k", "four"), duplicate: true},
				{a: Append{Existing: true, Data: []byte("five")}},
				{a: piece("", "\xe2")},
				{a: text("", "six"), code: leat.CodeInvalidBody},
				{a: keyed("", "k", "six"), duplicate: true},
				{a: piece("", "\x82\xac")},
				{a: Append{ContentType: "application/json", Data: []byte("1")}, code: leat.CodeTypeMismatch},
				{a: text("", "more than 10"), code: leat.CodeTooLarge},
				{a: Append{Type: "leat.x"}, code: leat.CodeInvalidType},
				{a: keyed("", "\n", "x"), code: leat.CodeInvalidKey},
				{a: text("//", "x"), code: leat.CodeInvalidName},
				{a: text("", "end")}, // then it ends, see below
				{a: text("", "x"), code: leat.CodeEnded},
				{a: keyed("", "k", "x"), duplicate: true},
			} {
				for k, name := range names {
					if !known {
						j.Close()
						settle(t, st, name)
						j = open(t, st, options)
					}
					a := step.a
					a.Stream = cmp.Or(a.Stream, name)
					done, err := appendOne(context.Background(), j, k == 1, a)
					if leat.CodeOf(err) != step.code || len(done) == 1 != (step.code == "") {
						t.Fatalf("%s, step %d: got %v, %v, want %q", name, i, done, err, step.code)
					}
					if err == nil && done[0].Duplicate != step.duplicate {
						t.Errorf("%s, step %d: %+v", name, i, done)
					}
					if all := records(t, st, name); err == nil && !slices.ContainsFunc(all, func(r leat.Record) bool { return r.Offset == done[0].Offset && r.Time.Equal(done[0].Time) }) {
						t.Errorf("%s, step %d: nothing is at %+v", name, i, done)
					}
					if string(a.Data) == "end" {
						write(t, j, Write{Stream: name, End: leat.EndComplete})
					}
				}
			}
			if a, b := contents(t, st, names[0]), contents(t, st, names[1]); !slices.Equal(a, b) {
				t.Errorf("stored %q, want %q", b, a)
			}
			wantPositions(t, st, names[1])
			wantRest(t, j)
		}
	})
}

// "What Append would have returned": one that meets conflicts is stored in the end, and
// one that always does is told so. What is no conflict is told as it is.
func TestPostConflict(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		full := leat.Errorf(leat.CodeStoreFull, "full").Advise("x")
		conflicts, failure := 0, error(nil)
		j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			if conflicts--; conflicts >= 0 {
				return []store.Result{{Err: store.ErrConflict}}, nil
			}
			if failure != nil {
				return nil, failure
			}
			return st.Commit(ctx, txs)
		}}, Options{Now: c.Now, Sweep: -1})
		must(t, j, text("a", "0"))
		for i, n := range []int{0, 1, 3, maxTries} {
			conflicts = n
			if done, err := post(context.Background(), j, keyed("a", fmt.Sprint(i), "x")); err != nil || len(done) != 1 || done[0].Duplicate {
				t.Errorf("%d conflicts: %v, %v", n, done, err)
			}
		}
		conflicts = 2 * maxTries
		_, err := post(context.Background(), j, text("a", "y"))
		wantCode(t, err, leat.CodeConflict)
		conflicts, failure = 0, full
		for range 2 { // it is known, and then not
			_, err = post(context.Background(), j, text("a", "y"))
			wantCode(t, err, leat.CodeStoreFull)
		}
		wantContents(t, st, "a", "0", "x", "x", "x", "x")
		wantRest(t, j)
	})
}

// "Before Post returns": what would wait beside too much is told so.
func TestPostOverloaded(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now, MaxWaiting: 1000, Sweep: -1})
		first := postAll(context.Background(), j, text("a", "0"))
		<-g.began // and "a" is known
		waiting := postAll(context.Background(), j, text("a", strings.Repeat("x", 1000-2*recordBytes-1)))
		beyond := postAll(context.Background(), j, text("a", "y"))
		if len(beyond) != 1 {
			t.Fatal("nothing is told")
		}
		wantCode(t, (<-beyond).err, leat.CodeOverloaded)
		g.open()
		for _, answers := range []chan answer{first, waiting} {
			if a := <-answers; a.err != nil {
				t.Error(a.err)
			}
		}
		if n := len(contents(t, st, "a")); n != 2 {
			t.Errorf("%d records", n)
		}
		wantRest(t, j)
	})
}

// "A record of a stream that is known costs no goroutine. For what has to be read first,
// and for what is refused, there is one."
func TestPostGoroutines(t *testing.T) {
	appending := func() int {
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("(*Journal).Append("))
	}
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		var held atomic.Bool
		goOn := make(chan bool)
		j, g := openGated(t, &hooked{Store: st, stream: func(string) error {
			if held.Load() {
				<-goOn
			}
			return nil
		}}, Options{Sweep: -1})
		first := postAll(context.Background(), j, text("a", "first"))
		<-g.began
		before := runtime.NumGoroutine()
		var as []Append
		for i := range 1000 {
			as = append(as, text("a", "x"), keyed("a", fmt.Sprint(i), "x"))
		}
		answers := postAll(context.Background(), j, as...)
		// The one is that of the first, for which something was read.
		if n, all := appending(), runtime.NumGoroutine(); n != 1 || all > before {
			t.Errorf("%d goroutines append, and there are %d, and were %d", n, all, before)
		}
		if len(first)+len(answers) != 0 {
			t.Error("told before it is stored")
		}
		g.let <- nil
		<-g.began
		held.Store(true)
		slow := postAll(context.Background(), j, text("b", "x"), text("b", "x"), Append{Stream: "a", Form: FormBytes}, keyed("a", "\n", "x"))
		if n := appending(); n != 4 {
			t.Errorf("%d goroutines append, want 4", n)
		}
		close(goOn)
		g.open()
		synctest.Wait()
		if len(first) != 1 || len(answers) != len(as) || len(slow) != 4 {
			t.Errorf("%d, %d and %d are told", len(first), len(answers), len(slow))
		}
		if n := appending(); n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}
