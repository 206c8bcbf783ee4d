package live_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

func TestHistoryThenLive(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		old := fillLog(t, st, 1, "old", "a/1")
		appendTo(t, st, "b", "other")
		l := start(t, st, nil, live.Options{})
		c := join(t, l, filter(t, "a/*"), plain{}, l.Beginning())
		c.want(old...)
		c.wantIdle(st)
		c.want(fillLog(t, st, 1, "new", "a/2")...)
		appendTo(t, st, "b", "other")
		c.wantIdle(st)
		if c.After() != st.Head() || l.Head() != st.Head() {
			t.Errorf("the reader is at %d, live at %d, the store at %d", c.After(), l.Head(), st.Head())
		}
	})
}

// "From=now": what was there before is not sent, what comes is.
func TestNow(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		appendTo(t, st, "a", "old")
		l := start(t, st, nil, live.Options{})
		appendTo(t, st, "a", "old too") // perhaps not followed yet
		c := join(t, l, filter(t, "a"), plain{}, l.Now())
		c.want(fillLog(t, st, 3, "new", "a")...)
		c.wantIdle(st)
	})
}

// "Every committed record, own or foreign, once": readers of one node get what
// another one takes, and what a second writer puts between.
func TestRecordsOfOtherNodes(t *testing.T) {
	inner := openMem(t)
	node := func() store.Store {
		return storetest.Foreign(inner, storetest.ForeignOptions{Rivalry: 50, Write: storetest.ForeignRecord})
	}
	here, there := node(), node()
	l := start(t, here, nil, live.Options{})
	c := join(t, l, filter(t, "*"), plain{}, l.Beginning())
	for i := range 50 {
		fillLog(t, []store.Store{here, there}[i%2], 1, "x", "a", "b")
	}
	b, err := inner.ReadLog(t.Context(), filter(t, "*"), 0, 0, 1<<20)
	if err != nil || len(b.Records) <= 50 {
		t.Fatalf("%d records, error %v: the second writer has written nothing", len(b.Records), err)
	}
	c.want(b.Records...)
	c.wantIdle(here)
}

// An offset is one of this store, or the reader is told what it is.
func TestResume(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 3, "x", "a")
		l := start(t, st, nil, live.Options{})
		at, loss := l.Resume(a[0].Offset, nil)
		if loss != store.LossNone || l.Offset(a[0].Offset.Seq) != a[0].Offset {
			t.Errorf("loss %q for an offset of the store", loss)
		}
		join(t, l, filter(t, "a"), plain{}, at).want(a[1:]...)
		foreign := leat.Offset{Epoch: a[0].Offset.Epoch + 1, Seq: 1}
		at, loss = l.Resume(foreign, nil)
		if loss != store.LossForeign || at.After != st.Head() {
			t.Errorf("an offset of another store: loss %q, after %d", loss, at.After)
		}
	})
}

// "It is woken by the store's Follow and by nothing else, and uses no timer": no
// time passes between an append and its delivery. The clock of the bubble stands
// still as long as any goroutine can go on.
func TestNoTimerBetweenAppendAndDelivery(t *testing.T) {
	for _, d := range drivers {
		if d.name == "pebble" {
			continue // it waits for a real disk, which the bubble takes for idleness
		}
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := d.open(t)
				old := fillLog(t, st, 100, "old", "a/1", "a/2")
				l := start(t, st, nil, live.Options{PageBytes: 100})
				began := time.Now()
				clients := []*client{
					join(t, l, filter(t, "a/1", "a/2"), plain{}, l.Beginning()),
					join(t, l, filter(t, "a/*"), plain{}, after(old[49])),
					join(t, l, filter(t, "**"), plain{}, l.Now()),
				}
				clients[0].want(old...)
				clients[1].want(old[50:]...)
				for range 100 {
					synctest.Wait() // all readers wait
					records := fillLog(t, st, 1, "new", "a/1")
					for _, c := range clients {
						c.want(records...)
						c.wantIdle(st)
					}
				}
				if d := time.Since(began); d != 0 {
					t.Errorf("%v passed", d)
				}
			})
		})
	}
}

// Readers may close while they wait for a record. It ends their feed.
func TestCloseWhileWaiting(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		cache := render.NewCache(0)
		l := start(t, st, cache, live.Options{})
		f := filter(t, "a")
		one, two := join(t, l, f, plain{}, l.Now()), join(t, l, f, plain{}, l.Now())
		one.wantIdle(st)
		two.wantIdle(st)
		one.Close()
		one.Close()
		if n := l.Readers(); n != 1 {
			t.Errorf("%d readers, want 1", n)
		}
		two.want(fillLog(t, st, 1, "x", "a")...)
		two.wantIdle(st)
		two.Close()
		if n := l.Readers(); n != 0 {
			t.Errorf("%d readers, want none", n)
		}
		used := cache.Used()
		three := join(t, l, filter(t, "b"), plain{}, l.Now())
		fillLog(t, st, 1, "x", "a")
		three.want(fillLog(t, st, 1, "x", "b")...)
		if got := cache.Used(); got != used+24 {
			t.Errorf("%d bytes were taken for a record of a feed and one of none, want 24", got-used)
		}
	})
}

// Readers may close while a page is brought for them: it is given back.
func TestCloseWhileFilling(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 10, tenth, "a")
		g := newGate()
		sp := &spy{Store: st}
		sp.setOnRead(func(ctx context.Context, _ *leat.Filter) error { return g.pass(ctx) })
		cache := render.NewCache(0)
		l := start(t, sp, cache, live.Options{})
		c := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		c.take(1)
		<-g.arrived
		c.Close()
		again := join(t, l, filter(t, "a"), plain{}, l.Beginning()) // another feed
		again.take(1)
		<-g.arrived
		close(g.open)
		again.want(a...)
		again.Close()
		// The page of the first feed may come only now.
		last := join(t, l, filter(t, "b"), plain{}, l.Beginning())
		last.wantIdle(st)
		for cache.Used() != 0 {
			last.awaitFollower()
		}
	})
}

// "A feed exists while it has readers", and what it holds no longer.
func TestFeedEndsWithItsLastReader(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		a := fillLog(t, st, 100, tenth, "a")
		cache := render.NewCache(0)
		l := start(t, st, cache, pageOfTen)
		f := filter(t, "a")
		one, two := join(t, l, f, plain{}, l.Beginning()), join(t, l, f, plain{}, after(a[49]))
		two.want(a[50:]...)
		one.want(a...)
		full := cache.Used()
		one.Close()
		if got := cache.Used(); got != full || full == 0 {
			t.Errorf("%d bytes are held while there is a reader, want %d", got, full)
		}
		two.Close()
		if got := cache.Used(); got != 0 {
			t.Errorf("%d bytes are held after the last reader has left", got)
		}
	})
}

// "Close joins what it started", and ends at once although every filler is held
// up in the store: the bubble fails if a goroutine is left.
func TestCloseEndsFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := openMem(t)
		fillLog(t, st, 10, tenth, "a", "b", "c", "d", "e")
		g := newGate()
		sp := &spy{Store: st}
		sp.setOnRead(func(ctx context.Context, _ *leat.Filter) error { return g.pass(ctx) })
		l := live.New(sp, render.NewCache(0), live.Options{Fillers: 3, Logger: quiet})
		for _, topic := range []string{"a", "b", "c", "d", "e"} {
			join(t, l, filter(t, topic), plain{}, l.Beginning()).take(1)
		}
		synctest.Wait()
		if n := len(g.arrived); n != 3 {
			t.Errorf("%d fills are under way, want 3", n)
		}
		began := time.Now()
		l.Close()
		if d := time.Since(began); d != 0 {
			t.Errorf("Close took %v", d)
		}
	})
}

var errBroken = errors.New("the disk is on fire")

// When nothing can be followed any more every reader is told, wherever it
// waits, and so is everyone who comes later.
func TestFollowFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := openMem(t)
		fillLog(t, st, 10, tenth, "a")
		g := newGate()
		broken := false
		sp := &spy{Store: st, follows: func(context.Context) error {
			if broken {
				return errBroken
			}
			return nil
		}}
		sp.setOnRead(func(ctx context.Context, f *leat.Filter) error { return g.pass(ctx) })
		l := start(t, sp, nil, live.Options{})
		clients := map[string]*client{
			"at the end":      join(t, l, filter(t, "a"), plain{}, l.Now()),
			"of another feed": join(t, l, filter(t, "none"), plain{}, l.Now()),
			"in history":      join(t, l, filter(t, "**"), plain{}, l.Beginning()),
		}
		for what, c := range clients {
			if _, state := c.take(1); state != live.Idle {
				t.Fatalf("a reader %s: state %v", what, state)
			}
		}
		clients["that does not wait"] = join(t, l, filter(t, "a"), plain{}, l.Now())
		synctest.Wait()
		broken = true
		fillLog(t, st, 1, tenth, "b")
		clients["that is late"] = nil
		for what, c := range clients {
			if c == nil {
				c = join(t, l, filter(t, "late"), plain{}, l.Now())
			} else if what != "that does not wait" {
				c.awaitBell()
			}
			c.wantState(live.Failed)
			if !errors.Is(c.Err(), errBroken) {
				t.Errorf("a reader %s: error %v", what, c.Err())
			}
		}
	})
}

// When history cannot be read only those fail who wait for it. The next one
// tries again.
func TestReadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := openMem(t)
		a := fillLog(t, st, 10, tenth, "a")
		g := newGate()
		sp := &spy{Store: st}
		sp.setOnRead(func(ctx context.Context, f *leat.Filter) error {
			if err := g.pass(ctx); err != nil {
				return err
			}
			return errBroken
		})
		l := start(t, sp, nil, live.Options{})
		f := filter(t, "a")
		end := join(t, l, f, plain{}, l.Now())
		end.wantIdle(st)
		waiting := []*client{join(t, l, f, plain{}, l.Beginning()), join(t, l, f, plain{}, after(a[4]))}
		for _, c := range waiting {
			c.take(1)
		}
		close(g.open)
		for _, c := range waiting {
			c.awaitBell()
			c.wantState(live.Failed)
			if !errors.Is(c.Err(), errBroken) {
				t.Errorf("error %v", c.Err())
			}
			c.wantState(live.Failed) // and stays so
		}
		sp.setOnRead(nil)
		next := join(t, l, f, plain{}, after(a[4]))
		next.want(a[5:]...)
		more := fillLog(t, st, 1, tenth, "a")
		next.want(more...)
		end.want(more...)
	})
}
