package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "Size returns how many bytes the retained records of all streams take: their
// payloads and what the driver estimates that it keeps with each." "Trim and
// Drop lower it by the time they return."
func testSize(k *kit) {
	const payload = 4000
	size := int64(0)
	// grows checks that the size has changed by n payloads, and by little
	// more than that.
	grows := func(what string, n int) {
		k.Helper()
		by, want := k.s.Size()-size, int64(n)*payload
		if by/payload != int64(n) || (by-want)*int64(n) < 0 || n == 0 && by != 0 {
			k.Fatalf("%s: the size was %d and is %d, want a change by %d payloads of %d bytes", what, size, k.s.Size(), n, payload)
		}
		size += by
	}
	large := func(n int) []leat.Record {
		rs := make([]leat.Record, n)
		for i := range rs {
			rs[i] = leat.Record{Type: "type", Key: fmt.Sprint(i), Carry: []byte("\xc3"), Data: make([]byte, payload)}
		}
		return rs
	}
	grows("an empty store", 0)
	a := k.put("a", large(5)...)
	grows("an append", 5)
	k.put("b", large(3)...)
	grows("an append to another stream", 3)
	version := k.set("a", store.Tx{State: []store.Entry{{Key: "k", Value: make([]byte, 1000)}}})
	grows("a Tx without records", 0)
	if r := k.commit(store.Tx{Stream: "a", Version: version - 1, Records: large(1)})[0]; r.Err == nil {
		k.Fatal("a Tx with an old version was stored")
	}
	grows("a conflict", 0)
	k.ok(k.s.Trim(k.ctx, "a", a[1].Offset.Seq))
	grows("a Trim", -2)
	k.ok(k.s.Trim(k.ctx, "a", a[1].Offset.Seq))
	grows("a Trim of nothing", 0)
	k.ok(Drop(k.ctx, k.s, "b"))
	grows("a Drop", -3)
	k.ok(Drop(k.ctx, k.s, "b"))
	grows("a Drop of nothing", 0)
	k.put("b", large(1)...)
	grows("a stream made anew", 1)
	k.ok(k.s.Trim(k.ctx, "a", math.MaxUint64))
	grows("a Trim of everything", -3)
	k.put("a", large(1)...)
	grows("an append after it", 1)
	k.ok(Drop(k.ctx, k.s, "a"))
	k.ok(Drop(k.ctx, k.s, "b"))
	grows("the last Drops", -2)
	k.wantSize(0)
}

func (k *kit) wantSize(want int64) {
	k.Helper()
	if size := k.s.Size(); size != want {
		k.Fatalf("the size is %d, want %d", size, want)
	}
}

// Whatever is appended and removed at the same time, nothing is counted twice
// or not at all: when all is gone the size is 0.
func testSizeWhileInUse(k *kit) {
	names := []string{"a", "b", "c"}
	const users = 4
	failed := make(chan error, users)
	var wg sync.WaitGroup
	for i := range uint64(users) {
		// The goroutine is the test's, which waits for it; it ends by itself.
		wg.Go(func() { failed <- k.churn(names, rand.New(rand.NewPCG(14, i))) })
	}
	wg.Wait()
	for range users {
		k.ok(<-failed)
	}
	left := int64(0)
	for _, r := range k.log(everything, 0, 0) {
		left += int64(len(r.Data))
	}
	if size := k.s.Size(); size < left {
		k.Fatalf("there are payloads of %d bytes, and the size is %d", left, size)
	}
	for _, name := range names {
		k.ok(Drop(k.ctx, k.s, name))
	}
	k.wantSize(0)
}

// churn appends to streams, trims and drops them.
func (k *kit) churn(names []string, rnd *rand.Rand) error {
	last := make(map[string]uint64)
	for range rounds(60) {
		name := names[rnd.IntN(len(names))]
		var err error
		switch p := rnd.IntN(20); {
		case p == 0:
			err = Drop(k.ctx, k.s, name)
		case p < 6:
			err = k.s.Trim(k.ctx, name, last[name])
		default:
			var records []leat.Record
			if records, err = put(k.ctx, k.s, name, recs(1+rnd.IntN(4))...); err == nil {
				last[name] = records[0].Offset.Seq
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
