package journal

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
)

// benchDrivers open stores as a server would: on a real disk.
var benchDrivers = []struct {
	name string
	open func(b *testing.B) store.Store
}{
	{"memory", func(*testing.B) store.Store { return memstore.New(memstore.Options{}) }},
	{"os", func(b *testing.B) store.Store { return openDisk(b, store.ClassOS) }},
	{"disk", func(b *testing.B) store.Store { return openDisk(b, store.ClassDisk) }},
}

func openDisk(b *testing.B, class store.Class) store.Store {
	st, err := pebblestore.Open(b.TempDir(), pebblestore.Options{Durability: class, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return st
}

var benchData = []byte(`{"symbol":"LEAT","price":7.25,"size":100,"side":"buy","venue":"XLEA","time":1763711400123,"sequence":4242}`)

// parallel runs do b.N times on n goroutines.
func parallel(b *testing.B, n int, do func(caller, i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for caller := range n {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				if err := do(caller, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAppend(b *testing.B) {
	for _, d := range benchDrivers {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", d.name, callers), func(b *testing.B) {
				st := d.open(b)
				defer st.Close()
				commits := 0
				j := New(&hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
					commits++
					return st.Commit(ctx, txs)
				}}, Options{})
				parallel(b, callers, func(_, i int) error {
					_, err := j.Append(context.Background(), Append{Stream: "prices", ContentType: "application/json", Data: benchData})
					return err
				})
				j.Close()
				b.ReportMetric(float64(b.N)/float64(commits), "records/commit")
			})
		}
	}
}

// BenchmarkCommit is the store alone, one record in each Tx: what BenchmarkAppend
// with one caller adds to it is the journal's own.
func BenchmarkCommit(b *testing.B) {
	for _, d := range benchDrivers {
		b.Run(d.name, func(b *testing.B) {
			st := d.open(b)
			defer st.Close()
			version, pos := uint64(0), int64(0)
			parallel(b, 1, func(int, int) error {
				txs := []store.Tx{{Stream: "prices", Version: version, ContentType: "application/json", Records: []leat.Record{
					{Stream: "prices", Kind: leat.KindJSON, Data: benchData, Pos: pos},
				}}}
				results, err := st.Commit(context.Background(), txs)
				if err == nil {
					err = results[0].Err
				}
				version, pos = results[0].Version, pos+int64(len(benchData))
				return err
			})
		})
	}
}

// BenchmarkAppendKeyed is with a fresh key for each record.
func BenchmarkAppendKeyed(b *testing.B) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	j := New(st, Options{})
	defer j.Close()
	parallel(b, 64, func(_, i int) error {
		_, err := j.Append(context.Background(), Append{Stream: "prices", Key: "0190b5c0-8d64-7c4e-9f00-" + strconv.Itoa(i), ContentType: "application/json", Data: benchData})
		return err
	})
}

// BenchmarkAppendMany is 64 callers with a stream each.
func BenchmarkAppendMany(b *testing.B) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	j := New(st, Options{})
	defer j.Close()
	parallel(b, 64, func(caller, _ int) error {
		_, err := j.Append(context.Background(), Append{Stream: "s" + strconv.Itoa(caller), ContentType: "application/json", Data: benchData})
		return err
	})
}

// BenchmarkAppendRun is a group of 100 lines in one call.
func BenchmarkAppendRun(b *testing.B) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	j := New(st, Options{})
	defer j.Close()
	run := make([]Append, 100)
	for i := range run {
		run[i] = Append{Stream: "prices", Form: FormValue, Data: benchData}
	}
	parallel(b, 1, func(int, int) error {
		_, err := j.Append(context.Background(), run...)
		return err
	})
}

// BenchmarkFork is what a fork costs to make, beside a stream that is none: three
// commits for one, whatever the source holds.
func BenchmarkFork(b *testing.B) {
	for _, d := range benchDrivers {
		st := d.open(b)
		j := New(st, Options{})
		ctx := context.Background()
		source := Write{Stream: "source"}
		for range 100 {
			source.Appends = append(source.Appends, Append{Data: benchData})
		}
		if _, _, err := j.Create(ctx, Config{}, source); err != nil {
			b.Fatal(err)
		}
		run := 0
		for _, callers := range []int{1, 64} {
			run++
			b.Run(fmt.Sprintf("%s/create/%d", d.name, callers), func(b *testing.B) {
				parallel(b, callers, func(_, i int) error {
					_, _, err := j.Create(ctx, Config{}, Write{Stream: fmt.Sprint("made/", run, "/", b.N, "/", i)})
					return err
				})
			})
			b.Run(fmt.Sprintf("%s/fork/%d", d.name, callers), func(b *testing.B) {
				parallel(b, callers, func(_, i int) error {
					_, _, err := j.Fork(ctx, Fork{Source: "source"}, Config{}, Write{Stream: fmt.Sprint("forked/", run, "/", b.N, "/", i)})
					return err
				})
			})
		}
		j.Close()
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
