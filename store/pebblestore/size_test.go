package pebblestore

import (
	"math/bits"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// Size is payloads, types, keys and carries, and a constant for each record.
func TestSize(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	must(t, commitOne(s, store.Tx{Stream: "name", Records: []leat.Record{
		{Type: "type", Key: "a key", Carry: []byte("\xe2\x82"), Data: []byte("payload")},
		{Kind: leat.KindEnd, Type: string(leat.EndAborted), Data: []byte("reason")},
	}}))
	equal(t, "size", s.Size(), 2*sizeOverhead+4+5+2+7+7+6)
	must(t, s.Trim(background, "name", s.Head()-1))
	equal(t, "size after a Trim", s.Size(), sizeOverhead+7+6)
	must(t, storetest.Drop(background, s, "name"))
	equal(t, "size after a Drop", s.Size(), 0)
}

// The size stands beside the head and is not counted again. A store that was
// last written without it is counted, once.
func TestSizeIsKept(t *testing.T) {
	fs := vfs.NewMem()
	reopen := func(change func(s *Store)) int64 {
		t.Helper()
		s, err := Open("leat/data", Options{FS: fs, Logger: quiet})
		must(t, err)
		size := s.Size()
		change(s)
		must(t, s.Close())
		return size
	}
	setHead := func(s *Store, value []byte) { must(t, s.db.Set(keyHead, value, pebble.Sync)) }
	var size int64
	equal(t, "size of a new store", reopen(func(s *Store) {
		mustAppend(t, s, "a", "1", "2", "3")
		mustAppend(t, s, "b", "4")
		must(t, s.Trim(background, "a", s.Head()-3))
		size = s.Size()
	}), 0)
	equal(t, "size", reopen(func(s *Store) { setHead(s, appendCounter(nil, s.Head())) }), size)
	equal(t, "size that was counted", reopen(func(s *Store) { setHead(s, appendHead(nil, s.Head(), size+7)) }), size)
	// What the rows add up to is not looked at.
	equal(t, "size that is not true", reopen(func(*Store) {}), size+7)
}

// Rows from before types and keys were counted: what is trimmed of them never
// makes less than nothing.
func TestSizeOfEarlierRows(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	records := text("1", "2")
	records[0].Type, records[1].Key = "type", "key"
	must(t, appendTo(s, "s", records))
	r, err := s.row("s") // the committer's, which is idle
	must(t, err)
	s.size, r.extra = s.size-r.extra, 0
	must(t, s.Trim(background, "s", records[0].Offset.Seq))
	equal(t, "size", s.Size(), sizeOverhead+1)
	must(t, storetest.Drop(background, s, "s"))
	equal(t, "size after a Drop", s.Size(), 0)
}

// "It looks at a number of records that grows as the logarithm of all there
// are."
func TestSeekReadsFewKeys(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	for range 10 {
		mustAppend(t, s, "s", strings.Fields(strings.Repeat("0123456789 ", 1000))...)
		mustAppend(t, s, "other", strings.Fields(strings.Repeat("x ", 1000))...)
	}
	v, err := s.acquire(background)
	must(t, err)
	defer s.release(v)
	most := bits.Len64(v.head) + 1 // and the row
	for pos := int64(-5); pos < 100_005; pos += 97 {
		r := &reader{s: s, v: v, ctx: background, upTo: v.head}
		_, start, err := r.seek("s", pos)
		must(t, err)
		if r.batch.Keys > most {
			t.Fatalf("%d keys for a position in %d records, want at most %d", r.batch.Keys, v.head, most)
		}
		if want := max(pos, 0) / 10 * 10; pos < 100_000 && start != want {
			t.Fatalf("position %d is in the record at %d, want %d", pos, start, want)
		}
	}
}
