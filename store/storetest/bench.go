package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

const (
	benchPayload = 256 // bytes
	benchWriters = 64
	benchStreams = 1000
	benchRecords = 20 // in each stream
	benchRead    = 64 << 10
)

// Bench measures commits, reads, following and idle streams. An operation is one Tx of one
// record where something is committed, and one record where something is read.
func Bench(b *testing.B, h Harness) {
	b.Run("Commit/writers=1", func(b *testing.B) { benchCommit(b, h, 1) })
	b.Run(fmt.Sprint("Commit/writers=", benchWriters), func(b *testing.B) { benchCommit(b, h, benchWriters) })
	b.Run(fmt.Sprint("Commit/group=", benchWriters), func(b *testing.B) { benchGroup(b, h) })
	b.Run("FollowLive", func(b *testing.B) { benchFollowLive(b, h) })

	for _, idle := range idles {
		b.Run("Idle/"+idle.what, func(b *testing.B) { benchIdle(b, h, idle.make) })
	}

	// The reads share one store; the streams take turns in its log.
	s := h.Open(b)
	defer s.Close()
	ctx := context.Background()
	name := func(i int) string { return fmt.Sprintf("bench/%d/%d", i%10, i) }
	loadBench(b, s, name)
	names := make([]string, 10)
	for i := range names {
		names[i] = name(i * 37)
	}
	b.Run("ReadStream", func(b *testing.B) {
		benchReads(b, s, func(after uint64) (store.Batch, error) {
			return s.ReadStream(ctx, name(benchStreams/2), after, 0, benchRead)
		})
	})
	for what, topics := range map[string][]string{
		"names=10": names, "pattern=100": {"bench/3/*"}, "everything": {"**"},
	} {
		f, err := leat.ParseFilter(topics...)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("ReadLog/"+what, func(b *testing.B) {
			benchReads(b, s, func(after uint64) (store.Batch, error) {
				return s.ReadLog(ctx, f, after, 0, benchRead)
			})
		})
	}
	b.Run("Follow", func(b *testing.B) { benchFollow(b, s) })
}

// A benchWriter appends to a stream of its own, and reads it again only after
// a conflict, as the journal does.
type benchWriter struct {
	info    store.Info
	payload []byte
}

func newBenchWriter(name string) *benchWriter {
	w := &benchWriter{info: store.Info{Name: name}, payload: make([]byte, benchPayload)}
	rnd := rand.NewChaCha8([32]byte{})
	_, _ = rnd.Read(w.payload) // never fails
	return w
}

func (w *benchWriter) tx() store.Tx {
	return store.Tx{
		Stream: w.info.Name, Version: w.info.Version,
		Records: []leat.Record{{Stream: w.info.Name, Pos: w.info.End, Data: w.payload}},
	}
}

// took takes in the Result of a Tx.
func (w *benchWriter) took(ctx context.Context, s store.Store, result store.Result) (err error) {
	if errors.Is(result.Err, store.ErrConflict) {
		w.info, err = s.Stream(ctx, w.info.Name)
		return err
	}
	w.info.Version = result.Version
	w.info.End += benchPayload
	return result.Err
}

// append commits one record, again and again if it meets conflicts.
func (w *benchWriter) append(ctx context.Context, s store.Store) error {
	for {
		results, err := s.Commit(ctx, []store.Tx{w.tx()})
		if err != nil {
			return err
		}
		if err := w.took(ctx, s, results[0]); err != nil || results[0].Err == nil {
			return err
		}
	}
}

// benchCommit has goroutines that commit one Tx after the other.
func benchCommit(b *testing.B, h Harness, writers int) {
	s := h.Open(b)
	defer s.Close()
	b.SetBytes(benchPayload)
	b.ReportAllocs()
	ctx := context.Background()
	failed := make(chan error, writers)
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range writers {
		// The benchmark's, which waits for it; it ends by itself.
		wg.Go(func() {
			w := newBenchWriter(fmt.Sprint("bench/", i))
			for n := i; n < b.N; n += writers {
				if err := w.append(ctx, s); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	close(failed)
	for err := range failed {
		b.Fatal(err)
	}
}

// benchGroup commits groups of Txs for different streams, as a journal with
// many writers does.
func benchGroup(b *testing.B, h Harness) {
	s := h.Open(b)
	defer s.Close()
	b.SetBytes(benchPayload)
	b.ReportAllocs()
	ctx := context.Background()
	writers := make([]*benchWriter, benchWriters)
	for i := range writers {
		writers[i] = newBenchWriter(fmt.Sprint("bench/", i))
	}
	b.ResetTimer()
	for n := 0; n < b.N; n += benchWriters {
		if err := commitGroup(ctx, s, writers); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
}

func commitGroup(ctx context.Context, s store.Store, writers []*benchWriter) error {
	txs := make([]store.Tx, len(writers))
	for i, w := range writers {
		txs[i] = w.tx()
	}
	results, err := s.Commit(ctx, txs)
	if err != nil {
		return err
	}
	for i, w := range writers {
		if err := w.took(ctx, s, results[i]); err != nil {
			return err
		}
	}
	return nil
}

func loadBench(b *testing.B, s store.Store, name func(int) string) {
	writers := make([]*benchWriter, benchStreams)
	for i := range writers {
		writers[i] = newBenchWriter(name(i))
	}
	for range benchRecords {
		for from := 0; from < benchStreams; from += 100 {
			if err := commitGroup(context.Background(), s, writers[from:from+100]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// benchReads reads from the start to the head, again and again, until b.N
// records have been read.
func benchReads(b *testing.B, s store.Store, read func(after uint64) (store.Batch, error)) {
	b.SetBytes(benchPayload)
	b.ReportAllocs()
	head := s.Head()
	after := head
	for n := 0; n < b.N; {
		if after >= head {
			after = 0
		}
		batch, err := read(after)
		if err != nil {
			b.Fatal(err)
		}
		n += len(batch.Records)
		after = batch.Next
	}
}

// benchFollow follows from the start to the head, again and again.
func benchFollow(b *testing.B, s store.Store) {
	b.SetBytes(benchPayload)
	b.ReportAllocs()
	head := s.Head()
	for n := 0; n < b.N; {
		for batch, err := range s.Follow(context.Background(), 0) {
			if err != nil {
				b.Fatal(err)
			}
			if n += len(batch.Records); n >= b.N || batch.Next >= head {
				break
			}
		}
	}
}

// benchFollowLive measures the way from Commit to a follower that waits.
func benchFollowLive(b *testing.B, h Harness) {
	s := h.Open(b)
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	taken, start := make(chan struct{}), s.Head()
	var wg sync.WaitGroup
	// The benchmark's, which waits for it; it ends with ctx.
	wg.Go(func() {
		for batch, err := range s.Follow(ctx, start) {
			if err != nil {
				return
			}
			for range batch.Records {
				taken <- struct{}{}
			}
		}
	})
	w := newBenchWriter("bench")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := w.append(ctx, s); err != nil {
			b.Fatal(err)
		}
		<-taken
	}
	b.StopTimer()
	cancel()
	wg.Wait()
}
