package memstore_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/storetest"
)

var harness = storetest.Harness{
	Open: func(testing.TB) store.Store { return memstore.New(memstore.Options{}) },
}

func TestStore(t *testing.T)       { storetest.Run(t, harness) }
func TestStoreCrash(t *testing.T)  { storetest.RunCrash(t, harness) }
func TestStoreFaults(t *testing.T) { storetest.RunFaults(t, harness) }
func BenchmarkStore(b *testing.B)  { storetest.Bench(b, harness) }

var ctx = context.Background()

// put appends records with the payloads given to a stream.
func put(t testing.TB, s *memstore.Store, name string, payloads ...[]byte) []leat.Record {
	t.Helper()
	info, err := s.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]leat.Record, len(payloads))
	for i, p := range payloads {
		records[i] = leat.Record{Stream: name, Pos: info.End, Data: p}
		info.End += int64(len(p))
	}
	results, err := s.Commit(ctx, []store.Tx{{Stream: name, Version: info.Version, Records: records}})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	return records
}

// "An Epoch is one opening of a store": when it was opened, in microseconds
// since 1970, and the sequence that the opening itself took.
func TestEpoch(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 123456789, time.UTC)
	s := memstore.New(memstore.Options{Now: func() time.Time { return now }})
	defer s.Close()
	want := store.Epoch{Epoch: uint64(now.UnixMicro()), First: 1}
	if es := s.Epochs(); len(es) != 1 || es[0] != want {
		t.Errorf("the epochs are %v, want %v", es, want)
	}
	if s.Head() != 1 {
		t.Errorf("the head is %d, want 1", s.Head())
	}
	if r := put(t, s, "s", nil)[0]; r.Offset != (leat.Offset{Epoch: want.Epoch, Seq: 2}) {
		t.Errorf("the first record is at %v", r.Offset)
	}
}

// "Time never decreases in log order", whatever the clock does.
func TestClockGoesBack(t *testing.T) {
	start := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	now := start
	s := memstore.New(memstore.Options{Now: func() time.Time { return now }})
	defer s.Close()
	second := time.Second
	var got []time.Time
	for _, d := range []time.Duration{0, second, second + 999, -time.Hour, second / 2, 2 * second} {
		now = start.Add(d)
		got = append(got, put(t, s, "s", nil)[0].Time)
	}
	for i, d := range []time.Duration{0, second, second, second, second, 2 * second} {
		if want := start.Add(d); !got[i].Equal(want) {
			t.Errorf("record %d is of %v, want %v", i, got[i], want)
		}
	}
	for at, want := range map[time.Duration]uint64{-second: 0, 0: 0, 1: 2, second: 2, second + 1: 6, 2 * second: 6, 3 * second: 7} {
		if p, err := s.At(ctx, start.Add(at)); err != nil || p != want {
			t.Errorf("At(start+%v) = %d, %v, want %d", at, p, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	zero := memstore.New(memstore.Options{}).Abilities()
	if negative := memstore.New(memstore.Options{MaxRecord: -1, MaxTxRecords: -1, MaxTxBytes: -1, MaxBytes: -1}).Abilities(); negative != zero {
		t.Errorf("negative limits mean %+v, want %+v", negative, zero)
	}
	if zero.MaxRecord != 16<<20 || zero.MaxTxRecords != 65536 || zero.MaxTxBytes != 64<<20 {
		t.Errorf("the limits are %+v", zero)
	}
	storetest.Run(t, storetest.Harness{Open: func(testing.TB) store.Store {
		return memstore.New(memstore.Options{MaxRecord: 5000, MaxTxRecords: 5, MaxTxBytes: 20_000})
	}})
}

// State is small: "at most 4 KiB together for each Tx", keys "at most 600
// bytes". This store refuses what others might not take.
func TestStateLimits(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	for key, value := range map[int]int{601: 0, 600: 4<<10 - 599, 1: 4 << 10} {
		tx := store.Tx{Stream: "s", State: []store.Entry{{Key: string(make([]byte, key)), Value: make([]byte, value)}}}
		results, err := s.Commit(ctx, []store.Tx{tx})
		if err != nil || leat.CodeOf(results[0].Err) != leat.CodeTooLarge {
			t.Errorf("a key of %d bytes and a value of %d: %v, %v, want too large", key, value, results, err)
		}
	}
}

// MaxBytes: "A Tx that would exceed it is refused with leat.CodeStoreFull",
// alone, and removing records makes room.
func TestMaxBytes(t *testing.T) {
	s := memstore.New(memstore.Options{MaxBytes: 10_000})
	defer s.Close()
	stored := put(t, s, "s", make([]byte, 4000), make([]byte, 4000))
	tx := func(name string, n int) store.Tx {
		return store.Tx{Stream: name, Records: []leat.Record{{Stream: name, Data: make([]byte, n)}}}
	}
	results, err := s.Commit(ctx, []store.Tx{tx("big", 4000), tx("small", 10)})
	if err != nil || leat.CodeOf(results[0].Err) != leat.CodeStoreFull || results[1].Err != nil {
		t.Fatalf("%v, %v, want the first refused for lack of room", results, err)
	}
	if err := s.Health(); err != nil {
		t.Errorf("the store takes small Txs and its health is %v", err)
	}
	for _, remove := range []func() error{
		func() error { return s.Trim(ctx, "s", stored[0].Offset.Seq) },
		func() error { return storetest.Drop(ctx, s, "big") },
		func() error { return storetest.Drop(ctx, s, "big") },
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if results, err = s.Commit(ctx, []store.Tx{tx("big", 4000)}); err != nil || results[0].Err != nil {
			t.Fatalf("after a removal: %v, %v", results, err)
		}
	}
}

// What was trimmed or dropped can be collected, although other records of the
// stream, and of the log around it, are still there.
func TestRemovedMemoryIsFreed(t *testing.T) {
	const n = 3000
	s := memstore.New(memstore.Options{})
	var kept, trimmed, dropped []weak.Pointer[byte]
	var through uint64
	for i := range n {
		payload := func(list *[]weak.Pointer[byte]) []byte {
			p := make([]byte, 100)
			*list = append(*list, weak.Make(&p[0]))
			return p
		}
		put(t, s, "other", payload(&kept))
		put(t, s, "dropped", payload(&dropped))
		if i <= n/2+7 {
			through = put(t, s, "trimmed", payload(&trimmed))[0].Offset.Seq
		} else {
			put(t, s, "trimmed", payload(&kept))
		}
	}
	alive := func(list []weak.Pointer[byte]) (n int) {
		runtime.GC()
		for _, p := range list {
			if p.Value() != nil {
				n++
			}
		}
		return n
	}
	if err := s.Trim(ctx, "trimmed", through); err != nil {
		t.Fatal(err)
	}
	if n := alive(trimmed); n > 0 {
		t.Errorf("%d of %d trimmed payloads are held", n, len(trimmed))
	}
	if err := storetest.Drop(ctx, s, "dropped"); err != nil {
		t.Fatal(err)
	}
	if n := alive(dropped); n > 0 {
		t.Errorf("%d of %d dropped payloads are held", n, len(dropped))
	}
	if n := alive(kept); n != len(kept) {
		t.Errorf("%d of %d payloads that are still there are gone", len(kept)-n, len(kept))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := alive(kept); n > 0 {
		t.Errorf("a closed store holds %d payloads", n)
	}
	runtime.KeepAlive(s)
}

// A store in which records come and go does not grow.
func TestNoLeak(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	put(t, s, "cold", nil)
	round := func() {
		for i := range 20_000 {
			r := put(t, s, "hot", make([]byte, 50))[0]
			if i%100 == 0 {
				if err := s.Trim(ctx, "hot", r.Offset.Seq); err != nil {
					t.Fatal(err)
				}
				put(t, s, fmt.Sprint("short lived ", i%7), nil)
				if err := storetest.Drop(ctx, s, fmt.Sprint("short lived ", i%7)); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(t, s, "cold", nil) // one record in between stays
	}
	round()
	before := heap()
	for range 10 {
		round()
	}
	if after := heap(); after > before+200<<10 {
		t.Errorf("the heap grew from %d KiB to %d KiB", before>>10, after>>10)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// "It works on one goroutine, the caller's, and uses no timer": in a bubble
// whose time stands still a commit is followed at once.
func TestFollowUsesNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		start := time.Now()
		var got []leat.Record
		done := make(chan error, 1)
		go func() { // ends when the store is closed
			for b, err := range s.Follow(ctx, 0) {
				got = append(got, b.Records...)
				if err != nil {
					done <- err
				}
			}
		}()
		for i := range 10 {
			synctest.Wait() // until the follower waits, and nobody else is there
			put(t, s, "s", nil)
			synctest.Wait()
			if len(got) != i+1 {
				t.Fatalf("%d records after %d commits", len(got), i+1)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; leat.CodeOf(err) != leat.CodeUnavailable {
			t.Errorf("Follow ended with %v", err)
		}
		if passed := time.Since(start); passed > 0 {
			t.Errorf("%v have passed", passed)
		}
	})
}

func ExampleStore() {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	tx := store.Tx{Stream: "news", ContentType: "text/plain", Records: []leat.Record{
		{Stream: "news", Kind: leat.KindText, Data: []byte("hello")},
	}}
	if _, err := s.Commit(context.Background(), []store.Tx{tx}); err != nil {
		fmt.Println(err)
	}
	for b, err := range s.Follow(context.Background(), 0) {
		if err != nil {
			fmt.Println(err)
		}
		for _, r := range b.Records {
			fmt.Printf("%s: %s\n", r.Stream, r.Data)
		}
		break
	}
	// Output: news: hello
}
