package pebblestore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// readLog reads the whole log through a filter.
func readLog(t *testing.T, s *Store, topics ...string) (found []string, keys int) {
	t.Helper()
	f, err := leat.ParseFilter(topics...)
	must(t, err)
	for after := uint64(0); after < s.Head(); {
		b, err := s.ReadLog(background, f, after, 0, 1<<20)
		must(t, err)
		for _, r := range b.Records {
			found = append(found, r.Stream+" "+string(r.Data))
		}
		after, keys = b.Next, keys+b.Keys
	}
	return found, keys
}

// indexEntries counts what is in the log index.
func indexEntries(t *testing.T, s *Store) int {
	t.Helper()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindIndex}, UpperBound: []byte{kindIndex + 1}})
	must(t, err)
	defer it.Close()
	n := 0
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	return n
}

// A follower that has fallen out of memory goes on from the store, and comes
// back into memory, with every record once.
func TestFollowFallsBackToTheStore(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem(), TailSize: 4096})
	var want []string
	add := func(n int) {
		for range n {
			p := fmt.Sprint(len(want), strings.Repeat("x", 200))
			mustAppend(t, s, fmt.Sprint("s", len(want)%3), p)
			want = append(want, p)
		}
	}
	add(100)
	if n := s.tail.bytes; n > 4096 || len(s.tail.groups) == 0 {
		t.Errorf("%d bytes in %d groups are kept", n, len(s.tail.groups))
	}
	var got []string
	for b, err := range s.Follow(background, 0) {
		must(t, err)
		for _, r := range b.Records {
			got = append(got, string(r.Data))
		}
		switch len(got) {
		case 100:
			add(1) // from memory
		case 101:
			add(100) // falls behind
		}
		if len(got) >= 201 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	// A group that is larger than all of it.
	mustAppend(t, s, "s", strings.Repeat("x", 5000))
	equal(t, "groups", len(s.tail.groups), 0)
	for b, err := range s.Follow(background, s.Head()-1) {
		must(t, err)
		equal(t, "records", len(b.Records), 1)
		break
	}
}

// A crash in the middle of a Drop leaves entries in the log index that lead
// nowhere. Nobody sees them, and they are not counted.
func TestEntriesWithoutRecords(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	for i := range 20 {
		mustAppend(t, s, "a/x", fmt.Sprint(i))
		mustAppend(t, s, "b/x", strings.Fields(strings.Repeat("x ", mostSingles/20+1))...)
	}
	// Drop without its last step.
	must(t, s.submit(&request{drop: findStream(t, s, "b/x"), size: txOverhead, done: make(chan struct{})}))
	equal(t, "entries", indexEntries(t, s), 20+20*(mostSingles/20+1))
	mustAppend(t, s, "b/x", "new")
	for _, topics := range [][]string{{"**"}, {"*/x"}} {
		found, _ := readLog(t, s, topics...)
		equal(t, "records", len(found), 21)
		f, err := leat.ParseFilter(topics...)
		must(t, err)
		for n := 1; n <= 22; n++ {
			pos, err := s.Back(background, f, 0, n)
			must(t, err)
			b, err := s.ReadLog(background, f, pos, 0, 1<<20)
			must(t, err)
			equal(t, "records after going back", len(b.Records), min(n, 21))
		}
	}
	// A Trim of everything and the way back in time do not mind either.
	must(t, s.Trim(background, "a/x", s.Head()))
	_, err := s.At(background, timeOf(0))
	must(t, err)
}

// findStream returns the step that drops a stream.
func findStream(t *testing.T, s *Store, name string) *dropStep {
	t.Helper()
	v, err := s.acquire(background)
	must(t, err)
	defer s.release(v)
	d, err := v.findStream(name, version(t, s, name))
	must(t, err)
	return d
}

// Drop leaves nothing, of streams with few records and keys, which are removed
// one by one, of those with many, which are ranges, and at the edge; also of
// what does not fit into a step, and of what was trimmed meanwhile.
func TestDropLeavesNothing(t *testing.T) {
	counts := []int{0, 1, mostSingles - 1, mostSingles, mostSingles + 1, trimStepRecords, trimStepRecords + 10}
	for _, records := range counts {
		for _, keys := range counts[:5] {
			s := openTest(t, Options{FS: vfs.NewMem()})
			first := mustAppend(t, s, "a", "x")[0].Offset.Seq
			tx := store.Tx{Stream: "s", Records: text(make([]string, records)...)}
			for i := range keys {
				tx.State = append(tx.State, store.Entry{Key: fmt.Sprint(i), Value: []byte("v")})
			}
			must(t, commitOne(s, tx))
			mustAppend(t, s, "z", "y")
			d := findStream(t, s, "s")
			if (d.seqs != nil) != (records <= mostSingles) || (d.keys != nil) != (keys <= mostSingles) {
				t.Errorf("%d records and %d keys: %d and %d are removed one by one", records, keys, len(d.seqs), len(d.keys))
			}
			must(t, s.Trim(background, "s", first+1))
			must(t, storetest.Drop(background, s, "s"))
			equal(t, "entries", indexEntries(t, s), 2)
			it, err := s.db.NewIter(nil)
			must(t, err)
			for it.First(); it.Valid(); it.Next() {
				if k := it.Key(); k[0] == kindRecord && numberAt(k, 1) == d.id || k[0] == kindState {
					t.Errorf("there still is %q", k)
				}
			}
			must(t, it.Close())
			equal(t, "other streams", append(payloads(t, s, "a"), payloads(t, s, "z")...), "[x y]")
		}
	}
}

// What is removed of a small stream is no range, which reads would pay for.
func TestSmallRemovalsAreNoRanges(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	for _, test := range []struct{ records, ranges int }{{1, 0}, {mostSingles, 0}, {mostSingles + 1, 2}} {
		name := fmt.Sprint("s", test.records)
		tx := store.Tx{Stream: name, Records: text(make([]string, test.records)...), State: []store.Entry{{Key: "k", Value: []byte("v")}}}
		must(t, commitOne(s, tx))
		step, _, err := s.findOldest(background, name, s.Head())
		must(t, err)
		b := s.newBatch(nil) // in place of the committer, which is idle
		must(t, b.drop(findStream(t, s, name)))
		s.rows = rowCache{}
		must(t, b.trim(step))
		s.rows = rowCache{}
		ranges := 0
		for r := b.Reader(); len(r) > 0; {
			kind, _, _, _, err := r.Next()
			must(t, err)
			if kind == pebble.InternalKeyKindRangeDelete {
				ranges++
			}
		}
		equal(t, fmt.Sprintf("ranges of a Drop and a Trim of %d records", test.records), ranges, test.ranges)
		must(t, b.Close())
	}
}

// What a Drop has found does not count any more when the stream has changed,
// or has gone, by the time that the committer comes to it.
func TestDropOfWhatHasChanged(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	mustAppend(t, s, "s", "1")
	drop := func(d *dropStep) error {
		return s.submit(&request{drop: d, size: txOverhead, done: make(chan struct{})})
	}
	d := findStream(t, s, "s")
	mustAppend(t, s, "s", "late")
	equal(t, "a Drop after an append", drop(d), store.ErrConflict)
	equal(t, "the stream", payloads(t, s, "s"), []string{"1", "late"})
	d = findStream(t, s, "s")
	must(t, drop(d))
	must(t, drop(d))
	mustAppend(t, s, "s", "anew")
	equal(t, "a Drop of the stream before", drop(d), store.ErrConflict)
	equal(t, "the stream made anew", payloads(t, s, "s"), []string{"anew"})
	equal(t, "entries", indexEntries(t, s), 1)
}

// A window of the log index is about as large as what was asked for: payloads
// that do not fit into the answer are not read.
func TestWindowsAreBounded(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	for i := range 50 {
		mustAppend(t, s, fmt.Sprint("s", i), strings.Repeat("x", 10_000))
	}
	b, err := s.ReadLog(background, leat.Everything(), 0, 0, 25_000)
	must(t, err)
	equal(t, "records", len(b.Records), 3)
	equal(t, "keys", b.Keys, 6)
	// Most of a long log does not match: a call ends after a while.
	var txs []store.Tx
	for i := range mostWalked {
		txs = append(txs, store.Tx{Stream: fmt.Sprint("w", i), Records: text("x")})
	}
	_, err = s.Commit(background, txs)
	must(t, err)
	f, err := leat.ParseFilter("*/none")
	must(t, err)
	b, err = s.ReadLog(background, f, 0, 0, 1<<20)
	must(t, err)
	if len(b.Records) > 0 || b.Keys > mostWalked+1 || b.Next < mostWalked || b.Next >= s.Head() {
		t.Errorf("%d records, %d keys, came to %d", len(b.Records), b.Keys, b.Next)
	}
	found, _ := readLog(t, s, "*/none")
	equal(t, "records", len(found), 0)
}

// A removal that was replaced, and of which nobody knows any more when it
// was, is told too early rather than not.
func TestForgottenRemovals(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	rs := mustAppend(t, s, "s", "1", "2", "3")
	must(t, s.Trim(background, "s", rs[0].Offset.Seq))
	must(t, s.Trim(background, "s", rs[1].Offset.Seq))
	ask := func(since, until uint64) string {
		list, err := s.Removed(background, leat.Everything(), 0, since, until)
		must(t, err)
		return str(list)
	}
	second := str([]store.Removed{{Stream: "s", Through: rs[1].Offset.Seq, Order: 2}})
	equal(t, "the first", ask(0, 1), str([]store.Removed{{Stream: "s", Through: rs[0].Offset.Seq, Order: 1}}))
	equal(t, "both", ask(0, 2), second)
	s.past = past{floor: 1}
	equal(t, "the first, forgotten", ask(0, 1), second)
	equal(t, "nothing", ask(1, 1), str([]store.Removed(nil)))
	// The memory of it is bounded.
	var p past
	for i := range 3 * mostPast {
		p.add([]pastRemoval{{id: 1, order: uint64(i + 1)}})
	}
	if len(p.list) > mostPast*5/4 || p.floor == 0 || p.newest(1, p.floor, 3*mostPast).order != 3*mostPast {
		t.Errorf("%d removals are remembered, those up to %d are not", len(p.list), p.floor)
	}
}
