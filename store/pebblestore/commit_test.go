package pebblestore

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

func isLogSync(o op) bool { return o.is("sync", ".log") }

// Commits that wait form a group: 64 writers with 50 commits each need far
// fewer syncs than commits. How many depends on how soon the processor comes to
// each writer: 80 on a machine that has nothing else to do.
func TestGroupCommit(t *testing.T) {
	const writers, commits = 64, 50
	p := newProbe(vfs.Default)
	s, err := Open(t.TempDir(), Options{FS: p, Logger: quiet})
	must(t, err)
	defer s.Close()
	p.take()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { // ends by itself
			version := uint64(0)
			for range commits {
				rs, err := s.Commit(background, []store.Tx{{Stream: fmt.Sprint("w", w), Version: version, Records: text("x")}})
				if err != nil || rs[0].Err != nil {
					t.Error(err, rs)
					return
				}
				version = rs[0].Version
			}
		})
	}
	wg.Wait()
	n := p.count(isLogSync)
	t.Logf("%d commits, %d syncs", writers*commits, n)
	if n > writers*commits/2 {
		t.Errorf("%d commits of %d writers cost %d syncs", writers*commits, writers, n)
	}
}

// What an append does to the disk, and no more: one write to the log, and in
// class disk one sync. A read, an append that is refused and a conflict do
// nothing.
func TestSideEffects(t *testing.T) {
	for _, class := range []store.Class{store.ClassDisk, store.ClassOS} {
		p := newProbe(vfs.NewMem())
		s := openTest(t, Options{FS: p, Durability: class})
		sync := " sync #.log"
		if class == store.ClassOS {
			sync = ""
		}
		must(t, commitOne(s, store.Tx{Stream: "before", Records: text("x")})) // which makes the log longer
		p.take()
		does := func(what, want string, f func()) {
			t.Helper()
			f()
			var got []string
			for _, o := range p.take() {
				got = append(got, o.String())
			}
			equal(t, what+" in class "+string(class), got, "["+want+"]")
		}
		once := "write #.log" + sync
		does("a new stream", once, func() { must(t, commitOne(s, store.Tx{Stream: "s", Records: text("x")})) })
		v := version(t, s, "s")
		does("an append", once, func() { must(t, commitOne(s, store.Tx{Stream: "s", Version: v, Records: text("x", "y")})) })
		does("a conflict", "", func() { commitOne(s, store.Tx{Stream: "s", Version: v, Records: text("x", "y")}) })
		does("too much", "", func() { commitOne(s, store.Tx{Stream: "s", Records: text(strings.Repeat("x", 16<<20+1))}) })
		does("reading", "", func() { payloads(t, s, "s") })
		does("many streams", once, func() {
			var txs []store.Tx
			for i := range 50 {
				txs = append(txs, store.Tx{Stream: fmt.Sprint("s/", i), Records: text("x")})
			}
			_, err := s.Commit(background, txs)
			must(t, err)
		})
		does("a trim", once, func() { must(t, s.Trim(background, "s", s.Head())) })
		does("a trim of nothing", "", func() { must(t, s.Trim(background, "s", s.Head())) })
		does("a drop", once, func() { must(t, storetest.Drop(background, s, "s/1")) })
		does("a drop of nothing", "", func() { must(t, storetest.Drop(background, s, "s/1")) })
	}
}

// An append to a stream in use reads nothing, also if there are more streams
// than the cache holds.
func TestAppendsReadNothing(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	for i := range 2*rowsPerGeneration + 10 {
		s.rows.put(fmt.Sprint(i), &row{version: 1})
		if i%1000 == 0 && s.rows.get("0") == nil {
			t.Fatalf("a row that is used is forgotten after %d others", i)
		}
	}
	if n := len(s.rows.young) + len(s.rows.old); n > 2*rowsPerGeneration {
		t.Errorf("the cache has %d rows", n)
	}
	if s.rows.get("1") != nil {
		t.Error("a row that is not used is not forgotten")
	}
}

// A stream that is dropped and made anew in one group, and the versions of
// the one before.
func TestDropAndAppendInOneGroup(t *testing.T) {
	p := newProbe(vfs.NewMem())
	s := openTest(t, Options{FS: p})
	mustAppend(t, s, "s", "old")
	old := version(t, s, "s")
	g := hold(t, p)
	first := make(chan error, 1)
	go func() { first <- commitOne(s, store.Tx{Stream: "other"}) }() // awaited below
	g.wait(t, first)
	// The queue's order is the order in which these are begun.
	results := make([]chan error, 3)
	for i, do := range []func() error{
		func() error { return s.Drop(background, "s", old) },
		func() error { return commitOne(s, store.Tx{Stream: "s", Version: old, Records: text("late")}) },
		func() error { return commitOne(s, store.Tx{Stream: "s", Records: text("new")}) },
	} {
		results[i] = make(chan error, 1)
		go func() { results[i] <- do() }() // awaited below
		waitFor(t, func() bool {
			s.queue.mu.Lock()
			defer s.queue.mu.Unlock()
			return len(s.queue.waiting) == i+1
		})
	}
	p.on(nil)
	g.open <- nil
	must(t, <-first)
	must(t, <-results[0])
	if err := <-results[1]; err != store.ErrConflict {
		t.Errorf("a Tx for the dropped stream: %v", err)
	}
	must(t, <-results[2])
	equal(t, "the stream", payloads(t, s, "s"), []string{"new"})
	removed, err := s.Removed(background, leat.Everything(), 0, 0, 1<<60)
	must(t, err)
	equal(t, "removals", len(removed), 1)
}

// A Commit that has waited for long is not undone by its context; one whose
// context has ended before is not begun.
func TestCommitAndContexts(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	if rs, err := s.Commit(background, nil); len(rs) != 0 || err != nil {
		t.Errorf("Commit of nothing: %v, %v", rs, err)
	}
	must(t, s.Close())
	for what, err := range map[string]error{
		"Commit": commitOne(s, store.Tx{Stream: "s"}), "Trim": s.Trim(background, "s", 1), "Drop": s.Drop(background, "s", 1), "Health": s.Health(),
	} {
		if leat.CodeOf(err) != leat.CodeUnavailable {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

// The clock may go back; the times of records do not.
func TestTimesNeverDecrease(t *testing.T) {
	now := time.UnixMicro(1_000_000)
	s := openTest(t, Options{FS: vfs.NewMem(), Now: func() time.Time { return now }})
	var last time.Time
	for range 5 {
		r := mustAppend(t, s, "s", "x")[0]
		if r.Time.Before(last) {
			t.Fatalf("%v after %v", r.Time, last)
		}
		last, now = r.Time, now.Add(-time.Second)
	}
}

// A Commit over the engine's limit is refused, not a panic.
func TestTooMuchAtOnce(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem(), MaxRecord: mostMaxRecord})
	data := make([]byte, mostMaxRecord)
	var txs []store.Tx
	for i := range 5 {
		txs = append(txs, store.Tx{Stream: fmt.Sprint(i), Records: []leat.Record{{Data: data}}})
	}
	if _, err := s.Commit(background, txs); leat.CodeOf(err) != leat.CodeTooLarge {
		t.Errorf("%v", err)
	}
}

// Flushes and compactions go on under load, with one compaction at a time,
// and what the store says stays right.
func TestLoad(t *testing.T) {
	rounds := 300
	if os.Getenv("LEAT_SOAK") == "1" {
		rounds = 20_000
	}
	s := openTest(t, Options{FS: vfs.NewMem(), memtableSize: 128 << 10})
	var wg sync.WaitGroup
	var failed [4]error
	for w := range failed {
		wg.Go(func() { // ends by itself
			name := fmt.Sprint("w", w)
			for i := range rounds {
				if err := appendTo(s, name, text(fmt.Sprintf("%d %0900d", i, i), "y")); err != nil {
					failed[w] = err
					return
				}
				if i%50 == 49 {
					info, err := s.Stream(background, name)
					failed[w] = errors.Join(failed[w], err, s.Trim(background, name, info.Last-20))
				}
			}
		})
	}
	wg.Wait()
	must(t, errors.Join(failed[:]...))
	m := s.db.Metrics()
	if m.Flush.Count == 0 || m.Compact.Count == 0 {
		t.Errorf("%d flushes, %d compactions", m.Flush.Count, m.Compact.Count)
	}
	for w := range failed {
		info, err := s.Stream(background, fmt.Sprint("w", w))
		must(t, err)
		found := payloads(t, s, fmt.Sprint("w", w))
		if int64(len(found)) != info.Records || !strings.HasPrefix(found[len(found)-2], fmt.Sprint(rounds-1)) {
			t.Errorf("%d records, the Info says %+v", len(found), info)
		}
	}
}
