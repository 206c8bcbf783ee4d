package subscription

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/storetest"
)

// Whatever a subscription is at, a restart changes nothing: not what is acknowledged,
// not whose wake it is, not when its lease ends.
func TestRestart(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		overStores(t, Options{}, func(w *world) {
			tail := w.put("events/a", "1")
			c := webhook("events/*")
			c.Streams, c.Description = []string{"x", "events/a"}, "what it is for"
			before := fmt.Sprint(w.create("s", c))
			keys := string(w.m.Keys())
			w.restart()
			v, made, err := w.m.Create(background, "s", "http://elsewhere.example/streams/", c)
			if after := fmt.Sprint(v); after != before || made || err != nil {
				w.t.Errorf("the subscription was %s, is %s; made %v, %v", before, after, made, err)
			}
			if got := string(w.m.Keys()); got != keys {
				w.t.Errorf("the keys were %s, are %s", keys, got)
			}
			w.none("nothing has happened")
			w.add("events/a")
			if n := w.one(); n.Streams[0].Acked != tail || n.CallbackURL != "http://leat.example/streams/__ds/subscriptions/s/callback" {
				w.t.Errorf("the notice is %+v", n.notice)
			}
		})
	})
	t.Run("leased", func(t *testing.T) {
		overStores(t, Options{}, func(w *world) {
			w.create("s", webhook("a"))
			tail := w.put("a", "1")
			n := w.one()
			time.Sleep(500 * time.Millisecond)
			w.restart()
			w.none("the lease runs")
			w.callback(n.report(false, Ack{"a", tail}))
			w.add("a")
			time.Sleep(time.Second - time.Millisecond)
			w.restart()
			w.none("the lease was renewed")
			time.Sleep(time.Millisecond)
			if again := w.one(); again.Generation != 2 || again.Streams[0].Acked != tail {
				w.t.Errorf("the wake after the lease is %+v", again.notice)
			}
			_, err := w.m.Report(background, "s", Webhook, n.report(true))
			wantCode(w.t, "a report of the wake before", err, leat.CodeFenced)
		})
	})
	t.Run("claimed", func(t *testing.T) {
		overStores(t, Options{}, func(w *world) {
			w.put("wakes")
			w.create("s", pullWake("a"))
			tail := w.put("a", "1")
			synctest.Wait()
			w.restart()
			c := w.claim("one")
			w.restart()
			_, err := w.m.Claim(background, "s", "two")
			wantCode(w.t, "a second claim", err, leat.CodeClaimed)
			if next, err := w.m.Report(background, "s", PullWake, c.report(true, Ack{"a", tail})); next || err != nil {
				w.t.Errorf("the last report: next %v, %v", next, err)
			}
			w.restart()
			_, err = w.m.Claim(background, "s", "two")
			wantCode(w.t, "a claim when all is done", err, leat.CodeNoWork)
			if n := len(w.wakes()); n != 1 {
				w.t.Errorf("%d wakes were announced, want 1", n)
			}
		})
	})
	t.Run("not handled", func(t *testing.T) {
		overStores(t, Options{}, func(w *world) {
			w.create("s", webhook("events/*"))
			w.put("events/a", "1")
			w.one()
			w.m.Close() // it is not there while this happens
			w.put("events/b", "1")
			if err := w.j.Delete(background, "events/a"); err != nil {
				w.t.Fatal(err)
			}
			w.restart()
			time.Sleep(time.Second)
			n := w.one()
			if len(n.Streams) != 1 || n.Streams[0].Path != "events/b" || n.Streams[0].Acked != start || !n.Streams[0].Pending {
				w.t.Errorf("the streams are %+v", n.Streams)
			}
		})
	})
}

// A wake that was stored, and not delivered before the end, is delivered afterwards.
func TestKilledBeforeDelivery(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		hang := make(chan struct{})
		w.receiver.answer = func(notice) (int, string, error) {
			<-hang
			return 200, "", errors.New("killed")
		}
		w.create("s", webhook("a"))
		w.put("a", "1")
		first := w.one()
		var ended atomic.Bool
		go func() { w.stop(); ended.Store(true) }() // ends with the test: it waits for the delivery
		synctest.Wait()
		close(hang)
		synctest.Wait()
		if !ended.Load() {
			w.t.Fatal("it does not end")
		}
		w.receiver.answers(200, "")
		if w.open != nil {
			w.st.Close()
			w.st = w.open()
		}
		w.start()
		if n := w.one(); n.WakeID != first.WakeID || n.Generation != first.Generation {
			w.t.Errorf("the wake was %+v, is %+v", first.notice, n.notice)
		}
	})
}

// A failing store is one that takes some commits, and then no more.
type failing struct {
	store.Store
	left atomic.Int64
	mute atomic.Bool // what it does it does not tell
}

func (f *failing) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if f.left.Add(-1) < 0 {
		return nil, leat.Errorf(leat.CodeStoreFailed, "killed")
	}
	results, err := f.Store.Commit(ctx, txs)
	if f.mute.Load() {
		return nil, context.Canceled
	}
	return results, err
}

// Wherever the end comes within an acknowledgement of many streams and the wake behind
// it: what was not acknowledged wakes, and so does what is new.
func TestKilledBetweenAckAndWake(t *testing.T) {
	const streams = 60 // which do not fit into one Tx
	long := fmt.Sprintf("%0100d", 0)
	for left := range int64(8) {
		synctest.Test(t, func(t *testing.T) {
			f := &failing{Store: memstore.New(memstore.Options{})}
			f.left.Store(1 << 40)
			w := newWorld(t, Options{}, f)
			defer w.close()
			w.put("wakes")
			w.create("s", pullWake("events/*"))
			var acks []Ack
			for i := range streams {
				name := fmt.Sprint("events/", i, long)
				acks = append(acks, Ack{name, w.put(name, "1")})
			}
			c := w.claim("one")
			fresh := w.add("events/0" + long)
			synctest.Wait()
			f.left.Store(left)
			_, err := w.m.Report(background, "s", PullWake, c.report(true, acks...))
			synctest.Wait()
			f.left.Store(1 << 40)
			w.restart()
			time.Sleep(time.Second)
			again := w.claim("two")
			pending := 0
			for _, s := range again.Streams {
				if s.Pending {
					pending++
				}
			}
			if again.Streams[0].Tail != fresh || !again.Streams[0].Pending || err == nil && pending != 1 || err != nil && left == 0 && pending != streams {
				t.Errorf("killed after %d commits (%v): %d streams are pending", left, err, pending)
			}
		})
	}
}

// A subscription whose making was not finished is none, and is made anew.
func TestKilledWhileMade(t *testing.T) {
	long := fmt.Sprintf("%0400d", 0)
	for left := range int64(5) {
		synctest.Test(t, func(t *testing.T) {
			f := &failing{Store: memstore.New(memstore.Options{})}
			f.left.Store(1 << 40)
			w := newWorld(t, Options{}, f)
			defer w.close()
			c := webhook("")
			for i := range 20 {
				c.Streams = append(c.Streams, fmt.Sprint(i, long))
			}
			f.left.Store(left)
			_, _, err := w.m.Create(background, "s", "http://leat.example/streams/", c)
			f.left.Store(1 << 40)
			w.restart()
			_, gerr := w.m.Get(background, "s")
			if (err == nil) != (gerr == nil) {
				t.Errorf("killed after %d commits: making it said %v, getting it %v", left, err, gerr)
			}
			if err != nil {
				c.Streams = []string{"a"}
				if v := w.create("s", c); len(v.Streams) != 1 {
					t.Errorf("it is linked to %d streams, want 1", len(v.Streams))
				}
			}
		})
	}
}

// A store that fails for a while loses no wake.
func TestStoreThatFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{Store: memstore.New(memstore.Options{})}
		f.left.Store(1 << 40)
		w := newWorld(t, Options{}, f)
		defer w.close()
		w.create("s", webhook("a"))
		f.left.Store(1) // the append
		w.put("a", "1")
		time.Sleep(10 * time.Second)
		w.none("nothing can be stored")
		f.left.Store(1 << 40)
		time.Sleep(time.Second)
		w.one()
	})
}

// Two Managers over one store, as two nodes of a cluster have: one wake, one holder.
func TestTwoManagers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New(memstore.Options{})
		w := newWorld(t, Options{}, storetest.Foreign(inner, storetest.ForeignOptions{Seed: 1, Rivalry: -1}))
		defer w.close()
		w.put("wakes")
		w.create("s", pullWake("a"))
		v := newWorld(t, Options{}, storetest.Foreign(inner, storetest.ForeignOptions{Seed: 2, Rivalry: -1}))
		defer v.stop()
		if string(v.m.Keys()) != string(w.m.Keys()) {
			t.Error("they sign with different keys")
		}
		w.put("a", "1")
		for round := range 50 {
			tail := w.add("a")
			synctest.Wait()
			one, err1 := w.m.Claim(background, "s", "one")
			two, err2 := v.m.Claim(background, "s", "two")
			switch {
			case err1 == nil && leat.CodeOf(err2) == leat.CodeClaimed:
			case err2 == nil && leat.CodeOf(err1) == leat.CodeClaimed:
				one = two
			default:
				t.Fatalf("round %d: %v and %v", round, err1, err2)
			}
			// Either takes the report, whoever gave the token.
			m := []*Manager{w.m, v.m}[round%2]
			if _, err := m.Report(background, "s", PullWake, one.report(true, Ack{"a", tail})); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	})
}

// A claim that was stored, though nobody was told, ends with its lease, and the wake that
// follows is announced.
func TestAnswerThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{Store: memstore.New(memstore.Options{})}
		f.left.Store(1 << 40)
		w := newWorld(t, Options{}, f)
		defer w.close()
		w.put("wakes")
		w.create("s", pullWake("a"))
		w.put("a", "1")
		if n := len(w.wakes()); n != 1 {
			t.Fatalf("%d wakes were announced", n)
		}
		f.mute.Store(true)
		if _, err := w.m.Claim(background, "s", "one"); !errors.Is(err, context.Canceled) {
			t.Fatalf("the claim: %v", err)
		}
		f.mute.Store(false)
		time.Sleep(3 * time.Second)
		if n := len(w.wakes()); n != 2 {
			t.Errorf("%d wakes were announced after the lease, want 2", n)
		}
		// A subscription that was made, though nobody was told, is there when it is made
		// again, with what came in between.
		f.mute.Store(true)
		if _, _, err := w.m.Create(background, "other", "", webhook("b/*")); err == nil {
			t.Fatal("it was made")
		}
		f.mute.Store(false)
		w.put("b/c", "1")
		w.none("it is not there yet")
		if _, made, err := w.m.Create(background, "other", "", webhook("b/*")); made || err != nil {
			t.Fatalf("made again: made %v, %v", made, err)
		}
		if n := w.one(); !n.Streams[0].Pending {
			t.Errorf("the streams are %+v", n.Streams)
		}
	})
}
