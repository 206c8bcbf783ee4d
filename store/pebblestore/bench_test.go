package pebblestore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// The floor under a durable append: a write and an fdatasync in a loop, to a
// file that is allocated.
func BenchmarkFloorWriteAndSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	must(b, err)
	defer f.Close()
	buf := make([]byte, 512)
	const size = 16 << 20
	_, err = f.WriteAt(make([]byte, size), 0)
	must(b, err)
	must(b, f.Sync())
	for i := range b.N {
		_, err := f.WriteAt(buf, int64(i)*512%size)
		must(b, err)
		must(b, syscall.Fdatasync(int(f.Fd())))
	}
}

// Pebble without this package, with the keys of one append.
func BenchmarkFloorPebble(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{Logger: quiet})
			must(b, err)
			defer s.Close()
			value := []byte(strings.Repeat("x", 280))
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() { // ends by itself
					for i := w; i < b.N; i += writers {
						batch := s.db.NewBatch()
						_ = batch.Set(recordKey(nil, uint64(w), uint64(i)), value, nil)
						_ = batch.Set(indexKey(nil, uint64(i)), value[:30], nil)
						_ = batch.Set(rowKey(nil, fmt.Sprint(w)), value[:60], nil)
						if err := batch.Commit(pebble.Sync); err != nil {
							b.Error(err)
						}
						_ = batch.Close()
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkWalk reads 1,000,000 records of 130 bytes in many streams through
// a pattern that matches all or 1 % of them, after everything is in tables.
func BenchmarkWalk(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Logger: quiet})
	must(b, err)
	defer s.Close()
	const streams, rounds = 1000, 1000
	if os.Getenv("LEAT_SOAK") != "1" {
		b.Skip("loads 1,000,000 records: set LEAT_SOAK=1")
	}
	data := []byte(strings.Repeat("x", 130))
	versions := make([]uint64, streams)
	for range rounds {
		txs := make([]store.Tx, streams)
		for i := range txs {
			txs[i] = store.Tx{Stream: fmt.Sprintf("orders/%d/%d", i%100, i), Version: versions[i], Records: []leat.Record{{Data: data}}}
		}
		rs, err := s.Commit(background, txs)
		must(b, err)
		for i := range rs {
			must(b, rs[i].Err)
			versions[i] = rs[i].Version
		}
	}
	must(b, s.db.Flush())
	for _, topic := range []string{"**", "*/7/*", "*/7/7"} {
		f, err := leat.ParseFilter(topic)
		must(b, err)
		b.Run(strings.ReplaceAll(topic, "/", "|"), func(b *testing.B) {
			records, keys, calls := 0, 0, 0
			for b.Loop() {
				for after := uint64(0); after < s.Head(); calls++ {
					batch, err := s.ReadLog(background, f, after, 0, 256<<10)
					must(b, err)
					records, keys, after = records+len(batch.Records), keys+batch.Keys, batch.Next
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(keys), "ns/key")
			b.ReportMetric(float64(keys)/float64(calls), "keys/call")
		})
	}
}
