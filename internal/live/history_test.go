package live_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
)

// "A reader joining over 1 GiB of history delays no append by more than one
// group": while every filler is held up in the store, appends are committed and
// delivered, to the readers of the same feed and of others; and when history
// comes it joins what has happened meanwhile.
func TestHistoryDelaysNoAppend(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		old := fillLog(t, st, 100, tenth, "a", "b", "c", "d")
		g := newGate()
		sp := &spy{Store: st}
		sp.setOnRead(func(ctx context.Context, _ *leat.Filter) error { return g.pass(ctx) })
		l := start(t, sp, nil, live.Options{Fillers: 2, PageBytes: 300})
		topics := []string{"*", "a", "b", "none"}
		slow := make(map[string]*client)
		for _, topic := range topics {
			slow[topic] = join(t, l, filter(t, topic), plain{}, l.Beginning())
			if _, state := slow[topic].take(1); state != live.Idle {
				t.Fatalf("state %v", state)
			}
		}
		<-g.arrived
		<-g.arrived // both fillers
		quick := make(map[string]*client)
		for _, topic := range append(topics, "c") {
			quick[topic] = join(t, l, filter(t, topic), plain{}, l.Now())
		}
		var young []leat.Record
		for range 50 {
			a := fillLog(t, st, 1, tenth, "a")
			quick["*"].want(a...)
			quick["a"].want(a...)
			c := fillLog(t, st, 1, tenth, "c")
			quick["*"].want(c...)
			quick["c"].want(c...)
			young = slices.Concat(young, a, c)
		}
		quick["b"].wantIdle(st)
		close(g.open)
		for _, topic := range topics {
			slow[topic].want(matching(filter(t, topic), old, young)...)
			slow[topic].wantIdle(st)
		}
	})
}

// matching returns the records that pass a filter.
func matching(f *leat.Filter, lists ...[]leat.Record) []leat.Record {
	return slices.DeleteFunc(slices.Concat(lists...), func(r leat.Record) bool { return !f.Match(r.Stream) })
}

// The same with a real disk: a figure, no proof. It prints how long appends
// take while nobody reads history and while a reader joins over 1 GiB of it.
func TestHistoryDelaysNoAppendSoak(t *testing.T) {
	if !soak() {
		t.Skip("LEAT_SOAK is not set")
	}
	st := openPebble(t)
	const payload = 1 << 10
	total := 1 << 30 / payload
	names := make([]string, 64)
	for i := range names {
		names[i] = fmt.Sprintf("a/%d", i)
	}
	fillLog(t, st, total, strings.Repeat("x", payload), names...)
	l := start(t, st, render.NewCache(0), live.Options{})
	end := join(t, l, filter(t, "b"), plain{}, l.Now())
	measure := func(what string, until func() bool) {
		var took []time.Duration
		for len(took) < 2000 || !until() {
			began := time.Now()
			end.want(fillLog(t, st, 1, "x", "b")...)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		n := len(took)
		t.Logf("%s: %d appends, delivered after %v in the middle, 99%% within %v, at most %v",
			what, n, took[n/2], took[n*99/100], took[n-1])
	}
	measure("without history", func() bool { return true })
	history := join(t, l, filter(t, "**"), plain{}, l.Beginning())
	var reading sync.WaitGroup
	done := make(chan struct{})
	lines := 0
	began := time.Now()
	reading.Go(func() { // ends when all that was there is read
		defer close(done)
		for lines < total && history.wait(1<<20) == live.Due {
			for _, p := range history.out.Bytes {
				lines += strings.Count(string(p), "\n")
			}
			history.Advance(&history.out, history.out.Len())
		}
		t.Logf("%d records of history were read in %v", lines, time.Since(began))
	})
	measure("while 1 GiB is read", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	reading.Wait()
	if lines < total {
		t.Errorf("%d records were read, want %d", lines, total)
	}
}

// "A frame is rendered once whatever the number of filters and readers."
func TestOneRenderPerRecord(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		encodings := []*counting{{name: "one"}, {name: "two"}}
		var clients []*client
		for i := range 1000 {
			f := filter(t, "hot", fmt.Sprintf("private/%d", i))
			if i%2 == 1 {
				f = filter(t, "*", fmt.Sprintf("private/%d/*", i))
			}
			for _, enc := range encodings {
				clients = append(clients, join(t, l, f, enc, l.Now()))
			}
		}
		for range 20 {
			records := fillLog(t, st, 1, "x", "hot")
			for _, c := range clients {
				c.want(records...)
			}
		}
		for _, enc := range encodings {
			if n := enc.made.Load(); n != 20 {
				t.Errorf("encoding %s: 20 records were rendered %d times for 1,000 feeds", enc.name, n)
			}
		}
	})
}

// "Filled from the store once for all who wait": 1,000 readers of one feed that
// come to the same history at different positions read and render each record
// once: a page at first, and one more where somebody reads on, then four at once.
func TestHistoryIsReadOnce(t *testing.T) {
	for _, open := range []func(testing.TB) store.Store{openMem, openPebble} {
		st := open(t)
		const pages, perPage = 20, 50
		a := fillLog(t, st, pages*perPage, tenth, "a")
		g := newGate()
		sp := &spy{Store: st}
		sp.setOnRead(func(ctx context.Context, _ *leat.Filter) error { return g.pass(ctx) })
		l := start(t, sp, nil, live.Options{PageBytes: perPage * len(tenth)})
		enc := &counting{name: "one"}
		f := filter(t, "a")
		clients := make([]*client, 1000)
		for i := range clients {
			at := l.Beginning()
			if i > 0 {
				at = after(a[i-1])
			}
			clients[i] = join(t, l, f, enc, at)
			clients[i].take(1) // asks for its page
		}
		close(g.open)
		text := textOf(a...)
		for i, c := range clients {
			c.wantText(text)
			text = text[len(textOf(a[i])):]
		}
		if n := sp.reads.Load(); n != 2+(pages-2+3)/4 {
			t.Errorf("the store was asked %d times for %d pages", n, pages)
		}
		if n, m := sp.records.Load(), enc.made.Load(); n != int64(len(a)) || m != n {
			t.Errorf("%d records were read %d times and rendered %d times", len(a), n, m)
		}
	}
}

// The same, but they come in any order: a page may be cut where one began
// before, and still no record is read twice.
func TestHistoryIsReadOnceInAnyOrder(t *testing.T) {
	for _, open := range []func(testing.TB) store.Store{openMem, openPebble} {
		st := open(t)
		a := fillLog(t, st, 2000, tenth, "a")
		sp := &spy{Store: st}
		l := start(t, sp, nil, live.Options{PageBytes: 100 * len(tenth)})
		enc := &counting{name: "one"}
		f := filter(t, "a")
		var reading sync.WaitGroup
		clients := make([]*client, 500) // of which none is alone with its pages
		for i := range clients {
			clients[i] = join(t, l, f, enc, after(a[i*7919%1999]))
		}
		for _, c := range clients {
			reading.Go(func() { // ends when it has read all
				for c.After() < a[1999].Offset.Seq {
					if _, state := c.take(1 << 10); state == live.Idle {
						c.awaitBell()
					}
				}
			})
		}
		reading.Wait()
		if n, m := sp.records.Load(), enc.made.Load(); n > 2000 || m != n {
			t.Errorf("2,000 records were read %d times and rendered %d times", n, m)
		}
	}
}

// "Resuming a filter that matches 10 of 1,000,000 records in 100,000 streams
// reads at most 1,000 keys when the names are literal."
func TestResumeReadsFewKeys(t *testing.T) {
	streams := 5_000
	switch {
	case soak():
		streams = 100_000
	case raceDetector:
		streams = 1_000
	}
	for _, open := range []func(testing.TB) store.Store{openMem, openPebble} {
		st := open(t)
		names := make([]string, streams)
		for i := range names {
			names[i] = fmt.Sprintf("device/%06d/state", i)
		}
		log := fillLog(t, st, 10*streams, "x", names...)
		sp := &spy{Store: st}
		l := start(t, sp, nil, live.Options{})
		var topics []string
		for i := range 10 {
			topics = append(topics, names[i*streams/10])
		}
		f := filter(t, topics...)
		resume := log[9*streams-1] // the last round is missing
		c := join(t, l, f, plain{}, after(resume))
		c.want(matching(f, log[9*streams:])...)
		c.wantIdle(st)
		if n := sp.keys.Load(); n > 1000 {
			t.Errorf("%T: %d keys of %d were read for 10 records", st, n, len(log))
		}
		t.Logf("%T: %d keys in %d reads", st, sp.keys.Load(), sp.reads.Load())
	}
}

// A thousand readers of the same cold range read the store once, and take no more
// memory than one: each page is read for whoever comes first, and what is behind it
// is read ahead. Readers with another encoding have pages of their own.
func TestColdRangeIsReadOnce(t *testing.T) {
	const pages, readers, pageBytes, bound = 64, 1000, 4 << 10, 256 << 10
	overStores(t, func(t *testing.T, st store.Store) {
		old := fillLog(t, st, pages, strings.Repeat("x", pageBytes), "a")
		sp := &spy{Store: st}
		cache := render.NewCache(bound)
		l := start(t, sp, cache, live.Options{PageBytes: pageBytes})
		enc := &counting{name: "counted"}
		clients := make([]*client, readers)
		for i := range clients {
			clients[i] = join(t, l, filter(t, "a"), enc, l.Beginning())
		}
		sp.reads.Store(0)
		for _, r := range old {
			for _, c := range clients {
				c.most = 1 // one frame at a time
				c.want(r)
			}
			if used := cache.Used(); used > bound {
				t.Fatalf("%d bytes of pages, bound %d", used, bound)
			}
		}
		// A store may answer with less than it was asked for, and once more for the
		// end; it does so for one reader as well.
		if n := sp.reads.Load(); n > 2*pages+2 || st.Abilities().ReadAfterWrite && n > pages+2 {
			t.Errorf("%d pages were read in %d reads by %d readers", pages, n, readers)
		}
		if n := enc.made.Load(); n != pages {
			t.Errorf("%d frames were made of %d records", n, pages)
		}
		clients[0].wantIdle(st)
		join(t, l, filter(t, "a"), plain{}, l.Beginning()).want(old...)
		if n := enc.made.Load(); n != pages {
			t.Errorf("a reader of another encoding made %d more frames of this", n-pages)
		}
	})
}

// Who reads on from page to page finds the next one there; who wants one page causes
// no second to be read.
func TestReadAhead(t *testing.T) {
	const pageBytes = 1 << 10
	st := openMem(t)
	old := fillLog(t, st, 8, strings.Repeat("x", pageBytes), "a")
	sp := &spy{Store: st}
	asked := make(chan struct{}, 1<<10)
	sp.setOnRead(func(context.Context, *leat.Filter) error { asked <- struct{}{}; return nil })
	l := start(t, sp, nil, live.Options{PageBytes: pageBytes})
	c := join(t, l, filter(t, "a"), plain{}, l.Beginning())
	await := func(what string) {
		t.Helper()
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatalf("%s was not read", what)
		}
	}
	c.want(old[0])
	await("the first page")
	if len(asked) > 0 {
		t.Fatal("a second page was read for a reader that has begun the first")
	}
	c.wantState(live.Due) // of the second page, which nobody has passed
	await("the second page")
	await("the third page, while the second is being sent,")
	c.want(old[1:]...)
	c.wantIdle(st)
}

// Who is alone in a feed keeps no page that it has read: the memory is used for the next.
// With a second reader pages stay, since that may be behind.
func TestPagesThatAreReadGo(t *testing.T) {
	const pages, pageBytes = 32, 4 << 10
	overStores(t, func(t *testing.T, st store.Store) {
		old := fillLog(t, st, pages, strings.Repeat("x", pageBytes), "a")
		sp := &spy{Store: st}
		cache := render.NewCache(0)
		l := start(t, sp, cache, live.Options{PageBytes: pageBytes})
		alone := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		alone.most = 1 // one frame at a time
		for _, r := range old[:pages/2] {
			alone.want(r)
			// The page that is read, and what is read ahead or was.
			if used, most := cache.Used(), int64(10*pageBytes+10<<10); used > most {
				t.Fatalf("%d bytes of pages, want at most %d", used, most)
			}
		}
		second := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		alone.want(old[pages/2:]...)
		alone.wantIdle(st)
		before := sp.records.Load()
		second.want(old...)
		if n := sp.records.Load() - before; n > pages/2+1 {
			t.Errorf("%d records were read again, want the %d that had gone", n, pages/2)
		}
	})
}

// A lender is a store that takes memory back and writes over it at once.
type lender struct {
	store.Store
	recycled atomic.Int64
}

func (s *lender) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	b, err := s.Store.ReadLog(ctx, f, after, upTo, bytes)
	for i := range b.Records {
		b.Records[i].Data = slices.Clone(b.Records[i].Data)
	}
	b.Recycle = func(data []byte) {
		s.recycled.Add(1)
		clear(data)
	}
	return b, err
}

// Memory of the store's is given back, and never while somebody looks at it: readers of
// pages that are evicted all the time get each byte as it was stored.
func TestMemoryIsGivenBackInTime(t *testing.T) {
	const size, bound, readers = 5 << 10, 64 << 10, 8
	records := 300
	if soak() {
		records = 10_000
	}
	st := &lender{Store: openMem(t)}
	fillLog(t, st, records, strings.Repeat("x", size), "a")
	l := start(t, st, render.NewCache(bound), live.Options{PageBytes: 4 * size})
	var reading sync.WaitGroup
	for i := range readers {
		c := join(t, l, filter(t, "a"), render.Bytes, l.Beginning())
		reading.Go(func() { // ends when it has read all
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			got := 0
			for ; got < records*size; c.out.Reset() {
				if c.Peek(&c.out, 1+rnd.IntN(4*size)) != live.Due {
					c.awaitBell()
					continue
				}
				if rnd.IntN(4) == 0 {
					runtime.Gosched() // others read on, and the page goes
				}
				for _, b := range c.out.Bytes {
					if n := bytes.Count(b, []byte("x")); n != len(b) {
						t.Errorf("%d bytes of %d are not those that were stored", len(b)-n, len(b))
						return
					}
				}
				n := c.out.Len() - rnd.IntN(2)
				c.Advance(&c.out, n)
				got += n
			}
		})
	}
	reading.Wait()
	if st.recycled.Load() == 0 {
		t.Error("no memory was given back")
	}
}
