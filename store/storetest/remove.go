package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// order is the number of removals so far, which every read tells.
func (k *kit) order() uint64 {
	k.Helper()
	b, err := k.s.ReadLog(k.ctx, everything, 0, 0, 1)
	k.ok(err)
	b2, err := k.s.ReadStream(k.ctx, "none", 0, 0, 1)
	k.ok(err)
	if b.Order != b2.Order {
		k.Fatalf("ReadLog says order %d, ReadStream %d", b.Order, b2.Order)
	}
	return b.Order
}

// removes calls a method that must be a removal or, if not want, must "leave
// no trace".
func (k *kit) removes(what string, want bool, err error, before uint64) uint64 {
	k.Helper()
	if err != nil {
		k.Fatalf("%s: %v", what, err)
	}
	order := k.order()
	switch {
	case want && order <= before:
		k.Fatalf("%s: the order was %d and is %d, want it greater", what, before, order)
	case !want && order != before:
		k.Fatalf("%s: the order was %d and is %d, want no trace", what, before, order)
	}
	return order
}

// "Trim removes the records of a stream up to a position, without touching its
// state, its Version or its End." "Removing nothing is not an error and leaves
// no trace."
func testTrim(k *kit) {
	k.put("other", recs(5)...)
	due := time.UnixMicro(1)
	k.set("s", store.Tx{State: []store.Entry{{Key: "k", Value: []byte("v")}}, Due: &due})
	var own []leat.Record
	for range 10 {
		own = append(own, k.put("s", recs(1)...)...)
		k.set("other", store.Tx{})
	}
	before := k.latest("s", own, "k")
	order := k.order()
	trim := func(through uint64, left int) {
		k.Helper()
		what := fmt.Sprint("Trim through ", through)
		some := len(k.stream("s", 0, 0)) > left
		order = k.removes(what, some, k.s.Trim(k.ctx, "s", through), order)
		want := before
		kept := own[len(own)-left:]
		want.Records, want.Bytes = int64(left), 0
		for _, r := range kept {
			want.Bytes += int64(len(r.Data))
		}
		if left < len(own) {
			want.Trimmed = own[len(own)-left-1].Offset.Seq
		}
		is := func(info store.Info) bool { return info.Trimmed == want.Trimmed }
		info := k.infoWhen(fmt.Sprint("trimmed ", want.Trimmed), is, "s", "k")
		if d := diffInfo(info, want); d != "" || string(info.State["k"]) != "v" {
			k.Fatalf("%s: %s, state %q", what, d, info.State)
		}
		k.want(what+", ReadStream", k.stream("s", 0, 0), kept)
		k.want(what+", ReadLog", k.log(k.filter("s"), 0, 0), kept)
		if n := len(k.log(everything, 0, 0)); n != left+5 {
			k.Fatalf("%s: the log has %d records, want %d", what, n, left+5)
		}
	}
	trim(0, 10)
	trim(own[0].Offset.Seq-1, 10)
	trim(own[3].Offset.Seq, 6)
	trim(own[3].Offset.Seq, 6)
	trim(own[1].Offset.Seq, 6)
	trim(own[3].Offset.Seq+1, 6) // a hole
	trim(own[8].Offset.Seq-1, 2)
	trim(math.MaxUint64, 0)
	trim(math.MaxUint64, 0)
	k.removes("Trim of a stream that does not exist", false, k.s.Trim(k.ctx, "none", math.MaxUint64), order)
	if info := k.info("none"); info.Version != 0 {
		k.Error("Trim made a stream")
	}
	more := k.put("s", rec("more"))
	if more[0].Pos != before.End {
		k.Errorf("the position after a Trim of everything is %d, want %d", more[0].Pos, before.End)
	}
	k.want("a record after Trim of everything", k.stream("s", 0, 0), more)
}

// "It does not hold up Commit", and the two do not harm each other.
func testTrimWhileAppending(k *kit) {
	stored := make(chan leat.Record, 1<<16)
	var wg sync.WaitGroup
	var failed error
	// The goroutine is the test's, which waits for it; it ends by itself.
	wg.Go(func() {
		defer close(stored)
		for i := range rounds(200) {
			records, err := put(k.ctx, k.s, "s", recs(1+i%5)...)
			if _, err2 := put(k.ctx, k.s, "other", rec("x")); err != nil || err2 != nil {
				failed = errors.Join(err, err2)
				return
			}
			for _, r := range records {
				stored <- r
			}
		}
	})
	var all []leat.Record
	trimmed := 0
	for r := range stored {
		all = append(all, r)
		if n := len(all); n%20 == 0 {
			trimmed = n - 10
			k.ok(k.s.Trim(k.ctx, "s", all[trimmed-1].Offset.Seq))
		}
	}
	wg.Wait()
	k.ok(failed)
	k.want("what is left", k.stream("s", 0, 0), all[trimmed:])
	k.want("what is left in the log", k.log(k.filter("s", "none/*"), 0, 0), all[trimmed:])
	info := k.latest("s", all)
	if info.Records != int64(len(all)-trimmed) || info.Trimmed != all[trimmed-1].Offset.Seq {
		k.Errorf("the Info is %+v, want %d records, trimmed %d", info, len(all)-trimmed, all[trimmed-1].Offset.Seq)
	}
	if n := len(k.stream("other", 0, 0)); n != rounds(200) {
		k.Errorf("the other stream has %d records, want %d", n, rounds(200))
	}
}

// "Drop removes a stream, its records, state and due time." "Dropping what
// does not exist is not an error."
func testDrop(k *kit) {
	due := time.UnixMicro(1)
	kept := k.put("s/a", recs(3)...)
	k.put("s", recs(5)...)
	version := k.set("s", store.Tx{State: []store.Entry{{Key: "k", Value: []byte("v")}}, Due: &due})
	k.infoAt(version, "s")
	head, order := k.s.Head(), k.order()
	order = k.removes("Drop", true, Drop(k.ctx, k.s, "s"), order)
	gone := func(info store.Info) bool { return info.Version == 0 }
	info := k.infoWhen("no stream", gone, "s", "k")
	if d := diffInfo(info, store.Info{Name: "s"}); d != "" || info.State != nil {
		k.Errorf("%s, state %q", d, info.State)
	}
	if k.s.Head() < head {
		k.Errorf("the head was %d and is %d", head, k.s.Head())
	}
	k.want("ReadStream", k.stream("s", 0, 0), nil)
	k.want("ReadLog", k.log(everything, 0, 0), kept)
	k.want("ReadLog of the name", k.log(k.filter("s"), 0, 0), nil)
	if names, err := k.s.Due(k.ctx, time.Now(), 10); err != nil || len(names) > 0 {
		k.Errorf("due are %q, %v, want none", names, err)
	}
	if names := k.page("", 10); !slices.Equal(names, []string{"s/a"}) {
		k.Errorf("there are the streams %q, want s/a", names)
	}
	err := k.commit(store.Tx{Stream: "s", Version: version, Records: at(store.Info{Name: "s"}, recs(1))})[0].Err
	if !errors.Is(err, store.ErrConflict) {
		k.Errorf("a Tx for a dropped stream: %v, want a conflict", err)
	}
	k.removes("Drop again", false, Drop(k.ctx, k.s, "s"), order)
	k.removes("Drop of a stream that never was", false, Drop(k.ctx, k.s, "none"), order)
	k.set("empty", store.Tx{})
	k.removes("Drop of a stream without records", true, Drop(k.ctx, k.s, "empty"), order)
}

// "A stream made later with the same name has a new ID and shares nothing with
// it, but Removed goes on telling what was lost."
func testDropAndMakeAnew(k *kit) {
	due := time.UnixMicro(1)
	var last store.Info
	var versions []uint64
	for i := range 5 {
		old := last
		if i > 0 {
			k.ok(Drop(k.ctx, k.s, "s"))
			k.infoWhen("no stream", func(info store.Info) bool { return info.Version == 0 }, "s")
		}
		contentType := fmt.Sprint("text/", i)
		version := k.set("s", store.Tx{ContentType: contentType})
		info := k.infoAt(version, "s", "k")
		want := store.Info{Name: "s", ID: info.ID, Version: version, ContentType: contentType}
		if d := diffInfo(info, want); d != "" || info.State != nil {
			k.Fatalf("the stream made anew: %s, state %q", d, info.State)
		}
		if info.ID <= old.ID {
			k.Fatalf("the stream made anew has ID %d, the old one had %d", info.ID, old.ID)
		}
		for _, v := range versions {
			err := k.commit(store.Tx{Stream: "s", Version: v, Records: at(old, recs(1))})[0].Err
			if !errors.Is(err, store.ErrConflict) {
				k.Fatalf("a Tx computed from the stream before: %v, want a conflict", err)
			}
		}
		versions = append(versions, version)
		if i > 0 {
			removed, err := k.s.Removed(k.ctx, k.filter("s"), 0, 0, k.order())
			k.ok(err)
			n := len(removed)
			if n == 0 || removed[n-1].Through != old.Last || !removed[n-1].Dropped || removed[n-1].Stream != "s" {
				k.Fatalf("Removed tells %+v, want that the stream was dropped with record %d", removed, old.Last)
			}
		}
		stored := k.put("s", recs(3)...)
		versions = append(versions, k.latest("s", stored).Version)
		k.want("the stream made anew", k.stream("s", 0, 0), stored)
		version = k.set("s", store.Tx{State: []store.Entry{{Key: "k", Value: []byte("v")}}, Due: &due})
		last = k.infoAt(version, "s")
		versions = append(versions, version)
	}
}
