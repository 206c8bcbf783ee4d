package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "ReadStream returns records of one stream after a position and up to
// another, in log order. upTo is lowered to Head; 0 means Head."
func testReadStream(k *kit) {
	var own []leat.Record
	k.put("sa", rec("before"))
	for range 10 {
		own = append(own, k.put("s", recs(3)...)...)
		k.put("s/a", recs(2)...)
		k.set("s", store.Tx{})
	}
	head := k.s.Head()
	for after := uint64(0); after <= head; after++ {
		for _, upTo := range []uint64{0, 1, after, after + 1, after + 7, head, head + 100} {
			var want []leat.Record
			for _, r := range own {
				if r.Offset.Seq > after && (upTo == 0 || r.Offset.Seq <= upTo) {
					want = append(want, r)
				}
			}
			b, err := k.s.ReadStream(k.ctx, "s", after, upTo, plenty)
			k.ok(err)
			k.ok(sound(k.s, b, after))
			what := fmt.Sprintf("ReadStream after %d up to %d of %d", after, upTo, head)
			k.want(what, b.Records, want)
			if upTo == 0 || upTo > head {
				upTo = head
			}
			// "Every record that was owed up to Next is in Records."
			if after < upTo && b.Next != upTo {
				k.Fatalf("%s came to %d", what, b.Next)
			}
		}
	}
	b, err := k.s.ReadStream(k.ctx, "none", 0, 0, plenty)
	k.ok(err)
	if len(b.Records) > 0 || b.Next != head {
		k.Errorf("a stream that does not exist has %d records up to %d, want none up to %d", len(b.Records), b.Next, head)
	}
}

// "It stops when it has about the number of payload bytes given (at least one
// record is returned if there is one)."
func testReadBytes(k *kit) {
	const size, n = 1000, 100
	var stored []leat.Record
	for i := range n {
		r := leat.Record{Data: make([]byte, size)}
		r.Data[0] = byte(i)
		stored = append(stored, r)
	}
	stored = k.put("s", stored...)
	reads := map[string]func(after uint64, bytes int) (store.Batch, error){
		"ReadStream": func(after uint64, bytes int) (store.Batch, error) {
			return k.s.ReadStream(k.ctx, "s", after, 0, bytes)
		},
		"ReadLog": func(after uint64, bytes int) (store.Batch, error) {
			return k.s.ReadLog(k.ctx, everything, after, 0, bytes)
		},
		"ReadLog of a name": func(after uint64, bytes int) (store.Batch, error) {
			return k.s.ReadLog(k.ctx, k.filter("s"), after, 0, bytes)
		},
	}
	for name, read := range reads {
		for _, bytes := range []int{-1, 0, 1, size, 10 * size, 33*size + 1, n * size, plenty} {
			calls := 0
			got := k.walk(0, 0, func(after uint64) (store.Batch, error) {
				b, err := read(after, bytes)
				total := len(b.Records) * size
				switch calls++; {
				case name == "ReadStream" && after < stored[n-1].Offset.Seq && len(b.Records) == 0:
					k.Fatalf("%s of %d bytes after %d: no record, and there are some", name, bytes, after)
				case total > max(bytes, 0)+2*size:
					k.Fatalf("%s of %d bytes: %d bytes", name, bytes, total)
				case name == "ReadStream" && b.Next < k.s.Head() && total < bytes/2:
					k.Fatalf("%s of %d bytes: %d bytes, and there are more", name, bytes, total)
				}
				return b, err
			})
			k.want(fmt.Sprint(name, " in pieces of ", bytes, " bytes"), got, stored)
		}
	}
}

// topicSets are filters of all kinds, over the streams of fill.
var topicSets = [][]string{
	{"**"}, {"*"}, {"a/*"}, {"a/**"}, {"*/1"}, {"*/1/**"}, {"a/*/2"}, {"none"}, {"none/**"}, {"b"},
	{"a/1"}, {"a/1", "b/2"}, {"a/1", "none", "c"}, {"a/*", "a/1", "b/3"}, {"a/*", "a/**", "*/1"},
	{"**", "a/1"}, {"a/1/1", "a/2/*", "c/**"}, {"a", "b", "c", "a/1", "a/2", "a/3", "b/1", "b/2", "b/3"},
}

// fill stores records in streams up to three segments deep, in random order,
// in groups of Txs and with state in between, and returns them in log order.
func (k *kit) fill(rnd *rand.Rand, n int) []leat.Record {
	k.Helper()
	var names []string
	for _, a := range []string{"a", "b", "c", "aa"} {
		names = append(names, a)
		for i := range 4 {
			names = append(names, fmt.Sprint(a, "/", i), fmt.Sprint(a, "/", i, "/", i))
		}
	}
	var all []leat.Record
	for i := range n {
		group := make([]string, 1+rnd.IntN(3))
		for j, p := range rnd.Perm(len(names))[:len(group)] {
			group[j] = names[p]
		}
		stored := k.putGroup(group, func(string) []leat.Record { return recs(rnd.IntN(min(4, k.ab.MaxTxRecords+1))) })
		for _, records := range stored {
			all = append(all, records...)
		}
		if i%10 == 0 {
			k.set(group[0], store.Tx{})
		}
	}
	slices.SortFunc(all, func(a, b leat.Record) int { return a.Offset.Compare(b.Offset) })
	return all
}

// "ReadLog is ReadStream for all streams that pass a filter. It may stop
// early, with few records or none, to bound the work of one call: Batch.Next
// says how far it came, and it is greater than after unless after is upTo or
// beyond."
func testReadLog(k *kit) {
	rnd := rand.New(rand.NewPCG(2, 2))
	all := k.fill(rnd, 150)
	head := k.s.Head()
	for _, topics := range topicSets {
		f := k.filter(topics...)
		for i := range rounds(20) {
			after, upTo, bytes := uint64(0), uint64(0), plenty
			if i > 0 {
				after, upTo, bytes = rnd.Uint64N(head+2), rnd.Uint64N(head+10), rnd.IntN(200)
			}
			var want []leat.Record
			for _, r := range all {
				if f.Match(r.Stream) && r.Offset.Seq > after && (upTo == 0 || r.Offset.Seq <= upTo) {
					want = append(want, r)
				}
			}
			got := k.walk(after, min(upTo, head), func(after uint64) (store.Batch, error) {
				return k.s.ReadLog(k.ctx, f, after, upTo, bytes)
			})
			k.want(fmt.Sprintf("ReadLog of %q after %d up to %d of %d, %d bytes at a time", topics, after, upTo, head, bytes), got, want)
		}
		for _, after := range []uint64{head, head + 5} {
			b, err := k.s.ReadLog(k.ctx, f, after, 0, plenty)
			k.ok(err)
			if len(b.Records) > 0 || b.Next > after {
				k.Fatalf("ReadLog after %d, with the head at %d: %d records up to %d", after, head, len(b.Records), b.Next)
			}
		}
	}
}

// A filter is not a list of the streams that existed when it was made.
func testReadLogOfLaterStreams(k *kit) {
	filters := []*leat.Filter{k.filter("late"), k.filter("late", "x/*"), k.filter("*"), everything}
	k.put("early", rec("1"))
	start := k.s.Head()
	for _, f := range filters {
		if got := k.log(f, start, 0); len(got) > 0 {
			k.Fatalf("there are %d records after the head", len(got))
		}
	}
	stored := k.put("late", recs(2)...)
	for _, f := range filters {
		k.want("ReadLog of "+f.String(), k.log(f, start, 0), stored)
	}
	stored = k.put("x/1", recs(2)...)
	k.want("ReadLog of a pattern", k.log(k.filter("none", "x/*"), start, 0), stored)
}

// "At returns the position after which all records have a time of t or later,
// and before which none has."
func testAt(k *kit) {
	all := k.fill(rand.New(rand.NewPCG(3, 3)), 30)
	times := []time.Time{{}, time.Unix(0, 0), all[0].Time.Add(-time.Hour), time.Now().Add(1000 * time.Hour)}
	for _, r := range all {
		times = append(times, r.Time, r.Time.Add(time.Microsecond), r.Time.Add(-time.Microsecond), r.Time.Add(1))
	}
	check := func(records []leat.Record) {
		k.Helper()
		for _, t := range times {
			p, err := k.s.At(k.ctx, t)
			k.ok(err)
			if head := k.s.Head(); p > head {
				k.Fatalf("At(%v) is %d, beyond the head %d", t, p, head)
			}
			for _, r := range records {
				if later := !r.Time.Before(t); later != (r.Offset.Seq > p) {
					k.Fatalf("At(%v) is %d, and record %d is of %v", t, p, r.Offset.Seq, r.Time)
				}
			}
		}
	}
	check(all)
	k.ok(k.s.Trim(k.ctx, all[0].Stream, all[len(all)/2].Offset.Seq))
	check(k.log(everything, 0, 0))
	for _, r := range all {
		k.ok(Drop(k.ctx, k.s, r.Stream))
	}
	check(nil)
}

// "Back returns the position after which exactly n visible records, or all if
// there are fewer, pass the filter up to the position given (0 means Head). It
// needs the ability Reverse."
func testBack(k *kit) {
	rnd := rand.New(rand.NewPCG(4, 4))
	all := k.fill(rnd, 60)
	head := k.s.Head()
	if !k.ab.Reverse {
		p, err := k.s.Back(k.ctx, everything, 0, 1)
		if e := leat.AsError(err); e == nil || e.Code == leat.CodeInternal || e.Advice == "" {
			k.Fatalf("without the ability Reverse, Back returns %d and %v, want an error that says so", p, err)
		}
		return
	}
	k.ok(k.s.Trim(k.ctx, all[0].Stream, all[len(all)/2].Offset.Seq))
	k.ok(Drop(k.ctx, k.s, all[1].Stream))
	for _, topics := range topicSets {
		f := k.filter(topics...)
		visible := k.log(f, 0, 0)
		for i := range rounds(20) {
			upTo, n := uint64(0), rnd.IntN(len(visible)+3)
			if i%2 > 0 {
				upTo = 1 + rnd.Uint64N(head+3)
			}
			p, err := k.s.Back(k.ctx, f, upTo, n)
			k.ok(err)
			total, got := 0, 0
			for _, r := range visible {
				if upTo == 0 || r.Offset.Seq <= upTo {
					total++
					got += int(b2u(r.Offset.Seq > p))
				}
			}
			if got != min(n, total) || p > head {
				k.Fatalf("Back of %q from %d by %d is %d: %d records of %d lie between", topics, upTo, n, p, got, total)
			}
		}
	}
}
