package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// While streams are appended to, trimmed and dropped, readers with different
// filters walk from the start to the end, some through ReadLog and some
// through Follow. In the end, each record that was ever stored was either read
// or told to be missing, and none was read after it was told.
func testRemovedWhileReading(k *kit) {
	names := []string{"a/1", "a/2", "b/1", "b/2", "c"}
	w := &walk{kit: k, stored: make(map[uint64]leat.Record)}
	w.writing.Store(true)
	var writers, readers sync.WaitGroup
	failed := make(chan error, 100)
	for i := range 3 {
		// These goroutines are the test's, which waits for them. The writers
		// end by themselves, the readers once the writers have.
		writers.Go(func() { failed <- w.write(names, rand.New(rand.NewPCG(6, uint64(i)))) })
	}
	for _, topics := range [][]string{{"**"}, {"a/*"}, {"a/1", "c"}, {"b/2"}, {"c", "b/*"}} {
		for range 2 {
			readers.Go(func() { failed <- w.readToEnd(newReader(k.filter(topics...), 0)) })
		}
	}
	readers.Go(func() { failed <- w.followToEnd(newReader(everything, 0)) })
	writers.Wait()
	w.end.Store(k.s.Head())
	w.writing.Store(false)
	k.set("wake/up", store.Tx{})
	readers.Wait()
	close(failed)
	for err := range failed {
		k.ok(err)
	}
}

// A walk is what the writers and readers of one test share.
type walk struct {
	*kit
	writing atomic.Bool
	end     atomic.Uint64 // where readers may stop once nobody is writing

	mu     sync.Mutex
	stored map[uint64]leat.Record
}

func (w *walk) write(names []string, rnd *rand.Rand) error {
	last := make(map[string]leat.Record)
	for range rounds(300) {
		name := names[rnd.IntN(len(names))]
		switch p := rnd.IntN(40); {
		case p == 0:
			if err := Drop(w.ctx, w.s, name); err != nil {
				return err
			}
		case p < 10 && last[name].Stream != "":
			if err := w.s.Trim(w.ctx, name, last[name].Offset.Seq-rnd.Uint64N(3)); err != nil {
				return err
			}
		default:
			records, err := put(w.ctx, w.s, name, recs(1+rnd.IntN(4))...)
			if err != nil {
				return err
			}
			last[name] = records[0]
			w.mu.Lock()
			for _, r := range records {
				w.stored[r.Offset.Seq] = r
			}
			w.mu.Unlock()
		}
	}
	return nil
}

// ended holds for a reader that has seen everything.
func (w *walk) ended(r *reader) bool { return !w.writing.Load() && r.after >= w.end.Load() }

func (w *walk) readToEnd(r *reader) error {
	for !w.ended(r) {
		if err := w.wait(r.after); err != nil {
			return err
		}
		b, err := w.s.ReadLog(w.ctx, r.filter, r.after, 0, 200)
		if err != nil {
			return err
		}
		if err := w.take(r, b); err != nil {
			return err
		}
	}
	return w.check(r)
}

// wait returns when there is something after a position.
func (w *walk) wait(after uint64) error {
	for _, err := range w.s.Follow(w.ctx, after) {
		return err
	}
	return errNoEnd
}

func (w *walk) followToEnd(r *reader) error {
	for b, err := range w.s.Follow(w.ctx, r.after) {
		if err == nil {
			err = w.take(r, b)
		}
		if err != nil {
			return err
		}
		if w.ended(r) {
			break
		}
	}
	return w.check(r)
}

func (w *walk) take(r *reader, b store.Batch) error {
	if err := sound(w.s, b, r.after); err != nil {
		return err
	}
	if b.Next <= r.after {
		return fmt.Errorf("a read after %d came to %d, and there is more", r.after, b.Next)
	}
	removed, err := w.s.Removed(w.ctx, r.filter, r.after, r.since, b.Order)
	return errors.Join(err, r.take(b, removed))
}

// check holds what a reader got, and was told, against all that was stored.
func (w *walk) check(r *reader) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := make(map[uint64]bool)
	for _, rec := range r.got {
		got[rec.Offset.Seq] = true
		if real, ok := w.stored[rec.Offset.Seq]; !ok || !same(rec, real) || !r.filter.Match(rec.Stream) {
			return fmt.Errorf("a reader of %q got %s, want %s", r.filter, show(rec), show(real))
		}
	}
	for seq, rec := range w.stored {
		if r.filter.Match(rec.Stream) && !got[seq] && !r.explained(rec) {
			return fmt.Errorf("a reader of %q neither got %s nor was told that it is gone", r.filter, show(rec))
		}
	}
	return nil
}
