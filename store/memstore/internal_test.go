package memstore

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

type number int

func (n number) before(m number) bool { return n < m }

// items returns all of o, and checks its chunks.
func items(t *testing.T, o *ordered[number]) []number {
	t.Helper()
	var all []number
	for _, chunk := range o.chunks {
		if len(chunk) == 0 || len(chunk) > chunkSize {
			t.Fatalf("a chunk of %d items", len(chunk))
		}
		all = append(all, chunk...)
	}
	return all
}

// An ordered is a sorted slice.
func TestOrdered(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(1, seed))
		var o ordered[number]
		var model []number
		most := 1 + rnd.IntN(6*chunkSize)
		for step := range 200 {
			switch rnd.IntN(5) {
			case 0, 1: // insert some
				for range rnd.IntN(most) {
					n := number(rnd.IntN(1 << 20))
					if i, found := slices.BinarySearch(model, n); !found {
						model = slices.Insert(model, i, n)
						o.insert(n)
					}
				}
			case 2: // push some
				for range rnd.IntN(most / 2) {
					n := number(1<<20 + 10000*step)
					if len(model) > 0 {
						n = max(n, model[len(model)-1]+1)
					}
					model = append(model, n)
					o.push(n)
				}
			case 3: // delete some
				var gone []number
				model = slices.DeleteFunc(model, func(n number) bool {
					if rnd.IntN(3) > 0 {
						return false
					}
					gone = append(gone, n)
					return true
				})
				o.delete(gone...)
			case 4: // cut
				n := number(rnd.IntN(1 << 21))
				i, _ := slices.BinarySearch(model, n)
				gone := slices.Concat(o.cut(o.seek(func(m number) bool { return m < n }))...)
				if !slices.Equal(gone, model[:i]) {
					t.Fatalf("seed %d: cut at %d returns %d items, want %d", seed, n, len(gone), i)
				}
				model = model[i:]
			}
			if !slices.Equal(items(t, &o), model) {
				t.Fatalf("seed %d, step %d: the items differ", seed, step)
			}
		}
		walkBoth(t, &o, model, rnd)
	}
}

func walkBoth(t *testing.T, o *ordered[number], model []number, rnd *rand.Rand) {
	t.Helper()
	for range 10 {
		n := number(rnd.IntN(1 << 21))
		i, _ := slices.BinarySearch(model, n)
		start := o.seek(func(m number) bool { return m < n })
		var forward []number
		p := start
		for x, ok := o.get(p); ok; x, ok = o.get(p) {
			forward = append(forward, x)
			p = o.next(p)
		}
		var back []number
		for p, ok := o.previous(start); ok; p, ok = o.previous(p) {
			x, _ := o.get(p)
			back = append(back, x)
		}
		slices.Reverse(back)
		if !slices.Equal(forward, model[i:]) || !slices.Equal(back, model[:i]) {
			t.Fatalf("from %d there are %d items forward and %d back, want %d and %d", n, len(forward), len(back), len(model)-i, i)
		}
	}
}

// fill makes a store of some streams, trimmed here and there.
func fill(t testing.TB, streams, rounds int) *Store {
	t.Helper()
	ctx := context.Background()
	s := New(Options{})
	rnd := rand.New(rand.NewPCG(2, 2))
	versions := make([]uint64, streams)
	for range rounds {
		i := rnd.IntN(streams)
		name := fmt.Sprintf("%d/%d", i%7, i)
		tx := store.Tx{Stream: name, Version: versions[i], Records: []leat.Record{{Stream: name}, {Stream: name}}}
		results, err := s.Commit(ctx, []store.Tx{tx})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		versions[i] = results[0].Version
		if rnd.IntN(50) == 0 {
			if err := s.Trim(ctx, name, rnd.Uint64N(s.Head())); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// Merging lists and scanning the log find the same records.
func TestMergeIsScan(t *testing.T) {
	s := fill(t, 60, 2000)
	defer s.Close()
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		topics := []string{fmt.Sprint(rnd.IntN(7), "/*"), fmt.Sprint(rnd.IntN(7), "/**")}
		for range rnd.IntN(20) {
			i := rnd.IntN(70)
			topics = append(topics, fmt.Sprintf("%d/%d", i%7, i))
		}
		f, err := leat.ParseFilter(topics[rnd.IntN(3):]...)
		if err != nil {
			continue // no topic is left
		}
		after, upTo := rnd.Uint64N(s.Head()), 1+rnd.Uint64N(s.Head())
		merged := s.reader(after, upTo, 1<<30)
		lists, few := s.lists(f, 1<<30, &merged.keys)
		if !few {
			t.Fatalf("%q means too many streams", topics)
		}
		merged.merge(lists)
		scanned := s.reader(after, upTo, 1<<30)
		for from := after; from < scanned.upTo; from = scanned.next {
			scanned.after, scanned.keys, scanned.next = from, 0, scanned.upTo
			scanned.scan(f)
		}
		if !slices.Equal(merged.entries, scanned.entries) || after < merged.upTo && merged.next != scanned.next {
			t.Fatalf("%q after %d up to %d: merging finds %d records up to %d, scanning %d up to %d", f, after, upTo,
				len(merged.entries), merged.next, len(scanned.entries), scanned.next)
		}
	}
}

// A stream that loses records all the time remembers what readers may ask
// about now; who asks about long ago is told too much, never too little.
func TestLostForgets(t *testing.T) {
	for _, step := range []uint64{1, 100, rememberOrders} {
		l := &lost{}
		var all []store.Removed
		for i := range uint64(3 * rememberMost) {
			r := store.Removed{Stream: "s", Through: 10 * i, Order: 1 + i*step}
			all = append(all, r)
			l.add(r)
			if len(l.removals) > rememberMost {
				t.Fatalf("%d removals are remembered", len(l.removals))
			}
			for _, ask := range all {
				got, ok := l.until(ask.Order + step/2)
				recent := ask.Order+rememberOrders > r.Order && uint64(len(all)) < ask.Order/max(step, 1)+rememberMost
				switch {
				case !ok || got.Through < ask.Through:
					t.Fatalf("until order %d: %+v, %v, want %+v or more", ask.Order, got, ok, ask)
				case recent && got != ask:
					t.Fatalf("until order %d, of late: %+v, want %+v", ask.Order, got, ask)
				}
			}
		}
		if step == rememberOrders && len(l.removals) > 2 {
			t.Errorf("%d removals are remembered, want only the last two", len(l.removals))
		}
	}
}

// What Trim and Drop have hidden is gone for every way of reading, although
// it still stands in the log.
func TestHiddenIsGone(t *testing.T) {
	ctx := context.Background()
	s := fill(t, 5, 200)
	defer s.Close()
	infos, err := s.Streams(ctx, "", "", 5)
	if err != nil {
		t.Fatal(err)
	}
	trimmed, dropped := infos[0], infos[1]
	s.mu.Lock()
	st := s.streams[trimmed.Name]
	s.hideBefore(st, st.after(trimmed.Last-1))
	s.hideDropped(s.streams[dropped.Name])
	s.mu.Unlock()
	var want []uint64
	for _, info := range infos {
		b, err := s.ReadStream(ctx, info.Name, 0, 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			want = append(want, r.Offset.Seq)
		}
	}
	slices.Sort(want)
	var got []uint64
	for b, err := range s.Follow(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			if r.Stream == dropped.Name || r.Stream == trimmed.Name && r.Offset.Seq < trimmed.Last {
				t.Fatalf("%s has record %d", r.Stream, r.Offset.Seq)
			}
			got = append(got, r.Offset.Seq)
		}
		if b.Next >= s.Head() {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log has the records %v, its streams %v", got, want)
	}
	for n := range want {
		if p, err := s.Back(ctx, everything, 0, n+1); err != nil || p+1 != want[len(want)-1-n] {
			t.Fatalf("Back by %d is %d, %v, want to be before %d", n+1, p, err, want[len(want)-1-n])
		}
	}
}

// A few names are looked up however few streams there are, and however many of
// the names do not exist.
func TestFewStreamsAreLookedUp(t *testing.T) {
	s := fill(t, 2, 5000)
	defer s.Close()
	f, err := leat.ParseFilter("1/1", "none/1", "none/2", "none/3", "none/4", "none/5")
	if err != nil {
		t.Fatal(err)
	}
	after := s.Head() - 200
	b, err := s.ReadLog(context.Background(), f, after, 0, 1<<30)
	if err != nil || b.Next != s.Head() {
		t.Fatalf("%+v, %v", b, err)
	}
	if most := len(b.Records) + 2*len(f.Names()); b.Keys > most {
		t.Errorf("%d keys for %d records, want at most %d", b.Keys, len(b.Records), most)
	}
}

// Size is payloads, types, keys and carries, and a constant for each record.
func TestSize(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	tx := store.Tx{Stream: "s", Records: []leat.Record{
		{Type: "type", Key: "a key", Carry: []byte("\xe2\x82"), Data: []byte("payload")},
		{Kind: leat.KindEnd, Type: string(leat.EndAborted), Data: []byte("reason")},
	}}
	want := int64(2*130 + 4 + 5 + 2 + 7 + 7 + 6)
	if n := txSize(&tx); n != want {
		t.Errorf("a Tx of %d bytes, want %d", n, want)
	}
	results, err := s.Commit(context.Background(), []store.Tx{tx})
	if err != nil || results[0].Err != nil || s.Size() != want {
		t.Errorf("%v, %v, the size is %d, want %d", results, err, s.Size(), want)
	}
	if n := unsafe.Sizeof(entry{}); n > 112 {
		t.Errorf("an entry has %d bytes, want at most 112", n)
	}
}

// "It looks at a number of records that grows as the logarithm of all there
// are."
func TestSeekLooksAtFew(t *testing.T) {
	const n, size = 20_000, 10
	s := New(Options{})
	defer s.Close()
	st := newStream("s", "text/plain", 1)
	for i := range int64(n) {
		s.add(st, &leat.Record{Pos: i * size, Data: make([]byte, size)}, uint64(i+2), 0)
	}
	most := bits.Len(n) + 1 // one more, as chunks are not all full
	for at := int64(-5); at < n*size; at += 97 {
		e, looked := st.seek(at)
		if looked > most || e.pos != max(at, 0)/size*size {
			t.Fatalf("byte %d is in the record at %d, and %d records were looked at, want at most %d", at, e.pos, looked, most)
		}
	}
	if e, _ := st.seek(n * size); e != nil {
		t.Errorf("behind the end is the record at %d", e.pos)
	}
}
