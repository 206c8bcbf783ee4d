package storetest

import (
	"fmt"
	"math"
	"slices"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "Removed returns the streams that pass the filter and have lost a record
// after the position given, by a removal whose order is greater than since and
// at most until. Removals of streams that no longer exist count. The order of
// the list is that of Through."
func testRemoved(k *kit) {
	stored := make(map[string][]leat.Record)
	for range 4 {
		for _, name := range []string{"c/x", "a", "b", "never"} {
			stored[name] = append(stored[name], k.put(name, rec("x"))...)
		}
	}
	orders := []uint64{k.order()}
	removal := func(err error) {
		k.Helper()
		orders = append(orders, k.removes("a removal", true, err, orders[len(orders)-1]))
	}
	seq := func(name string, i int) uint64 { return stored[name][i].Offset.Seq }
	removal(k.s.Trim(k.ctx, "b", seq("b", 2)))
	removal(k.s.Trim(k.ctx, "a", seq("a", 1)))
	removal(Drop(k.ctx, k.s, "c/x"))
	b := store.Removed{Stream: "b", Through: seq("b", 2), Order: orders[1]}
	a := store.Removed{Stream: "a", Through: seq("a", 1), Order: orders[2]}
	c := store.Removed{Stream: "c/x", Through: seq("c/x", 3), Order: orders[3], Dropped: true}
	if orders[0] != 0 || orders[1] < 1 {
		k.Errorf("the orders are %v, want them to begin with 0 and go on with at least 1", orders)
	}
	for _, test := range []struct {
		topics              []string
		after, since, until uint64
		want                []store.Removed
	}{
		{[]string{"**"}, 0, 0, orders[3], []store.Removed{a, b, c}},
		{[]string{"**"}, 0, 0, math.MaxUint64, []store.Removed{a, b, c}},
		{[]string{"a", "b", "c/x", "never", "none"}, 0, 0, orders[3], []store.Removed{a, b, c}},
		{[]string{"a"}, 0, 0, orders[3], []store.Removed{a}},
		{[]string{"never", "none", "none/*"}, 0, 0, orders[3], nil},
		{[]string{"c/*", "a"}, 0, 0, orders[3], []store.Removed{a, c}},
		{[]string{"c/*", "c/x"}, 0, 0, orders[3], []store.Removed{c}},
		{[]string{"*"}, 0, 0, orders[3], []store.Removed{a, b}},
		{[]string{"**"}, 0, 0, 0, nil},
		{[]string{"**"}, 0, 0, orders[1], []store.Removed{b}},
		{[]string{"**"}, 0, 0, orders[2], []store.Removed{a, b}},
		{[]string{"**"}, 0, orders[1], orders[2], []store.Removed{a}},
		{[]string{"**"}, 0, orders[1], orders[3], []store.Removed{a, c}},
		{[]string{"**"}, 0, orders[3], math.MaxUint64, nil},
		{[]string{"b", "c/x"}, 0, orders[2], orders[3], []store.Removed{c}},
		{[]string{"**"}, a.Through - 1, 0, orders[3], []store.Removed{a, b, c}},
		{[]string{"**"}, a.Through, 0, orders[3], []store.Removed{b, c}},
		{[]string{"**"}, b.Through, 0, orders[3], []store.Removed{c}},
		{[]string{"a", "b"}, a.Through, 0, orders[3], []store.Removed{b}},
		{[]string{"**"}, c.Through, 0, orders[3], nil},
		{[]string{"**"}, math.MaxUint64, 0, orders[3], nil},
		{[]string{"**"}, a.Through, orders[1], orders[2], nil},
	} {
		got, err := k.s.Removed(k.ctx, k.filter(test.topics...), test.after, test.since, test.until)
		k.ok(err)
		if !slices.Equal(got, test.want) {
			k.Errorf("Removed of %q after %d, orders after %d until %d:\n%+v, want\n%+v",
				test.topics, test.after, test.since, test.until, got, test.want)
		}
	}
}

// A stream loses records again and again. A reader whose batch has order o
// asks until o: what was removed meanwhile is told with its next batch, not
// now, when it may still send records of it, and what was removed before is
// told although there is newer.
func testRemovedUntil(k *kit) {
	const trims = 20
	other := k.put("other", recs(trims)...)
	own := k.put("s/a", recs(trims)...)
	want := []store.Removed{{Order: k.order()}}
	removal := func(err error, r store.Removed) {
		k.Helper()
		r.Stream, r.Order = "s/a", k.removes("a removal", true, err, want[len(want)-1].Order)
		want = append(want, r)
		k.ok(k.s.Trim(k.ctx, "other", other[len(want)-2].Offset.Seq))
	}
	for _, r := range own[:trims-1] {
		removal(k.s.Trim(k.ctx, "s/a", r.Offset.Seq), store.Removed{Through: r.Offset.Seq})
	}
	removal(Drop(k.ctx, k.s, "s/a"), store.Removed{Through: own[trims-1].Offset.Seq, Dropped: true})
	for _, f := range []*leat.Filter{k.filter("s/a"), k.filter("s/*")} {
		for i := 1; i < len(want); i++ {
			for since := range i {
				what := fmt.Sprintf("Removed of %s, orders after %d until %d", f, want[since].Order, want[i].Order)
				got, err := k.s.Removed(k.ctx, f, want[since].Through, want[since].Order, want[i].Order)
				k.ok(err)
				if len(got) != 1 || got[0] != want[i] {
					k.Fatalf("%s: %+v, want %+v", what, got, want[i])
				}
				got, err = k.s.Removed(k.ctx, f, want[i].Through, want[since].Order, want[i].Order)
				k.ok(err)
				if len(got) > 0 {
					k.Fatalf("%s after %d: %+v, want nothing", what, want[i].Through, got)
				}
			}
		}
	}
}
