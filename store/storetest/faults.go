package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// faults has the tests of RunFaults.
var faults = []test{
	{"WriteFails", func(t *testing.T, h Harness) { testFault(t, h, fault{OpWrite, errDisk}) }},
	{"SyncFails", func(t *testing.T, h Harness) { testFault(t, h, fault{OpSync, errDisk}) }},
	{"WriteFindsNoRoom", func(t *testing.T, h Harness) { testFault(t, h, fault{OpWrite, errNoRoom}) }},
	{"SyncFindsNoRoom", func(t *testing.T, h Harness) { testFault(t, h, fault{OpSync, errNoRoom}) }},
	{"FailsWhileWriting", testFailsWhileWriting},
	{"FailsAtOpen", testFailsAtOpen},
}

// The errors of a real file system.
var (
	errDisk   = &fs.PathError{Op: "write", Path: "disk", Err: syscall.EIO}
	errNoRoom = &fs.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC}
)

// A fault is what is made to fail, and how.
type fault struct {
	op  Op
	err error
}

// says reports whether an error is what the contract wants after a fault:
// "CodeStoreFull when there is no room, CodeStoreFailed when the store takes
// no more writes".
func (f fault) says(err error) bool {
	var e *leat.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == leat.CodeStoreFailed || e.Code == leat.CodeStoreFull && f.err == errNoRoom
}

// A fault is final. The Commit that meets it fails, and so does each one after
// it, even when the disk has healed: after a failed sync nobody knows what is
// on it. What was stored can still be read and followed, nothing else shows,
// and when the store is opened again all that was acknowledged is there.
func testFault(t *testing.T, h Harness, f fault) {
	for _, closed := range []bool{true, false} {
		m := h.Medium(t)
		k := openMedium(t, m)
		if !k.notices(f) {
			return
		}
		rnd := rand.New(rand.NewPCG(10, uint64(f.op)))
		hist := newHistory(0, 3)
		for range 40 {
			k.ok(hist.act(k, rnd))
		}
		stop := k.followMeanwhile(hist)

		m.Fail(f.op, f.err)
		k.failsToWrite(hist, rnd, f)
		k.stays(hist, f)
		m.Fail(f.op, nil)
		k.stays(hist, f)
		stop()

		head, epochs := k.s.Head(), k.s.Epochs()
		hist.seal(closed || k.survives())
		if closed {
			k.closeFailed()
		} else {
			m = m.PowerCut()
		}
		again := openMedium(t, m)
		again.continues(epochs, head)
		hist.verify(again)
		again.consistent()
		for range 20 {
			again.ok(hist.act(again, rnd))
		}
		hist.verify(again)
		k.closeFailed()
	}
}

// notices holds unless the store acknowledges before it syncs, as class os
// does: then a sync may fail unnoticed.
func (k *kit) notices(f fault) bool { return f.op != OpSync || k.survives() }

// closeFailed closes a store that has failed. Whether that is an error is not
// said; that it comes back is.
func (k *kit) closeFailed() {
	if err := k.s.Close(); err != nil {
		k.Logf("Close of a store that has failed: %v", err)
	}
}

// failsToWrite goes on until something fails.
func (k *kit) failsToWrite(hist *history, rnd *rand.Rand, f fault) {
	k.Helper()
	for range maxTries {
		err := hist.act(k, rnd)
		if err == nil {
			continue
		}
		if !f.says(err) {
			k.Fatalf("%s fails with %q, and the store with %v (code %s)", f.op, f.err, err, leat.CodeOf(err))
		}
		return
	}
	k.Fatalf("%s fails with %q, and %d writes succeed", f.op, f.err, maxTries)
}

// stays checks that a store that has failed stays so, and what it shows.
func (k *kit) stays(hist *history, f fault) {
	k.Helper()
	head := k.s.Head()
	health := k.s.Health()
	if !f.says(health) {
		k.Fatalf("after a fault the health is %v", health)
	}
	for i := range 5 {
		name := fmt.Sprint("later/", i)
		_, err := put(k.ctx, k.s, name, rec("later"))
		if !f.says(err) || leat.CodeOf(err) != leat.CodeOf(health) {
			k.Fatalf("a later Commit: %v (code %s), the health is %v", err, leat.CodeOf(err), health)
		}
		if info := k.info(name); info.Version != 0 {
			k.Fatalf("a Commit that failed made the stream %+v", info)
		}
	}
	if now := k.s.Head(); now != head {
		k.Fatalf("the head was %d and is %d, although nothing could be written", head, now)
	}
	k.consistent()
	known := hist.acknowledged()
	all := k.log(everything, 0, 0)
	for _, r := range all {
		if !known[r.Key] {
			k.Fatalf("record %s is visible and was never acknowledged", show(r))
		}
	}
	k.want("Follow in a store that has failed", k.follow(0, head), all)
}

// acknowledged has the ids of all Txs that were.
func (h *history) acknowledged() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make(map[string]bool)
	for _, p := range h.streams {
		for _, e := range p.events[:p.acked] {
			ids[e.id] = true
		}
	}
	return ids
}

// followMeanwhile follows until the function that it returns is called, which
// checks that nothing else has ended it.
func (k *kit) followMeanwhile(histories ...*history) (stop func()) {
	ctx, cancel := context.WithCancel(k.ctx)
	done, start := make(chan error, 1), k.s.Head()
	// The goroutine is the test's: it ends with ctx, and stop waits for it.
	go func() {
		done <- followBatches(ctx, k.s, start, func(b store.Batch) bool {
			for _, r := range b.Records {
				for _, hist := range histories {
					hist.see(r)
				}
			}
			return true
		})
	}()
	return func() {
		cancel()
		if err := <-done; err != context.Canceled {
			k.Errorf("a Follow that was under way ended with %v", err)
		}
	}
}

// The disk fails while several goroutines write: each of them is told, and
// what any of them was told before, or saw, is there afterwards.
func testFailsWhileWriting(t *testing.T, h Harness) {
	const writers = 4
	m := h.Medium(t)
	var histories []*history
	for i := range writers {
		histories = append(histories, newHistory(i, 3))
	}
	all := []fault{{OpSync, errDisk}, {OpWrite, errDisk}, {OpSync, errNoRoom}, {OpWrite, errNoRoom}}
	for round := range rounds(12) {
		k := openMedium(t, m)
		for _, hist := range histories {
			hist.verify(k)
		}
		k.consistent()
		f := all[round%len(all)]
		if !k.notices(f) {
			k.closeFailed()
			continue
		}
		stop := k.followMeanwhile(histories...)
		k.failWhileWriting(m, histories, f, rand.New(rand.NewPCG(11, uint64(round))))
		stop()
		cut := round%3 == 0
		for _, hist := range histories {
			hist.seal(!cut || k.survives())
		}
		if cut {
			m = m.PowerCut()
		}
		k.closeFailed()
		m.Fail(f.op, nil)
	}
}

// failWhileWriting lets the medium fail at some moment, and returns when all
// writers have noticed.
func (k *kit) failWhileWriting(m Medium, histories []*history, f fault, rnd *rand.Rand) {
	k.Helper()
	acked, failed := make(chan struct{}, 1000), make(chan error, len(histories))
	var wg sync.WaitGroup
	for _, hist := range histories {
		own := rand.New(rand.NewPCG(12, rnd.Uint64()))
		// The test's, which waits for it; it ends when the medium fails.
		wg.Go(func() { failed <- hist.actUntil(k, own, nil, acked) })
	}
	for range rnd.IntN(60) {
		<-acked
	}
	m.Fail(f.op, f.err)
	wg.Wait()
	for range histories {
		if err := <-failed; !f.says(err) {
			k.Fatalf("%s failed with %q, and a writer with %v (code %s)", f.op, f.err, err, leat.CodeOf(err))
		}
	}
	if !f.says(k.s.Health()) {
		k.Fatalf("after a fault the health is %v", k.s.Health())
	}
}

// A store that cannot write when it is opened does not open: its epoch has to
// be known before anything happens in it. What it had is there later.
func testFailsAtOpen(t *testing.T, h Harness) {
	m := h.Medium(t)
	k := openMedium(t, m)
	stored := k.put("s", recs(10)...)
	k.ok(k.s.Close())
	for _, f := range []fault{{OpSync, errDisk}, {OpWrite, errDisk}, {OpWrite, errNoRoom}} {
		m.Fail(f.op, f.err)
		s, err := m.Open()
		if err == nil {
			t.Errorf("%s fails with %q, and Open succeeds", f.op, f.err)
			_ = s.Close()
		}
		m.Fail(f.op, nil)
		for _, again := range []Medium{m.PowerCut(), m} {
			k := openMedium(t, again)
			k.want("what was stored before", k.stream("s", 0, 0), stored)
			more := k.put("t", rec("x"))
			if !slices.IsSortedFunc(append(stored, more...), func(a, b record) int { return a.Offset.Compare(b.Offset) }) {
				t.Errorf("record %s comes after %s", show(more[0]), show(stored[len(stored)-1]))
			}
			k.ok(k.s.Close())
		}
	}
}
