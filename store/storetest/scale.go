package storetest

import (
	"fmt"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// manyStreams loads a store with ten records in each of many streams, spread
// over the whole log. It returns the names, and the position before the last
// record of all of them.
func (k *kit) manyStreams(streams int) (names []string, nine uint64) {
	k.Helper()
	const group = 500
	names = make([]string, streams)
	for i := range names {
		names[i] = fmt.Sprintf("shop/%d/order/%d", i%100, i)
	}
	for round := range 10 {
		nine = k.s.Head()
		for from := 0; from < streams; from += group {
			k.putGroup(names[from:min(from+group, streams)], func(string) []leat.Record {
				return []leat.Record{rec(fmt.Sprint(round))}
			})
		}
	}
	return names, nine
}

// Resuming a filter that matches 10 of 1,000,000 records in 100,000 streams
// reads at most 1,000 keys when names are literal. Without LEAT_SOAK the
// store is a twentieth of that, the bound is not.
func testManyStreams(k *kit) {
	streams := 5_000
	if soak() {
		streams = 100_000
	}
	names, nine := k.manyStreams(streams)
	head := k.s.Head()
	one := names[streams/2]
	var ten []string
	for i := range 10 {
		ten = append(ten, names[i*streams/10])
	}
	for _, test := range []struct {
		what   string
		topics []string
		after  uint64
		want   int
	}{
		{"one stream, ten records", []string{one}, 0, 10},
		{"ten streams, one record each", ten, nine, 10},
		{"one stream and many that do not exist", append(absent(20), one), 0, 10},
		{"one stream from the head", []string{one}, head, 0},
		{"one stream, and a pattern under it", []string{one, one + "/*"}, 0, 10},
	} {
		keys, records, calls := 0, 0, 0
		f := k.filter(test.topics...)
		for after := test.after; after < head; calls++ {
			b, err := k.s.ReadLog(k.ctx, f, after, head, plenty)
			k.ok(err)
			k.ok(sound(k.s, b, after))
			if b.Keys < len(b.Records) {
				k.Fatalf("%s: %d records and only %d keys", test.what, len(b.Records), b.Keys)
			}
			keys, records, after = keys+b.Keys, records+len(b.Records), b.Next
		}
		if records != test.want {
			k.Errorf("%s: %d records, want %d", test.what, records, test.want)
		}
		if keys > 1000 {
			k.Errorf("%s: %d of %d records were found by looking at %d keys, want at most 1,000", test.what, records, 10*streams, keys)
		}
		k.Logf("%s: %d records, %d keys, %d calls", test.what, records, keys, calls)
	}
	k.sparsePattern(names)
}

func absent(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("absent/", i)
	}
	return names
}

// sparsePattern reads what matches hardly anything and cannot be looked up:
// each call is bounded, and says how far it came.
func (k *kit) sparsePattern(names []string) {
	k.Helper()
	sparse := names[len(names)/3]
	pattern := k.filter("*/*/*" + sparse[strings.LastIndexByte(sparse, '/'):])
	records := k.walk(0, 0, func(after uint64) (store.Batch, error) {
		b, err := k.s.ReadLog(k.ctx, pattern, after, 0, plenty)
		if b.Keys > 200_000 {
			k.Fatalf("one call looked at %d keys", b.Keys)
		}
		return b, err
	})
	k.want("a sparse pattern", records, k.stream(sparse, 0, 0))
}
