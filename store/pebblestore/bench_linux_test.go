package pebblestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// BenchmarkRatios compares durable appends, by one writer and by 64, with the
// least that they can cost: a write and an fdatasync in a loop, and Pebble
// alone with the same keys. The contenders take turns in short rounds, so that
// what else the machine does hits them alike, and what is reported are the
// medians as multiples of the write-and-sync loop.
func BenchmarkRatios(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Logger: quiet})
	must(b, err)
	defer s.Close()
	bare, err := Open(b.TempDir(), Options{Logger: quiet})
	must(b, err)
	defer bare.Close()
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	must(b, err)
	defer log.Close()
	_, err = log.WriteAt(make([]byte, 16<<20), 0)
	must(b, errors.Join(err, log.Sync()))

	versions := make([]uint64, 64)
	data := []byte(strings.Repeat("x", 256))
	next := 0
	contenders := []*contender{
		{name: "loop", writers: 1, op: func(int) error {
			next++
			_, err := log.WriteAt(data, int64(next)*512%(16<<20))
			return errors.Join(err, syscall.Fdatasync(int(log.Fd())))
		}},
		{name: "pebble-1", writers: 1}, {name: "store-1", writers: 1},
		{name: "pebble-64", writers: 64}, {name: "store-64", writers: 64},
	}
	for i, c := range contenders[1:] {
		if c.op = func(w int) error { return appendBare(bare, w, data) }; i%2 == 1 {
			c.op = func(w int) error { return appendVersion(s, w, &versions[w], data) }
		}
	}
	for b.Loop() {
		for range 20 {
			for _, c := range contenders {
				must(b, c.round())
			}
		}
	}
	loop := contenders[0].median()
	for _, c := range contenders[1:] {
		b.ReportMetric(c.median()/loop, c.name+"/loop")
	}
	b.ReportMetric(loop, "ns/loop")
}

// A contender is one way to append.
type contender struct {
	name    string
	writers int
	op      func(writer int) error
	costs   []float64 // nanoseconds of one append, for each round
}

func (c *contender) round() error {
	const ops = 50
	failed := make(chan error, c.writers)
	start := time.Now()
	for w := range c.writers {
		go func() { // ends by itself; awaited below
			for range ops {
				if err := c.op(w); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var err error
	for range c.writers {
		err = errors.Join(err, <-failed)
	}
	c.costs = append(c.costs, float64(time.Since(start).Nanoseconds())/float64(ops*c.writers))
	return err
}

func (c *contender) median() float64 {
	slices.Sort(c.costs)
	return c.costs[len(c.costs)/2]
}

func appendVersion(s *Store, writer int, version *uint64, data []byte) error {
	rs, err := s.Commit(background, []store.Tx{{Stream: fmt.Sprint("w", writer), Version: *version, Records: []leat.Record{{Data: data}}}})
	if err != nil {
		return err
	}
	*version = rs[0].Version
	return rs[0].Err
}

// appendBare commits the keys of an append, without what makes it a store.
func appendBare(s *Store, writer int, data []byte) error {
	seq := uint64(time.Now().UnixNano())
	batch := s.db.NewBatch()
	defer batch.Close()
	_ = batch.Set(recordKey(nil, uint64(writer), seq), data, nil)
	_ = batch.Set(indexKey(nil, seq), data[:30], nil)
	_ = batch.Set(rowKey(nil, fmt.Sprint(writer)), data[:60], nil)
	return batch.Commit(pebble.Sync)
}

// BenchmarkWalk reads 100,000 records of 130 bytes (with LEAT_SOAK=1,
// 1,000,000) in 1,000 streams through patterns that match all of them, 1 % and
// 0.1 %, once all are in tables.
func BenchmarkWalk(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Logger: quiet})
	must(b, err)
	defer s.Close()
	const streams = 1000
	rounds := 100
	if os.Getenv("LEAT_SOAK") == "1" {
		rounds = 1000
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
