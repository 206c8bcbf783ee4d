package live_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
)

// family is a chain of forks over a store: c is one of b and that one of a. Each is
// forked in the middle of what the one before has, and all go on.
type family struct {
	of   *journal.Lineage // of c
	want []leat.Record    // what c has
	own  []leat.Record    // of these what is its own
}

func newFamily(t testing.TB, st store.Store, n int, payload string) family {
	t.Helper()
	f := family{of: &journal.Lineage{Name: "c"}}
	for _, name := range []string{"a", "b", "c"} {
		f.own = nil
		for range n {
			records, err := put(t.Context(), st, name, payload)
			if err != nil {
				t.Fatal(err)
			}
			f.own = append(f.own, records...)
			appendTo(t, st, "other", payload)
		}
		if name == "c" {
			f.want = append(f.want, f.own...)
			break
		}
		f.want = append(f.want, f.own[:n/2]...)
		last := f.own[n/2-1]
		f.of.Segments = append(f.of.Segments, journal.Segment{Stream: name, Through: last.Offset.Seq})
	}
	for i := range f.want {
		f.want[i].Stream = "c"
	}
	for known := false; !known; { // a store may lag
		info, err := st.Stream(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		f.of.ID, known = info.ID, info.Version != 0
	}
	return f
}

// A fork's readers get what it inherits before its own records, from any place on,
// whoever else reads the name without a lineage.
func TestLineage(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		f := newFamily(t, st, 30, tenth)
		l := start(t, st, nil, pageOfTen)
		plainly := join(t, l, filter(t, "c"), plain{}, l.Beginning())
		var all []*client
		for i := range f.want {
			all = append(all, join(t, l, filter(t, "c"), plain{}, live.Start{After: f.want[i].Offset.Seq - 1, Lineage: f.of}))
		}
		for _, i := range rand.Perm(len(all)) {
			all[i].want(f.want[i:]...)
		}
		plainly.want(f.own...)
		appendTo(t, st, "a", "not for c")
		more := fillLog(t, st, 3, "more", "c")
		appendTo(t, st, "b", "not for c")
		for _, c := range append(all, plainly) {
			c.want(more...)
			c.wantIdle(st)
		}
	})
}

// What a fork inherits is never looked for among what is listed: not if the head that
// the feeds have is still before it.
func TestLineageBeforeTheHead(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		g := newGate()
		s := &spy{Store: st, follows: g.pass}
		appendTo(t, st, "other", "x")
		l := start(t, s, nil, live.Options{})
		f := newFamily(t, st, 4, "x")
		<-g.arrived // the follower is held up before all of these
		c := join(t, l, filter(t, "c"), plain{}, live.Start{Lineage: f.of})
		c.want(f.want[:4]...)
		close(g.open)
		c.want(f.want[4:]...)
		c.wantIdle(st)
	})
}

// Nobody who waits for a fork is woken because of its source.
func TestSourceWakesNobody(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		f := newFamily(t, st, 4, "x")
		l := start(t, st, nil, live.Options{})
		c := join(t, l, filter(t, "c"), plain{}, live.Start{Lineage: f.of})
		c.want(f.want...)
		c.wantIdle(st)
		source := join(t, l, filter(t, "a"), plain{}, l.Now())
		woken := 0
		for range 20 {
			c.wantIdle(st) // so that it waits at the end
			source.want(fillLog(t, st, 1, "x", "a")...)
			source.wantIdle(st)
			select {
			case <-c.bell:
				woken++ // perhaps late, because of its own records
			default:
			}
		}
		if woken > 2 {
			t.Errorf("it was woken %d times by its source", woken)
		}
	})
}

// A fork that has lost its own first record has lost all that it inherited: whoever
// is in the middle of that is told, and gets none of it. One that was made anew is
// told too.
func TestLineageIsGone(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		f := newFamily(t, st, 30, tenth)
		l := start(t, st, nil, pageOfTen)
		c := join(t, l, filter(t, "c"), plain{}, live.Start{Lineage: f.of})
		c.wantText(textOf(f.want[:10]...))
		trim(t, st, f.own[0])
		wantMissing(t, c.wantGap(), f.own[0])
		c.want(f.own[1:]...)

		late := join(t, l, filter(t, "c"), plain{}, live.Start{After: f.want[10].Offset.Seq, Lineage: f.of})
		wantMissing(t, late.wantGap(), f.own[0])
		late.want(f.own[1:]...)
		if m, err := l.Missing(t.Context(), filter(t, "c"), f.of, f.want[10].Offset.Seq); err != nil {
			t.Error(err)
		} else {
			wantMissing(t, m, f.own[0])
		}
	})
}

// What an earlier stream of a fork's name had is nobody's gap.
func TestLineageOfANameThatWasTaken(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		before := fillLog(t, st, 10, tenth, "a")
		fillLog(t, st, 3, tenth, "c")
		drop(t, st, "c")
		f := family{of: &journal.Lineage{Name: "c", Segments: []journal.Segment{{Stream: "a", Through: before[9].Offset.Seq}}}}
		own := fillLog(t, st, 3, tenth, "c")
		for f.of.ID < before[9].Offset.Seq {
			info, err := st.Stream(t.Context(), "c")
			if err != nil {
				t.Fatal(err)
			}
			f.of.ID = info.ID
		}
		for i := range before {
			before[i].Stream = "c"
		}
		l := start(t, st, nil, pageOfTen)
		c := join(t, l, filter(t, "c"), plain{}, live.Start{After: before[4].Offset.Seq, Lineage: f.of})
		c.want(append(before[5:], own...)...)
		if m, err := l.Missing(t.Context(), filter(t, "c"), f.of, before[4].Offset.Seq); m != nil || err != nil {
			t.Errorf("%+v is missing, %v", m, err)
		}
		for n := 1; n < 15; n++ {
			last, err := l.Last(t.Context(), filter(t, "c"), f.of, n)
			if err != nil {
				t.Fatal(err)
			}
			all := append(before[:10:10], own...)
			c := join(t, l, filter(t, "c"), plain{}, last)
			c.want(all[max(0, len(all)-n):]...)
			c.wantIdle(st)
		}
	})
}

// Readers that join, read in pieces, lag behind what memory holds and leave, while
// all streams of a chain are appended to, get each record once.
func TestLineageRaces(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		f := newFamily(t, st, 40, tenth)
		l := start(t, st, nil, pageOfTen)
		const more = 100
		var wg sync.WaitGroup
		own := make(chan leat.Record, more)
		wg.Go(func() {
			for range more {
				for _, name := range []string{"a", "b", "c"} {
					records, err := put(t.Context(), st, name, tenth)
					if err != nil {
						t.Error(err)
						return
					}
					if name == "c" {
						own <- records[0]
					}
				}
			}
			close(own)
		})
		var clients []*client
		var all []leat.Record
		all = append(all, f.want...)
		for r := range own {
			all = append(all, r)
			if len(all)%5 == 0 {
				c := join(t, l, filter(t, "c"), plain{}, live.Start{Lineage: f.of})
				c.takePart(1 + rand.IntN(500))
				clients = append(clients, c)
			}
		}
		wg.Wait()
		for _, c := range clients {
			rest := textOf(all...)
			at, sent := c.After(), 0
			for _, r := range all {
				if r.Offset.Seq <= at {
					sent += len(textOf(r))
				}
			}
			// What it has of the record after that is not told: it follows from
			// what comes.
			c.wait(1 << 16)
			first := c.peeked()
			for sent < len(rest) && (len(rest)-sent < len(first) || rest[sent:sent+len(first)] != first) {
				sent++
			}
			c.wantText(rest[sent:])
			c.wantIdle(st)
		}
	})
}
