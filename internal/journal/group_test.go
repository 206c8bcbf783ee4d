package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// An answer is what one call of Append returned.
type answer struct {
	caller int
	done   []Appended
	err    error
}

// appendAll calls Append once for each list, all at the same time. The
// goroutines end when their answers are in the channel.
func appendAll(ctx context.Context, j *Journal, lists ...[]Append) chan answer {
	answers := make(chan answer, len(lists))
	for i, list := range lists {
		go func() {
			done, err := j.Append(ctx, list...)
			answers <- answer{i, done, err}
		}()
	}
	return answers
}

// What arrives while a group is committed is one group: one Commit, one Tx for
// each stream.
func TestGroup(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now})
		first := appendAll(context.Background(), j, []Append{text("a", "first")})
		<-g.began
		var lists [][]Append
		for i := range 30 {
			lists = append(lists, []Append{text("ab"[i%2:i%2+1], fmt.Sprint(i)), text("ab"[i%2:i%2+1], fmt.Sprint(i, "+"))})
		}
		rest := appendAll(context.Background(), j, lists...)
		waitQueued(t, j, "a", 15)
		waitQueued(t, j, "b", 15)
		g.let <- nil
		if a := <-first; a.err != nil {
			t.Fatal(a.err)
		}
		txs := <-g.began
		if len(txs) != 2 || len(txs[0].Records) != 30 || len(txs[1].Records) != 30 {
			t.Fatalf("the group has %d Txs", len(txs))
		}
		if len(rest) != 0 {
			t.Error("answered before the commit")
		}
		g.let <- nil
		offsets := map[leat.Offset]bool{}
		for range 30 {
			a := <-rest
			if a.err != nil {
				t.Fatal(a.err)
			}
			if a.done[0].Offset.Compare(a.done[1].Offset) >= 0 {
				t.Errorf("a caller's records are in the wrong order: %v", a.done)
			}
			for i, d := range a.done {
				offsets[d.Offset] = true
				for _, r := range records(t, st, lists[a.caller][i].Stream) {
					if r.Offset == d.Offset && string(r.Data) != string(lists[a.caller][i].Data) {
						t.Errorf("at %v is %q, not %q", r.Offset, r.Data, lists[a.caller][i].Data)
					}
				}
			}
		}
		if len(offsets) != 60 {
			t.Errorf("%d offsets for 60 records", len(offsets))
		}
		wantPositions(t, st, "a")
	})
}

// A Tx is kept within the limits of the store; the rest waits for the next
// group, in order.
func TestGroupLimits(t *testing.T) {
	for name, limit := range map[string]func(store.Abilities) store.Abilities{
		"records": func(a store.Abilities) store.Abilities { a.MaxTxRecords = 3; return a },
		"bytes":   func(a store.Abilities) store.Abilities { a.MaxTxBytes = 30; return a },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, st store.Store, c *clock) {
				var most atomic.Int64
				commit := func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
					for _, tx := range txs {
						most.Store(max(most.Load(), int64(len(tx.Records))))
						bytes := 0
						for _, r := range tx.Records {
							bytes += len(r.Data)
						}
						if len(tx.Records) > 3 || bytes > 30 {
							t.Errorf("a Tx of %d records, %d bytes", len(tx.Records), bytes)
						}
					}
					return st.Commit(ctx, txs)
				}
				j := open(t, &hooked{Store: st, commit: commit, abilities: limit}, Options{Now: c.Now})
				var lists [][]Append
				for i := range 8 {
					var list []Append
					for k := range 20 {
						list = append(list, keyed("a", fmt.Sprint(i, "/", k%17), fmt.Sprintf("%02d.%07d", i, k)))
					}
					lists = append(lists, list)
				}
				answers := appendAll(context.Background(), j, lists...)
				for range lists {
					a := <-answers
					if a.err != nil || len(a.done) != 20 {
						t.Fatalf("%d results, %v", len(a.done), a.err)
					}
					for k := 17; k < 20; k++ {
						wantDuplicate(t, a.done[k], a.done[k-17])
					}
				}
				next := map[string]int{}
				for _, data := range contents(t, st, "a") {
					caller, n, _ := strings.Cut(data, ".")
					if want := fmt.Sprintf("%07d", next[caller]); n != want {
						t.Fatalf("caller %s: record %s, want %s", caller, n, want)
					}
					next[caller]++
				}
				if len(records(t, st, "a")) != 8*17 || most.Load() != 3 {
					t.Errorf("%d records, at most %d in a Tx", len(records(t, st, "a")), most.Load())
				}
			})
		})
	}
}

// What did not fit into a Tx gets its turn though nobody else comes.
func TestGroupLeavesNobody(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		small := &hooked{Store: st, abilities: func(a store.Abilities) store.Abilities { a.MaxTxRecords = 2; return a }}
		j, g := openGated(t, small, Options{Now: c.Now})
		busy := appendAll(context.Background(), j, []Append{text("busy", "x")})
		<-g.began
		two := []Append{text("a", "x"), text("a", "x")}
		rest := appendAll(context.Background(), j, two, two, two)
		waitQueued(t, j, "a", 3)
		g.open()
		<-busy
		for range 3 {
			if a := <-rest; a.err != nil {
				t.Error(a.err)
			}
		}
	})
}

// A run of any length goes on however many conflicts it meets, as long as some
// of it is stored between them.
func TestLongRun(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		var as []Append
		var want []string
		for i := range 3000 {
			as = append(as, text("a", fmt.Sprint(i)))
			want = append(want, fmt.Sprint(i))
		}
		must(t, j, as...)
		wantContents(t, st, "a", want...)
	})
}

// A group is bounded in bytes whatever the number of streams, and a single
// record always fits.
func TestGroupBytes(t *testing.T) {
	st := memstore.New(memstore.Options{MaxRecord: 2 * maxGroupBytes})
	defer st.Close()
	j, g := openGated(t, st, Options{MaxWaiting: -1, MaxRecord: -1})
	first := appendAll(context.Background(), j, []Append{text("first", "")})
	<-g.began
	data := strings.Repeat("x", maxGroupBytes/4)
	var lists [][]Append
	for i := range 10 {
		lists = append(lists, []Append{text(fmt.Sprint("s", i), data)})
	}
	lists = append(lists, []Append{text("huge", strings.Repeat("x", 2*maxGroupBytes))})
	rest := appendAll(context.Background(), j, lists...)
	for i := range 10 {
		waitQueued(t, j, fmt.Sprint("s", i), 1)
	}
	waitQueued(t, j, "huge", 1)
	g.let <- nil
	<-first
	for n := 0; n < 11; {
		txs := <-g.began
		n += len(txs)
		bytes := 0
		for _, tx := range txs {
			bytes += len(tx.Records[0].Data)
		}
		if bytes > maxGroupBytes && len(txs) > 1 {
			t.Errorf("a group of %d bytes in %d Txs", bytes, len(txs))
		}
		g.let <- nil
	}
	for range 11 {
		if a := <-rest; a.err != nil {
			t.Error(a.err)
		}
	}
}

// A duplicate needs no room, and is answered though what stands behind it, of
// the same caller or another, has to wait for the next group.
func TestGroupFullOfDuplicates(t *testing.T) {
	for _, byPost := range []bool{false, true} {
		groupFullOfDuplicates(t, byPost)
	}
}

func groupFullOfDuplicates(t *testing.T, byPost bool) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now, MaxWaiting: -1, MaxRecord: -1})
		ctx := context.Background()
		first := appendAll(ctx, j, []Append{keyed("a", "k", "1"), keyed("b", "k", "1")})
		for range 2 {
			<-g.began
			g.let <- nil
		}
		was := (<-first).done
		busy := appendAll(ctx, j, []Append{text("busy", "x")})
		<-g.began
		queue := func(stream string, n int, as ...Append) chan answer {
			var answers chan answer
			if byPost && len(as) == 1 {
				answers = postAll(ctx, j, as...)
			} else {
				answers = appendAll(ctx, j, as)
			}
			waitQueued(t, j, stream, n)
			return answers
		}
		big := queue("big", 1, text("big", strings.Repeat("x", maxGroupBytes-recordBytes)))
		both := queue("b", 1, keyed("b", "k", "x"), text("b", "2"))
		alone := queue("a", 1, keyed("a", "k", "x"))
		last := queue("a", 2, text("a", "2"))
		g.let <- nil
		<-busy
		if txs := <-g.began; len(txs) != 1 || txs[0].Stream != "big" {
			t.Fatalf("committing %d Txs", len(txs))
		}
		wantDuplicate(t, (<-alone).done[0], was[0])
		g.open()
		if a := <-both; a.err != nil || len(a.done) != 2 || a.done[1].Duplicate {
			t.Errorf("got %+v", a)
		} else {
			wantDuplicate(t, a.done[0], was[1])
		}
		for _, answers := range []chan answer{big, last} {
			if a := <-answers; a.err != nil {
				t.Error(a.err)
			}
		}
		wantContents(t, st, "a", "1", "2")
		wantContents(t, st, "b", "1", "2")
	})
}

// Two that make a stream at the same time with different types: one does, and
// the other is told what it is.
func TestGroupMakesStream(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		for i := range 20 {
			name := fmt.Sprint("s", i)
			answers := appendAll(context.Background(), j,
				[]Append{{Stream: name, ContentType: "text/plain", Data: []byte("x")}},
				[]Append{{Stream: name, ContentType: "application/json", Data: []byte("1")}},
				[]Append{{Stream: name, Form: FormValue, Data: []byte(`"v"`)}},
			)
			refused := 0
			for range 3 {
				a := <-answers
				switch {
				case a.err == nil:
				case leat.CodeOf(a.err) == leat.CodeTypeMismatch:
					refused++
				default:
					t.Fatal(a.err)
				}
			}
			if all := records(t, st, name); refused != 1 || len(all) != 2 || all[0].Kind != all[1].Kind {
				t.Fatalf("%d were refused, %+v are stored", refused, all)
			}
		}
	})
}

// Others that write to the same store make conflicts, and nothing is lost,
// doubled or out of order for it.
func TestConflicts(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		const writers, callers, n = 3, 4, 30
		var wg sync.WaitGroup
		for w := range writers {
			j := open(t, st, Options{Now: c.Now})
			for k := range callers {
				wg.Go(func() {
					for i := range n {
						a := keyed("a", fmt.Sprint(w, k, i), fmt.Sprintf("%d/%d %03d", w, k, i))
						if _, err := appendOne(context.Background(), j, i%2 == 0, a); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		next := map[string]int{}
		for _, data := range contents(t, st, "a") {
			who, i, _ := strings.Cut(data, " ")
			if want := fmt.Sprintf("%03d", next[who]); i != want {
				t.Fatalf("%s: %s, want %s", who, i, want)
			}
			next[who]++
		}
		wantPositions(t, st, "a")
		if got, want := len(records(t, st, "a")), writers*callers*n; got != want {
			t.Errorf("%d records, want %d", got, want)
		}
	})
}

// A writer that always loses says so in the end, and others do not suffer.
func TestConflictForEver(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		tries := 0
		commit := func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			if txs[0].Stream != "a" {
				return st.Commit(ctx, txs)
			}
			tries++
			return []store.Result{{Err: store.ErrConflict}}, nil
		}
		j := open(t, &hooked{Store: st, commit: commit}, Options{Now: c.Now})
		done := refused(t, j, leat.CodeConflict, text("b", "1"), text("a", "2"), text("b", "3"))
		if len(done) != 1 || tries != maxTries {
			t.Errorf("%d results after %d tries", len(done), tries)
		}
		wantContents(t, st, "b", "1")
	})
}

// Errors of the store are passed on, to those whom they concern.
func TestStoreFails(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		full := leat.Errorf(leat.CodeStoreFull, "full").Advise("x")
		failed := leat.Errorf(leat.CodeStoreFailed, "failed").Advise("x")
		commit := func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			switch txs[0].Stream {
			case "full":
				return []store.Result{{Err: full}}, nil
			case "failed":
				return nil, failed
			}
			return st.Commit(ctx, txs)
		}
		unreadable := errors.New("unreadable")
		j := open(t, &hooked{Store: st, commit: commit, stream: func(name string) error {
			if name == "unreadable" {
				return unreadable
			}
			return nil
		}}, Options{Now: c.Now})
		for name, want := range map[string]error{"full": full, "failed": failed, "unreadable": unreadable} {
			for range 2 {
				done, err := j.Append(context.Background(), text("ok", "1"), text(name, "2"), text("ok", "3"))
				if len(done) != 1 || !errors.Is(err, want) {
					t.Errorf("%s: %d results, %v", name, len(done), err)
				}
			}
		}
		wantContents(t, st, "ok", "1", "1", "1", "1", "1", "1")
	})
}

// A caller that goes while it waits appends nothing; one that goes during the
// commit may have appended.
func TestContext(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now})
		ctx1, cancel1 := context.WithCancel(context.Background())
		ctx2, cancel2 := context.WithCancel(context.Background())
		during := appendAll(ctx1, j, []Append{text("a", "during")})
		<-g.began
		before := appendAll(ctx2, j, []Append{text("a", "before")})
		waitQueued(t, j, "a", 1)
		cancel1()
		cancel2()
		for _, answers := range []chan answer{during, before} {
			if a := <-answers; a.err != context.Canceled || len(a.done) != 0 {
				t.Errorf("got %+v", a)
			}
		}
		after := appendAll(context.Background(), j, []Append{text("a", "after")})
		waitQueued(t, j, "a", 1) // "before" waits no more
		g.let <- nil
		<-g.began
		g.let <- nil
		if a := <-after; a.err != nil {
			t.Error(a.err)
		}
		wantContents(t, st, "a", "during", "after")
	})
}

// Close lets the commit under way finish, fails the rest, and leaves no
// goroutine.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		j, g := openGated(t, st, Options{})
		during := appendAll(context.Background(), j, []Append{text("a", "1"), text("b", "2")})
		<-g.began
		waiting := appendAll(context.Background(), j, []Append{text("a", "3")})
		synctest.Wait()
		closed := make(chan bool)
		for range 2 {
			go func() { j.Close(); closed <- true }() // ends when it is taken below
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for the commit")
		default:
		}
		g.let <- nil
		<-closed
		<-closed
		a := <-during
		wantCode(t, a.err, leat.CodeUnavailable)
		if len(a.done) != 1 {
			t.Errorf("the commit under way was answered with %d results", len(a.done))
		}
		wantCode(t, (<-waiting).err, leat.CodeUnavailable)
		refused(t, j, leat.CodeUnavailable, text("a", "4"))
		wantContents(t, st, "a", "1")
	})
}

// There is no timer on the path: no time passes, however long the store takes.
func TestNoTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		j := New(st, Options{})
		defer j.Close()
		begin := time.Now()
		for i := range 100 {
			must(t, j, keyed("a", fmt.Sprint(i), "x"))
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}
