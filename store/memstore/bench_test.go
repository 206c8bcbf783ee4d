package memstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/storetest"
)

// BenchmarkIdleStreams measures the memory of 100,000 streams that nobody
// uses, without what is not the store's: names of 20 bytes are shared with the
// benchmark no more than with a server, payloads are empty.
func BenchmarkIdleStreams(b *testing.B) {
	const streams = 100_000
	due := time.Now()
	for _, test := range []struct {
		what string
		tx   func() []store.Tx
	}{
		{"empty", func() []store.Tx { return []store.Tx{{}} }},
		{"record", func() []store.Tx { return []store.Tx{{Records: make([]leat.Record, 1)}} }},
		{"records=10", func() []store.Tx { return []store.Tx{{Records: make([]leat.Record, 10)}} }},
		{"state+due", func() []store.Tx {
			return []store.Tx{{State: []store.Entry{{Key: "meta", Value: make([]byte, 16)}}, Due: &due}}
		}},
		{"trimmed", func() []store.Tx { return []store.Tx{{Records: make([]leat.Record, 1)}} }},
		{"dropped", func() []store.Tx { return []store.Tx{{Records: make([]leat.Record, 1)}} }},
	} {
		b.Run(test.what, func(b *testing.B) {
			for range b.N {
				before := heap()
				s := memstore.New(memstore.Options{})
				for i := range streams {
					txs := test.tx()
					txs[0].Stream, txs[0].ContentType = fmt.Sprintf("tenant/order/%07d", i), "text/plain"
					results, err := s.Commit(ctx, txs)
					if err != nil || results[0].Err != nil {
						b.Fatal(err, results)
					}
					switch test.what {
					case "trimmed":
						err = s.Trim(ctx, txs[0].Stream, s.Head())
					case "dropped":
						err = storetest.Drop(ctx, s, txs[0].Stream)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heap()-before)/streams, "B/stream")
				_ = s.Close()
			}
		})
	}
}

// BenchmarkCommitWhileTrimming measures how long Commits take while a stream
// of a million records, in between those of others, is trimmed and appended
// to.
func BenchmarkCommitWhileTrimming(b *testing.B) {
	for range b.N {
		s := memstore.New(memstore.Options{})
		const n = 1_000_000
		tx := store.Tx{Stream: "long", Records: make([]leat.Record, 1000)}
		other := store.Tx{Stream: "other", Records: make([]leat.Record, 50)}
		commit := func(tx *store.Tx) {
			results, err := s.Commit(ctx, []store.Tx{*tx})
			if err != nil || results[0].Err != nil {
				b.Fatal(err, results)
			}
			tx.Version = results[0].Version
		}
		for range n / len(tx.Records) {
			commit(&tx)
			commit(&other)
		}
		tx.Records = tx.Records[:1]
		done := make(chan time.Duration, 1)
		go func() { // ends by itself; the benchmark waits
			start := time.Now()
			if err := s.Trim(ctx, "long", s.Head()-n/20); err != nil {
				b.Error(err)
			}
			done <- time.Since(start)
		}()
		var times []time.Duration
		for trimming := true; trimming; {
			start := time.Now()
			commit(&tx)
			times = append(times, time.Since(start))
			select {
			case took := <-done:
				b.ReportMetric(float64(took.Microseconds())/1000, "trim-ms")
				trimming = false
			default:
			}
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "median-ns")
		b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
		b.ReportMetric(float64(times[len(times)-1].Nanoseconds()), "max-ns")
		b.ReportMetric(float64(len(times)), "commits")
		_ = s.Close()
	}
}
