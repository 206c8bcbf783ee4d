package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// idles are streams that nobody uses any more, by what became of them. Each
// had one record of 100 bytes.
var idles = []struct {
	what string
	make func(ctx context.Context, s store.Store, name string) error
}{
	{"record", func(ctx context.Context, s store.Store, name string) error {
		_, err := put(ctx, s, name, leat.Record{Data: make([]byte, 100)})
		return err
	}},
	{"trimmed", func(ctx context.Context, s store.Store, name string) error {
		records, err := put(ctx, s, name, leat.Record{Data: make([]byte, 100)})
		if err != nil {
			return err
		}
		return s.Trim(ctx, name, records[0].Offset.Seq)
	}},
	{"tombstone", func(ctx context.Context, s store.Store, name string) error { return tombstone(ctx, s, name) }},
	{"tombstone+state", func(ctx context.Context, s store.Store, name string) error {
		return tombstone(ctx, s, name, store.Entry{Key: "end", Value: []byte("deleted")})
	}},
}

// tombstone makes a stream of which only the end is left.
func tombstone(ctx context.Context, s store.Store, name string, state ...store.Entry) error {
	records, err := put(ctx, s, name, leat.Record{Data: make([]byte, 100)})
	if err != nil {
		return err
	}
	_, result, err := update(ctx, s, name, nil, func(info store.Info) store.Tx {
		end := leat.Record{Kind: leat.KindEnd, Type: string(leat.EndDeleted)}
		return store.Tx{Records: at(info, []leat.Record{end}), State: state}
	})
	if err = errors.Join(err, result.Err); err != nil {
		return err
	}
	return s.Trim(ctx, name, records[0].Offset.Seq)
}

// benchIdle measures the heap that 100,000 idle streams take (with
// LEAT_SOAK=1, 1,000,000). Their names, of 20 bytes, are the store's alone.
func benchIdle(b *testing.B, h Harness, idle func(context.Context, store.Store, string) error) {
	streams, writers := 100_000, benchWriters
	if soak() {
		streams *= 10
	}
	for range b.N {
		before := heapInUse()
		s := h.Open(b)
		failed := make(chan error, writers)
		var wg sync.WaitGroup
		for w := range writers {
			// The benchmark's, which waits for it; it ends by itself.
			wg.Go(func() {
				for i := w; i < streams; i += writers {
					if err := idle(context.Background(), s, fmt.Sprintf("tenant/order/%07d", i)); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(failed)
		for err := range failed {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heapInUse()-before)/float64(streams), "B/stream")
		b.ReportMetric(float64(s.Size())/float64(streams), "Size/stream")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// heapInUse is what is left on the heap after a collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what a pool or a finalizer held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
