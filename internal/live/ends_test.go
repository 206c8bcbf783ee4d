package live_test

import (
	"context"
	"sync"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
)

// putEnd ends a stream, over conflicts, and returns the entry as stored.
func putEnd(ctx context.Context, st store.Store, stream string, how leat.EndState) (leat.Record, error) {
	for {
		info, err := st.Stream(ctx, stream)
		if err != nil {
			return leat.Record{}, err
		}
		records := []leat.Record{{Stream: stream, Kind: leat.KindEnd, Type: string(how), Pos: info.End}}
		results, err := st.Commit(ctx, []store.Tx{{Stream: stream, Version: info.Version, ContentType: "text/plain", Records: records}})
		if err != nil || results[0].Err != store.ErrConflict {
			return records[0], err
		}
	}
}

func end(t testing.TB, st store.Store, stream string, how leat.EndState) leat.Record {
	t.Helper()
	r, err := putEnd(t.Context(), st, stream, how)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// "A reader of one stream, or of exact names that have all ended, is then
// closed."
func TestEnded(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		early := join(t, l, filter(t, "a"), plain{}, l.Now())
		a := fillLog(t, st, 3, "x", "a")
		early.want(a...)
		early.wantIdle(st)

		ended := end(t, st, "a", leat.EndError)
		early.want(ended) // it is woken for the end, and given it
		early.wantState(live.Ended)
		if got := early.EndState(); got != leat.EndError {
			t.Errorf("it ended as %q", got)
		}

		late := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		late.want(append(a, ended)...)
		late.wantState(live.Ended)

		before := join(t, l, filter(t, "a"), plain{}, live.Start{After: ended.Offset.Seq - 1})
		before.want(ended)
		before.wantState(live.Ended)

		for _, after := range []uint64{ended.Offset.Seq, st.Head()} {
			at := join(t, l, filter(t, "a"), plain{}, live.Start{After: after})
			at.wantState(live.Ended)
		}
	})
}

// Whoever may yet get something is not at the end: readers of patterns, of
// names that nothing was appended to, and of several streams until the last of
// them has ended.
func TestNotEnded(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		fillLog(t, st, 4, "x", "a", "b")
		end(t, st, "a", leat.EndComplete)
		for _, topics := range [][]string{{"*"}, {"a", "b"}, {"a", "never"}, {"a", "b/*"}} {
			c := join(t, l, filter(t, topics...), plain{}, live.Start{After: st.Head()})
			c.wantIdle(st)
		}
		both := join(t, l, filter(t, "a", "b"), plain{}, live.Start{After: st.Head()})
		both.wantIdle(st)
		last := end(t, st, "b", leat.EndAborted)
		both.want(last)
		both.wantState(live.Ended)
		if got := both.EndState(); got != leat.EndAborted {
			t.Errorf("they ended as %q", got)
		}
	})
}

// A name that was deleted and made anew goes on, and who waits for it gets what
// is new.
func TestEndedAndMadeAnew(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		fillLog(t, st, 1, "x", "a")
		both := join(t, l, filter(t, "a", "b"), plain{}, l.Now())
		gone := end(t, st, "a", leat.EndDeleted)
		both.want(gone)
		both.wantIdle(st)
		drop(t, st, "a")
		anew := fillLog(t, st, 1, "y", "a")
		both.want(anew...)
		other := end(t, st, "b", leat.EndComplete)
		both.want(other)
		both.wantIdle(st)
		late := join(t, l, filter(t, "a"), plain{}, live.Start{After: st.Head()})
		late.wantIdle(st)
	})
}

// Made anew and empty as well: nothing in the log tells so. Who reads it from its
// start, beside one that has not yet read the old one, gets nothing of that, is not
// at the end, and gets what is new.
func TestMadeAnewAndEmpty(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		if !st.Abilities().ReadAfterWrite {
			t.Skip("who has not yet heard of the new stream may be told that the old one has ended")
		}
		l := start(t, st, nil, live.Options{})
		slow := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		old := append(fillLog(t, st, 3, "x", "a"), end(t, st, "a", leat.EndDeleted))
		for l.Head() < st.Head() { // so memory has all of it
			slow.awaitFollower()
		}
		slow.wantState(live.Due)
		drop(t, st, "a")
		for made := false; !made; {
			results, err := st.Commit(t.Context(), []store.Tx{{Stream: "a", ContentType: "text/plain"}})
			if err != nil {
				t.Fatal(err)
			}
			made = results[0].Err == nil
		}
		first, err := l.First(t.Context(), filter(t, "a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		fresh := join(t, l, filter(t, "a"), plain{}, first)
		fresh.wantIdle(st)
		anew := fillLog(t, st, 2, "y", "a")
		fresh.want(anew...)
		fresh.wantIdle(st)
		slow.want(append(old, anew...)...)
	})
}

// A stream that was made anew has not ended because the one before it has, although those
// who follow the log hear of that only later, in any order with who joins.
func TestMadeAnewBeforeItIsFollowed(t *testing.T) {
	mem := openMem(t)
	batches := make(chan struct{}, 10)
	l := start(t, &spy{Store: mem, follows: func(ctx context.Context) error {
		select {
		case <-batches:
		case <-ctx.Done():
		}
		return ctx.Err()
	}}, nil, live.Options{})
	fillLog(t, mem, 1, "x", "a")
	batches <- struct{}{}
	early := join(t, l, filter(t, "a"), plain{}, l.Now())
	early.wantIdle(mem)
	batches <- struct{}{}
	early.want(end(t, mem, "a", leat.EndComplete))
	end(t, mem, "a", leat.EndDeleted)
	drop(t, mem, "a")
	if results, err := mem.Commit(t.Context(), []store.Tx{{Stream: "a", ContentType: "text/plain"}}); err != nil || results[0].Err != nil {
		t.Fatal(results, err)
	}
	info, err := mem.Stream(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	late := join(t, l, filter(t, "a"), plain{}, live.Start{After: info.ID})
	if state := late.Peek(&late.out, 1); state != live.Idle {
		t.Errorf("before the follower has heard: state %v", state)
	}
	batches <- struct{}{}
	early.wantGap()
	late.wantIdle(mem)
}

func drop(t testing.TB, st store.Store, stream string) {
	t.Helper()
	for {
		info, err := st.Stream(t.Context(), stream)
		if err == nil {
			err = st.Drop(t.Context(), stream, info.Version)
		}
		if err == nil {
			return
		}
		if err != store.ErrConflict {
			t.Fatal(err)
		}
	}
}

// A reader that joins while its stream ends comes to the end, whichever of the
// follower and the reader was first, and never before it was given the entry.
func TestJoinWhileItEnds(t *testing.T) {
	rounds := 300
	if soak() {
		rounds = 20_000
	}
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		for range rounds {
			records, err := put(t.Context(), st, "a", "x")
			if err != nil {
				t.Fatal(err)
			}
			var ended leat.Record
			var writer sync.WaitGroup
			writer.Go(func() { ended, err = putEnd(t.Context(), st, "a", leat.EndComplete) })
			c := join(t, l, filter(t, "a"), plain{}, live.Start{After: records[0].Offset.Seq})
			state, text := c.wait(1<<16), ""
			for ; state == live.Due; state = c.wait(1 << 16) {
				text += c.peeked()
				c.Advance(&c.out, c.out.Len())
			}
			writer.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if want := textOf(ended); state != live.Ended || text != want {
				t.Fatalf("state %v after %q, want Ended after %q", state, text, want)
			}
			c.Close()
			drop(t, st, "a")
		}
	})
}

// A reader of bytes begins in the middle of a record. What it was not sent of
// it must come next, or nothing.
func TestStartInsideARecord(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		all := fillLog(t, st, 3, "0123456789", "a")
		line := textOf(all[1])
		inside := live.Start{After: all[1].Offset.Seq - 1, Next: all[1].Offset.Seq, Sent: 5}
		c := join(t, l, filter(t, "a"), plain{}, inside)
		if c.Between() {
			t.Error("it stands between two frames")
		}
		c.wantText(line[5:] + textOf(all[2]))
		c.Close() // and with it what memory holds

		if err := st.Trim(t.Context(), "a", all[1].Offset.Seq); err != nil {
			t.Fatal(err)
		}
		late := join(t, l, filter(t, "a"), plain{}, inside)
		late.wantState(live.Failed)
		if late.Err() != live.ErrOvertaken {
			t.Errorf("it failed with %v", late.Err())
		}
	})
}
