package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// follow follows until a position is reached.
func follow(ctx context.Context, s store.Store, after, to uint64) ([]leat.Record, error) {
	var all []leat.Record
	err := followBatches(ctx, s, after, func(b store.Batch) bool {
		all = append(all, b.Records...)
		return b.Next < to
	})
	return all, err
}

// followBatches follows while more returns true, and checks the batches.
func followBatches(ctx context.Context, s store.Store, after uint64, more func(store.Batch) bool) error {
	for b, err := range s.Follow(ctx, after) {
		if err == nil {
			err = sound(s, b, after)
		}
		// "Batches are never empty of progress."
		if err == nil && b.Next <= after {
			err = fmt.Errorf("following after %d yields a batch that came to %d", after, b.Next)
		}
		if err != nil {
			return err
		}
		after = b.Next
		if !more(b) {
			return nil
		}
	}
	return errNoEnd
}

func (k *kit) follow(after, to uint64) []leat.Record {
	k.Helper()
	records, err := follow(k.ctx, k.s, after, to)
	k.ok(err)
	return records
}

// "Follow yields every visible record after the position given, once, in log
// order."
func testFollow(k *kit) {
	var all []leat.Record
	for i := range 20 {
		all = append(all, k.put(fmt.Sprint("s", i%3), recs(2)...)...)
		k.set("s0", store.Tx{})
	}
	head := k.s.Head()
	for after := uint64(0); after < head; after++ {
		i := 0
		for i < len(all) && all[i].Offset.Seq <= after {
			i++
		}
		k.want(fmt.Sprint("Follow after ", after), k.follow(after, head), all[i:])
	}
}

// "As soon as it is visible." A Tx without records moves the position too.
func testFollowStateOnly(k *kit) {
	k.put("s", rec("before"))
	after := k.s.Head()
	ctx, cancel := context.WithCancel(k.ctx)
	nexts, done := make(chan uint64, 1000), make(chan error, 1)
	// The goroutine is the test's: it ends with ctx.
	go func() {
		done <- followBatches(ctx, k.s, after, func(b store.Batch) bool {
			if len(b.Records) > 0 {
				k.Errorf("a Tx of state made %d records", len(b.Records))
			}
			nexts <- b.Next
			return true
		})
	}()
	for range 3 {
		k.set("s", store.Tx{State: []store.Entry{{Key: "k"}}})
		for head := k.s.Head(); k.receive(nexts, done) < head; {
		}
	}
	cancel()
	if err := k.await("Follow", done); err != context.Canceled {
		k.Error(err)
	}
}

// receive waits for a value, or for the error that comes instead.
func (k *kit) receive(values <-chan uint64, done <-chan error) uint64 {
	k.Helper()
	select {
	case v := <-values:
		return v
	case err := <-done:
		k.Fatalf("ended: %v", err)
	case <-k.ctx.Done():
		k.Fatal("nothing came")
	}
	return 0
}

// "Every visible record, whoever committed it, once, in log order", for each
// of many followers, wherever and whenever they begin, while many commit.
func testFollowMany(k *kit) {
	const writers, each = 4, 30
	k.put("s", recs(10)...)
	start := k.s.Head()
	var writing, following sync.WaitGroup
	failed := make(chan error, 100)
	type result struct {
		after uint64
		got   []leat.Record
	}
	results := make(chan result, 100)
	for i := range 9 {
		after := []uint64{0, start / 2, start}[i%3]
		// The goroutines are the test's, which waits for them. A follower
		// ends with the record that says so, a writer by itself.
		following.Go(func() {
			r := result{after: after}
			err := followBatches(k.ctx, k.s, after, func(b store.Batch) bool {
				r.got = append(r.got, b.Records...)
				n := len(b.Records)
				return n == 0 || b.Records[n-1].Stream != "end"
			})
			failed <- err
			results <- r
		})
	}
	for i := range writers {
		writing.Go(func() {
			for range each {
				if _, err := put(k.ctx, k.s, fmt.Sprint("s", i%3), recs(2)...); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	writing.Wait()
	k.put("end", rec("end"))
	following.Wait()
	close(failed)
	close(results)
	for err := range failed {
		k.ok(err)
	}
	for r := range results {
		k.want(fmt.Sprint("Follow after ", r.after), r.got, k.log(everything, r.after, 0))
	}
	if n := len(k.log(everything, start, 0)); n != writers*each*2+1 {
		k.Errorf("%d records were stored, want %d", n, writers*each*2+1)
	}
}

// "A consumer that is slow slows nobody: what it has not taken is read from
// the store again."
func testFollowSlowly(k *kit) {
	all := k.put("s", rec("first"))
	taken, goOn := make(chan uint64), make(chan struct{})
	done := make(chan error, 1)
	var got []leat.Record
	// The goroutine is the test's: it ends with the record of the stream end.
	go func() {
		done <- followBatches(k.ctx, k.s, 0, func(b store.Batch) bool {
			got = append(got, b.Records...)
			if len(got) == 1 {
				taken <- b.Next
				<-goOn
			}
			return got[len(got)-1].Stream != "end"
		})
	}()
	k.receive(taken, done)
	for i := range 300 {
		all = append(all, k.put(fmt.Sprint("s", i%3), leat.Record{Data: make([]byte, 2000)})...)
	}
	all = append(all, k.put("end", rec("end"))...)
	close(goOn)
	k.ok(k.await("Follow", done))
	k.want("what a slow consumer got", got, all)
}

// What a consumer has not taken may be removed: its batches tell by their
// order, like those of every read.
func testFollowTrimmed(k *kit) {
	for _, name := range []string{"kept", "trimmed", "dropped"} {
		k.put(name, recs(50)...)
	}
	w := &walk{kit: k, stored: make(map[uint64]leat.Record)}
	for _, r := range k.log(everything, 0, 0) {
		w.stored[r.Offset.Seq] = r
	}
	trimmed := k.stream("trimmed", 0, 0)
	w.end.Store(k.s.Head())
	k.ok(k.s.Trim(k.ctx, "trimmed", trimmed[25].Offset.Seq))
	r := newReader(everything, 0)
	for b, err := range k.s.Follow(k.ctx, 0) {
		k.ok(err)
		k.ok(w.take(r, b))
		k.ok(Drop(k.ctx, k.s, "dropped"))
		if w.ended(r) {
			break
		}
	}
	k.ok(w.check(r))
	if r.told["trimmed"] != trimmed[25].Offset.Seq {
		k.Errorf("%d was told to be trimmed, want %d", r.told["trimmed"], trimmed[25].Offset.Seq)
	}
}

// No wake-up is lost, however a commit and the beginning of a wait fall
// together: as soon as the follower has taken one commit, and waits again a
// few steps earlier or later each time, the next one comes.
func testFollowWakesUp(k *kit) {
	ctx, cancel := context.WithCancel(k.ctx)
	after := k.s.Head()
	var taken atomic.Uint64
	done := make(chan error, 1)
	// The goroutine is the test's, which waits for it; it ends with ctx.
	go func() {
		rnd := rand.New(rand.NewPCG(13, 13))
		done <- followBatches(ctx, k.s, after, func(b store.Batch) bool {
			taken.Store(b.Next)
			for steps := rnd.IntN(2000); steps > 0; steps-- {
				taken.Load()
			}
			return true
		})
	}()
	// As many rounds as a store makes in that time: few if it has a disk to
	// wait for, and very many if all of it happens in a microsecond.
	w := newBenchWriter("s")
	for end := time.Now().Add(time.Duration(rounds(400)) * time.Millisecond); time.Now().Before(end); {
		k.ok(w.append(ctx, k.s))
		for head := k.s.Head(); taken.Load() < head; {
			if runtime.Gosched(); k.ctx.Err() != nil {
				k.Fatalf("the follower came to %d and sleeps, the head is %d", taken.Load(), head)
			}
		}
	}
	cancel()
	if err := k.await("Follow", done); err != context.Canceled {
		k.Error(err)
	}
}

// "The sequence ends, with the error, when ctx ends or the store is closed."
func testFollowEnds(k *kit) {
	k.put("s", recs(3)...)
	head := k.s.Head()
	ended, cancel := context.WithCancel(k.ctx)
	cancel()
	for _, after := range []uint64{0, head} {
		k.endsWith("a context that has ended", k.s, ended, after, context.Canceled)
	}
	deadline, cancel := context.WithDeadline(k.ctx, time.Unix(1, 0))
	defer cancel()
	k.endsWith("a deadline that has passed", k.s, deadline, 0, context.DeadlineExceeded)

	// A context that ends, and a store that is closed, while Follow waits:
	// the consumer has taken all there is.
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	first, second := make(chan error, 1), make(chan error, 1)
	caughtUp := make(chan uint64, 2)
	wait := func(ctx context.Context, done chan error) {
		done <- followBatches(ctx, k.s, 0, func(b store.Batch) bool {
			if b.Next == head {
				caughtUp <- b.Next
			}
			return true
		})
	}
	// The goroutines are the test's: one ends with ctx, one with the store.
	go wait(ctx, first)
	go wait(k.ctx, second)
	k.receive(caughtUp, nil)
	k.receive(caughtUp, nil)
	cancel()
	if err := k.await("Follow, whose context has ended,", first); err != context.Canceled {
		k.Errorf("the context ended and Follow ends with %v", err)
	}
	k.put("s", rec("more")) // the other goes on
	k.ok(k.s.Close())
	k.code("Follow after Close", k.await("Follow of a store that is closed", second), leat.CodeUnavailable)
}

// endsWith follows and expects an error, once, at the end.
func (k *kit) endsWith(what string, s store.Store, ctx context.Context, after uint64, want error) {
	k.Helper()
	var errs []error
	for _, err := range s.Follow(ctx, after) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] != want {
		k.Fatalf("%s: Follow yields the errors %v, want %v and the end", what, errs, want)
	}
}
