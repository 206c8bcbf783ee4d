package storetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/leat-dev/leat/store"
)

// crashes has the tests of RunCrash.
var crashes = []test{
	{"Reopen", testReopen},
	{"CutEmpty", testCutEmpty},
	{"CutWhileWriting", testCutWhileWriting},
	{"CutWhileTrimming", testCutWhileTrimming},
	{"CutAfterConflict", testCutAfterConflict},
}

// openMedium returns a kit over what a medium holds.
func openMedium(t testing.TB, m Medium) *kit {
	t.Helper()
	s, err := m.Open()
	if err != nil {
		t.Fatalf("cannot open the medium: %v", err)
	}
	return newKit(t, s)
}

// survives says whether a committed record survives a power cut.
func (k *kit) survives() bool {
	return k.ab.Class == store.ClassDisk || k.ab.Class == store.ClassReplicated
}

// continues checks that the epochs are those of an earlier opening and new
// ones, each after everything before.
//
// "Each opening of a single-process store takes at least one sequence;
// sequences grow, never restart." Epoch: "at least the previous epoch plus
// one."
func (k *kit) continues(old store.Epochs, head uint64) {
	k.Helper()
	epochs := k.s.Epochs()
	if len(epochs) <= len(old) {
		k.Fatalf("the epochs were %v and are %v, want one more", old, epochs)
	}
	for i, e := range epochs {
		switch {
		case i < len(old) && e != old[i]:
			k.Fatalf("the epochs were %v and are %v", old, epochs)
		case i > 0 && (e.Epoch <= epochs[i-1].Epoch || e.First <= epochs[i-1].First):
			k.Fatalf("the epochs %v do not grow", epochs)
		case i == len(old) && e.First <= head && k.survives():
			k.Fatalf("the head was %d, and the new epoch begins at %d", head, e.First)
		}
	}
	if first := epochs[len(epochs)-1].First; k.s.Head() < first {
		k.Fatalf("the head is %d and the newest epoch began at %d", k.s.Head(), first)
	}
}

// consistent checks that all ways to look at the store agree.
func (k *kit) consistent() {
	k.Helper()
	infos, err := k.s.Streams(k.ctx, "", "", math.MaxInt)
	k.ok(err)
	bySeq := make(map[uint64]string)
	payload := int64(0)
	for _, info := range infos {
		records := k.stream(info.Name, 0, 0)
		bytes := int64(0)
		for _, r := range records {
			bytes += int64(len(r.Data))
			bySeq[r.Offset.Seq] = info.Name
		}
		if info.Records != int64(len(records)) || info.Bytes != bytes {
			k.Fatalf("%s has %d records of %d bytes, the Info is %+v", info.Name, len(records), bytes, info)
		}
		if n := len(records); n > 0 {
			last := records[n-1]
			if info.Last != last.Offset.Seq || info.End != last.End() || !info.LastTime.Equal(last.Time) || info.Trimmed >= records[0].Offset.Seq {
				k.Fatalf("%s has records from %d to %s, the Info is %+v", info.Name, records[0].Offset.Seq, show(last), info)
			}
		}
		if d := diffInfo(k.infoAt(info.Version, info.Name), info); d != "" {
			k.Fatalf("Stream and Streams: %s", d)
		}
		k.seeks(info.Name, records)
		payload += bytes
	}
	all := k.log(everything, 0, 0)
	for _, r := range all {
		if bySeq[r.Offset.Seq] != r.Stream {
			k.Fatalf("the log has %s, its stream has not", show(r))
		}
	}
	if len(all) != len(bySeq) {
		k.Fatalf("the log has %d records, the streams have %d", len(all), len(bySeq))
	}
	if size := k.s.Size(); size < payload || (size == 0) != (len(all) == 0) {
		k.Fatalf("the size is %d, with %d records of %d bytes", size, len(all), payload)
	}
}

// After Close and Open everything is as it was, but for a new epoch.
func testReopen(t *testing.T, h Harness) {
	m := h.Medium(t)
	rnd := rand.New(rand.NewPCG(7, 7))
	h0 := newHistory(0, 4)
	var epochs store.Epochs
	var head, order uint64
	var size int64
	for range rounds(5) {
		k := openMedium(t, m)
		k.continues(epochs, head)
		if now := k.order(); now != order {
			t.Fatalf("the order was %d and is %d: it never restarts", order, now)
		}
		k.wantSize(size)
		h0.verify(k)
		for range 60 {
			k.ok(h0.act(k, rnd))
		}
		h0.verify(k)
		epochs, head, order, size = k.s.Epochs(), k.s.Head(), k.order(), k.s.Size()
		k.ok(k.s.Close())
	}
}

// "Nothing that a Store answers can be taken back by a crash that its class
// promises to survive": not even the head of an empty store.
func testCutEmpty(t *testing.T, h Harness) {
	m := h.Medium(t)
	k := openMedium(t, m)
	for range 5 {
		epochs, head := k.s.Epochs(), k.s.Head()
		cut := m.PowerCut()
		k.ok(k.s.Close())
		m, k = cut, openMedium(t, cut)
		k.continues(epochs, head)
		k.consistent()
		after, loss := k.s.Epochs().Resolve(epochs.Offset(head), k.s.Head())
		if after != head || loss != store.LossNone {
			t.Fatalf("the position %v resolves to %d, %q", epochs.Offset(head), after, loss)
		}
	}
}

// The power fails while several goroutines commit, trim and drop, again and
// again, each time on what the cut before has left: every acknowledged Tx is
// there whole, once, in order and with its state; every other one is there
// whole or absent; and no record that anybody could see is gone.
func testCutWhileWriting(t *testing.T, h Harness) {
	const writers = 4
	m := h.Medium(t)
	histories := make([]*history, writers)
	for i := range histories {
		histories[i] = newHistory(i, 3)
	}
	var epochs store.Epochs
	var head uint64
	for round := range rounds(25) {
		rnd := rand.New(rand.NewPCG(8, uint64(round)))
		k := openMedium(t, m)
		k.continues(epochs, head)
		for _, hist := range histories {
			hist.verify(k)
		}
		k.consistent()
		epochs = k.s.Epochs()
		m, head = cutWhileWriting(k, m, histories, rnd)
	}
}

// cutWhileWriting lets every history go on until the power is cut somewhere in
// between, and returns what is left and the head that was seen before.
func cutWhileWriting(k *kit, m Medium, histories []*history, rnd *rand.Rand) (Medium, uint64) {
	stop, acked, failed := make(chan struct{}), make(chan struct{}, 1000), make(chan error, 10)
	var wg sync.WaitGroup
	start := k.s.Head()
	for _, hist := range histories {
		own := rand.New(rand.NewPCG(9, rnd.Uint64()))
		// These goroutines are the test's, which waits for them; they end
		// with stop or, the follower, with the store.
		wg.Go(func() { failed <- hist.actUntil(k, own, stop, acked) })
	}
	wg.Go(func() {
		for b, err := range k.s.Follow(k.ctx, start) {
			if err != nil {
				return // the store is closed
			}
			for _, r := range b.Records {
				for _, hist := range histories {
					hist.see(r)
				}
			}
		}
	})
	for range rnd.IntN(60) {
		select {
		case <-acked:
		case err := <-failed:
			k.Fatal(err)
		}
	}
	head := k.s.Head()
	for _, hist := range histories {
		hist.seal(k.survives())
	}
	cut := m.PowerCut()
	for _, hist := range histories {
		hist.freeze()
	}
	close(stop)
	k.ok(k.s.Close())
	wg.Wait()
	return cut, head
}

// A cut in the middle of a long Trim: what is gone is told to be gone.
func testCutWhileTrimming(t *testing.T, h Harness) {
	m := h.Medium(t)
	k := openMedium(t, m)
	for range rounds(5) {
		for range 10 {
			k.put("long", recs(200)...)
			k.put("other", recs(10)...)
		}
		all := k.stream("long", 0, 0)
		middle := all[len(all)/2].Offset.Seq
		done := make(chan error, 1)
		go func() { done <- k.s.Trim(k.ctx, "long", middle) }() // ends by itself; the test waits
		var cut Medium
		for ended := false; !ended; {
			select {
			case err := <-done:
				k.ok(err)
				ended = true
			default:
				cut = m.PowerCut()
			}
		}
		// What a cut leaves that was made while Trim was under way, or right
		// before. And what one leaves that comes after.
		if cut != nil {
			during := openMedium(t, cut)
			during.trimmedOnce(all, middle, false)
			k.ok(during.s.Close())
		}
		cut = m.PowerCut()
		k.ok(k.s.Close())
		m, k = cut, openMedium(t, cut)
		k.trimmedOnce(all, middle, true)
	}
}

// trimmedOnce checks that the first records of a stream are gone, up to middle
// at most, and exactly up to there if must.
func (k *kit) trimmedOnce(all []record, middle uint64, must bool) {
	k.Helper()
	k.consistent()
	if !k.survives() {
		return // the other end may be gone as well
	}
	left := k.stream("long", 0, 0)
	gone := all[:len(all)-len(left)]
	k.want("what a Trim has left", left, all[len(gone):])
	if n := len(gone); n > 0 && gone[n-1].Offset.Seq > middle || must && (n == 0 || gone[n-1].Offset.Seq != middle) {
		k.Fatalf("%d records are trimmed, want those up to %d", n, middle)
	}
	removed, err := k.s.Removed(k.ctx, everything, 0, 0, k.order())
	k.ok(err)
	r := newReader(everything, 0)
	k.ok(r.take(store.Batch{Order: k.order()}, removed))
	for _, rec := range gone {
		if !r.explained(rec) {
			k.Fatalf("record %s is gone, and Removed tells %+v", show(rec), removed)
		}
	}
}

// ErrConflict, as the result of a Tx and of a Drop, "is returned only when the
// version that won is durable."
func testCutAfterConflict(t *testing.T, h Harness) {
	m := h.Medium(t)
	k := openMedium(t, m)
	if !k.survives() {
		return // a cut may take back what was acknowledged, conflicts too
	}
	for round := range rounds(40) {
		name := fmt.Sprint("s", round%3)
		version := k.info(name).Version
		results := make(chan error, 2)
		for i := range 2 {
			// The goroutines end by themselves; the test waits for both.
			go func() {
				if i == 1 && round%2 == 1 && version > 0 {
					results <- k.s.Drop(k.ctx, name, version)
					return
				}
				r := rec(fmt.Sprint(round, i))
				txs := []store.Tx{{Stream: name, Version: version, Records: at(store.Info{Name: name}, []record{r})}}
				rs, err := k.s.Commit(k.ctx, txs)
				if err == nil {
					err = rs[0].Err
				}
				results <- err
			}()
		}
		first := <-results
		cut := m.PowerCut()
		second := <-results
		if (first == nil) == (second == nil) {
			t.Fatalf("two changes of one version: %v and %v", first, second)
		}
		if errors.Is(first, store.ErrConflict) || round%10 == 0 {
			after := openMedium(t, cut)
			if info := after.info(name); info.Version == version {
				t.Fatal("the version that met a conflict is there again after a power cut")
			}
			k.ok(after.s.Close())
		}
	}
}
