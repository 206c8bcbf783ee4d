package live_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
)

// trim removes the records of r's stream up to r.
func trim(t testing.TB, st store.Store, r leat.Record) {
	t.Helper()
	if err := st.Trim(t.Context(), r.Stream, r.Offset.Seq); err != nil {
		t.Fatal(err)
	}
}

// after is the start of a reader that has had r.
func after(r leat.Record) live.Start { return live.Start{After: r.Offset.Seq} }

// wantMissing fails unless a gap names exactly the streams of some records,
// each through its record.
func wantMissing(t testing.TB, got *live.Missing, records ...leat.Record) {
	t.Helper()
	var gone []string
	for _, rm := range got.Removed {
		gone = append(gone, fmt.Sprint(rm.Stream, " through ", rm.Through))
	}
	var want []string
	for _, r := range records {
		want = append(want, fmt.Sprint(r.Stream, " through ", r.Offset.Seq))
	}
	slices.Sort(gone)
	slices.Sort(want)
	if !slices.Equal(gone, want) || got.More != 0 {
		t.Fatalf("the gap says %q and %d more, want %q", gone, got.More, want)
	}
}

// pageOf is a PageBytes that ten payloads fill.
const tenth = "0123456789"

var pageOfTen = live.Options{PageBytes: 10 * len(tenth)}

// "Records that a cursor was owed and that are gone: always told to the reader,
// never silent."
func TestGapIsTold(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 30, tenth, "a")
		trim(t, st, a[14])
		l := start(t, st, nil, pageOfTen)
		c := join(t, l, filter(t, "a"), plain{}, after(a[4]))
		wantMissing(t, c.wantGap(), a[14])
		c.want(a[15:]...)
		c.wantIdle(st)
	})
}

// "A page is read once for all who wait", whatever position they wait at: also
// one that was read for a reader who is told nothing.
func TestGapIsToldFromPageOfTheStart(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 10, tenth, "a")
		trim(t, st, a[4])
		l := start(t, st, nil, live.Options{})
		first := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		first.want(a[5:]...) // "start is the earliest retained record, never a gap"
		second := join(t, l, filter(t, "a"), plain{}, after(a[1]))
		wantMissing(t, second.wantGap(), a[4])
		second.want(a[5:]...)
	})
}

// What a page cannot name is not silent: it keeps what was removed last, and a
// reader that stands behind all of that may have lost something older.
func TestGapIsToldInTheMiddleOfAPage(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		first := fillLog(t, st, 1, "x", "m/first")
		var early []leat.Record
		for i := range 40 {
			early = append(early, fillLog(t, st, 1, "x", fmt.Sprint("m/", i))...)
		}
		middle := fillLog(t, st, 1, "x", "m/middle")
		late := fillLog(t, st, 2, "x", "m/late")
		trim(t, st, late[0])
		for _, r := range early {
			trim(t, st, r)
		}
		l := start(t, st, nil, live.Options{})
		// The page is read for this one.
		all := join(t, l, filter(t, "m/*"), plain{}, after(first[0]))
		gap := all.wantGap()
		if len(gap.Removed) != 16 || gap.More != 41-16 {
			t.Errorf("of 41 streams %d are named and %d are more", len(gap.Removed), gap.More)
		}
		all.want(middle[0], late[1])
		c := join(t, l, filter(t, "m/*"), plain{}, after(middle[0]))
		wantMissing(t, c.wantGap(), late[0])
		c.want(late[1])
	})
}

// A reader is told of a removal once, whatever else is removed later.
func TestGapTellsOnlyWhatIsNew(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		first := fillLog(t, st, 1, tenth, "m/x")
		var streams []string
		for i := range 40 {
			streams = append(streams, fmt.Sprint("m/", i))
		}
		m := fillLog(t, st, 80, tenth, streams...)
		x := fillLog(t, st, 20, tenth, "m/x")
		for _, r := range m[:40] {
			trim(t, st, r)
		}
		l := start(t, st, nil, live.Options{PageBytes: 40 * len(tenth)})
		c := join(t, l, filter(t, "m/*"), plain{}, after(first[0]))
		if gap := c.wantGap(); len(gap.Removed) != 16 || gap.More != 24 {
			t.Errorf("the first gap names %d and %d more", len(gap.Removed), gap.More)
		}
		c.want(m[40:80]...)
		trim(t, st, x[3])
		if strings.HasSuffix(t.Name(), "/foreign") && c.wait(1) == live.Due {
			return // after a short read the page with these was read ahead, before the removal
		}
		wantMissing(t, c.wantGap(), x[3])
		c.want(x[4:]...)
	})
}

// A reader that was told that records are gone gets none of them, although
// memory still has a page with them.
func TestNothingThatWasToldAsGoneIsSent(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 30, tenth, "a")
		p := &paper{}
		l := start(t, st, p, pageOfTen)
		f := filter(t, "a")
		join(t, l, f, plain{}, l.Beginning()) // for another reader pages are kept
		all := join(t, l, f, plain{}, l.Beginning())
		all.want(a...)
		p.evict(a[:6]...) // a page or more, as the store reads; what follows stays
		trim(t, st, a[14])
		c := join(t, l, f, plain{}, after(a[4]))
		wantMissing(t, c.wantGap(), a[14])
		c.want(a[15:]...)
	})
}

// What memory holds is no gap, though the store has it no more.
func TestWhatMemoryHoldsIsNotMissing(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		c := join(t, l, filter(t, "a"), plain{}, l.Now())
		c.wantIdle(st)
		a := fillLog(t, st, 10, tenth, "a")
		join(t, l, filter(t, "a"), plain{}, after(a[8])).want(a[9]) // so live has seen them
		trim(t, st, a[4])
		c.want(a...)
	})
}

// "Start is the earliest retained record": a reader that begins there finds no
// hole between a page that was read before a removal and one read after it.
func TestNoHoleFromTheStart(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 30, tenth, "a")
		p := &paper{}
		l := start(t, st, p, pageOfTen)
		f := filter(t, "a")
		join(t, l, f, plain{}, l.Beginning()) // for another reader pages are kept
		join(t, l, f, plain{}, l.Beginning()).want(a...)
		p.evict(a[0], a[29]) // the second page stays
		trim(t, st, a[24])
		c := join(t, l, f, plain{}, l.Beginning())
		c.want(a[25:]...)
		c.wantIdle(st)
	})
}

// "-10 (records), -5m (time)": a reader that does not resume is given what the
// store has, not what memory still has, and is told of no gap.
func TestFreshReadersGetWhatTheStoreHas(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		f := filter(t, "a")
		keep := join(t, l, f, plain{}, l.Now()) // keeps the feed
		a := fillLog(t, st, 10, tenth, "a")
		keep.want(a...)
		trim(t, st, a[4])
		last, err := l.Last(t.Context(), f, nil, 8)
		if err != nil {
			t.Fatal(err)
		}
		since, err := l.Since(t.Context(), f, nil, a[0].Time.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []live.Start{last, since, l.Beginning()} {
			c := join(t, l, f, plain{}, at)
			c.want(a[5:]...)
			c.wantIdle(st)
		}
		three, err := l.Last(t.Context(), f, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		join(t, l, f, plain{}, three).want(a[7:]...)
	})
}

// "An evicted page is rendered again byte for byte": a frame that was begun is
// gone on with where it stopped.
func TestFrameGoesOnAfterEviction(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		p := &paper{}
		l := start(t, st, p, live.Options{})
		c := join(t, l, filter(t, "a"), plain{}, l.Now())
		c.wantIdle(st)
		a := fillLog(t, st, 3, tenth, "a")
		want := plain{}.Append(nil, &a[0])
		got := ""
		for len(got) < len(want) {
			if c.Between() != (got == "") {
				t.Errorf("after %d bytes Between is %v", len(got), c.Between())
			}
			got += c.takePart(1)
			p.evict(a...)
		}
		if got != string(want) {
			t.Errorf("got %q, want %q", got, want)
		}
		c.want(a[1:]...)
	})
}

// A gap is told between frames, and before any record behind what is missing:
// so what follows the frame that was begun has to wait for it.
func TestGapWhileAFrameIsBegun(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		p := &paper{}
		l := start(t, st, p, live.Options{})
		log := fillLog(t, st, 4, tenth, "a", "b")
		c := join(t, l, filter(t, "*"), plain{}, l.Beginning())
		begun := c.takePart(7)
		p.evict(log...)
		trim(t, st, log[1])
		for !c.Between() || begun == "" {
			begun += c.takePart(1 << 10)
		}
		if want := string(plain{}.Append(nil, &log[0])); begun != want {
			t.Fatalf("got %q, want %q and then the gap", begun, want)
		}
		wantMissing(t, c.wantGap(), log[1])
		c.want(log[2:]...)
	})
}

// "A raw reader overtaken by retention is cut, never skipped", and at once.
func TestOvertaken(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		for _, n := range []int{1, 3} { // with and without records behind
			stream := fmt.Sprint("a/", n)
			p := &paper{}
			l := start(t, st, p, live.Options{})
			a := fillLog(t, st, n, tenth, stream)
			c := join(t, l, filter(t, stream), plain{}, l.Beginning())
			c.takePart(7)
			p.evict(a...)
			trim(t, st, a[0])
			c.wantState(live.Failed)
			if !errors.Is(c.Err(), live.ErrOvertaken) {
				t.Errorf("error %v", c.Err())
			}
		}
	})
}

// A record can be removed before live has seen it. The readers that are at the
// end are owed it like any other.
func TestGapIsToldOfWhatWasNeverSeen(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		tail := newGate()
		p := &paper{onTail: func(r *leat.Record) {
			if string(r.Data) == "slow" {
				_ = tail.pass(context.Background())
			}
		}}
		l := start(t, st, p, live.Options{})
		c := join(t, l, filter(t, "a"), plain{}, l.Now())
		other := join(t, l, filter(t, "b", "slow"), plain{}, l.Now())
		c.wantIdle(st)
		slow := fillLog(t, st, 1, "slow", "slow")
		<-tail.arrived // live is busy with it
		a := fillLog(t, st, 2, tenth, "a")
		trim(t, st, a[1])
		b := fillLog(t, st, 1, tenth, "b")
		close(tail.open)
		wantMissing(t, c.wantGap(), a[1])
		other.want(slow[0], b[0]) // whose feed has lost nothing
		more := fillLog(t, st, 1, tenth, "a")
		c.want(more...)
		c.wantIdle(st)
	})
}

// Missing is what a surface asks that wants an error instead of a gap.
func TestMissing(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		a := fillLog(t, st, 10, tenth, "a")
		for _, at := range []uint64{0, a[1].Offset.Seq} {
			if m, err := l.Missing(t.Context(), filter(t, "a"), nil, at); m != nil || err != nil {
				t.Errorf("after %d nothing is missing, got %v and error %v", at, m, err)
			}
		}
		trim(t, st, a[4])
		m, err := l.Missing(t.Context(), filter(t, "a"), nil, a[1].Offset.Seq)
		if err != nil || m == nil {
			t.Fatalf("got %v and error %v", m, err)
		}
		wantMissing(t, m, a[4])
		for _, at := range []uint64{0, a[4].Offset.Seq} {
			if m, err := l.Missing(t.Context(), filter(t, "a"), nil, at); m != nil || err != nil {
				t.Errorf("after %d nothing is missing, got %v and error %v", at, m, err)
			}
		}
	})
}

// A generous store tells of all removals of one stream, whatever it is asked: it
// has forgotten which were when. Before it tells for the first time something
// else is removed.
type generous struct {
	store.Store
	stream *leat.Filter
	once   sync.Once
	before func()
}

func (g *generous) Removed(ctx context.Context, f *leat.Filter, after, since, until uint64) ([]store.Removed, error) {
	g.once.Do(g.before)
	told, err := g.Store.Removed(ctx, f, after, since, until)
	if err != nil {
		return nil, err
	}
	told = slices.DeleteFunc(told, func(rm store.Removed) bool { return g.stream.Match(rm.Stream) })
	more, err := g.Store.Removed(ctx, g.stream, after, since, math.MaxUint64)
	return append(told, more...), err
}

// "A gap may be told early, but never not": neither when a store tells of a later
// removal than it was asked about, of which the batch that it goes with shows
// nothing. Whatever else was removed by then is told as well.
func TestGapIsToldBesideOneThatIsEarly(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		r := fillLog(t, st, 20, tenth, "a", "b")
		trim(t, st, r[2])
		g := &generous{Store: st, stream: filter(t, "b"), before: func() {
			trim(t, st, r[10])
			trim(t, st, r[15])
		}}
		l := start(t, g, nil, live.Options{})
		c := join(t, l, filter(t, "a", "b"), plain{}, after(r[4]))
		wantMissing(t, c.wantGap(), r[10], r[15])
		c.want(r[12], r[14], r[16], r[17], r[18], r[19])
	})
}

// "Removed are streams that have lost records, at most 16; more says how many further
// ones there are": a name whose stream was deleted and made anew again and again is
// one of them, however often.
func TestGapNamesAStreamOnce(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		r := fillLog(t, st, 4, "x", "b", "c")
		trim(t, st, r[2])
		var last leat.Record
		for range 20 {
			last = fillLog(t, st, 1, "x", "a")[0]
			drop(t, st, "a")
		}
		l := start(t, st, nil, live.Options{})
		c := join(t, l, filter(t, "*"), plain{}, after(r[1]))
		wantMissing(t, c.wantGap(), last, r[2])
		c.want(r[3])
	})
}
