package live

import (
	"fmt"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// A bench is a Live that is handed batches without a store in between.
type bench struct {
	*Live
	seq   uint64
	data  []byte
	woken []Waker
}

func newBench(b testing.TB) *bench {
	st := memstore.New(memstore.Options{})
	l := New(st, render.NewCache(0), Options{})
	b.Cleanup(func() {
		l.Close()
		_ = st.Close()
	})
	if b, ok := b.(*testing.B); ok {
		b.ReportAllocs()
	}
	return &bench{Live: l, seq: st.Head(), data: make([]byte, 100)}
}

func (l *bench) join(b testing.TB, w Waker, topics ...string) *Reader {
	f, err := leat.ParseFilter(topics...)
	if err != nil {
		b.Fatal(err)
	}
	r := l.Live.join(f, render.SSE, Start{After: l.seq}, w)
	b.Cleanup(r.Close)
	return r
}

// commit dispatches a record as the follower does.
func (l *bench) commit(stream string) {
	l.seq++
	r := leat.Record{Stream: stream, Offset: leat.Offset{Epoch: 1, Seq: l.seq}, Kind: leat.KindText, Data: l.data}
	l.woken = l.dispatch(store.Batch{Records: []leat.Record{r}, Next: l.seq}, nil, l.woken[:0])
	for _, w := range l.woken {
		w.Wake()
	}
}

// silent is a Waker that wakes nobody.
type silent struct{}

func (silent) Wake() {}

// One record to feeds of different filters, whose readers never look.
func BenchmarkDispatch(b *testing.B) {
	for _, feeds := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("feeds=%d", feeds), func(b *testing.B) {
			l := newBench(b)
			for i := range feeds {
				l.join(b, silent{}, "hot", fmt.Sprintf("private/%d", i))
			}
			for b.Loop() {
				l.commit("hot")
			}
		})
	}
}

// One record to one feed, among 100,000 feeds of names and 10,000 of patterns that do
// not want it: of a stream that was there before, and of one that is new each time.
func BenchmarkDispatchAmong(b *testing.B) {
	for _, others := range []bool{false, true} {
		for _, fresh := range []bool{false, true} {
			b.Run(fmt.Sprintf("others=%v/fresh=%v", others, fresh), func(b *testing.B) {
				l := newBench(b)
				l.join(b, silent{}, "hot/**")
				if others {
					l.joinOthers(b)
				}
				n := 0
				for b.Loop() {
					name := "hot/x/y"
					if n++; fresh {
						name = fmt.Sprintf("hot/x/%d", n)
					}
					l.commit(name)
				}
			})
		}
	}
}

// One append to a memory store, until the reader is woken that wants it, alone and
// among 110,000 feeds that do not. With GOGC=off it is without what collecting their
// memory costs, which is a matter of how large the heap is and not of an append.
func BenchmarkAppendAmong(b *testing.B) {
	for _, others := range []bool{false, true} {
		b.Run(fmt.Sprintf("others=%v", others), func(b *testing.B) {
			l := newBench(b)
			if others {
				l.joinOthers(b)
			}
			woken := make(bell, 1)
			r := l.join(b, woken, "hot/**")
			var out frame.Ranges
			r.Peek(&out, 1<<16)
			version := uint64(0)
			for b.Loop() {
				results, err := l.store.Commit(b.Context(), []store.Tx{{Stream: "hot/x", Version: version, ContentType: "text/plain", Records: []leat.Record{
					{Stream: "hot/x", Kind: leat.KindText, Data: l.data},
				}}})
				if err != nil || results[0].Err != nil {
					b.Fatal(err, results)
				}
				version = results[0].Version
				<-woken
				for r.Peek(&out, 1<<16) == Due {
					r.Advance(&out, out.Len())
				}
			}
		})
	}
}

type bell chan struct{}

func (b bell) Wake() { b <- struct{}{} }

// joinOthers makes 100,000 feeds of names and 10,000 of patterns that do not match what
// begins with "hot".
func (l *bench) joinOthers(b testing.TB) {
	for i := range 100_000 {
		l.join(b, silent{}, fmt.Sprintf("private/%d", i))
	}
	for i := range 10_000 {
		l.join(b, silent{}, fmt.Sprintf([]string{"*/u%d", "own/%d/*", "*/*/u%d/**"}[i%3], i))
	}
}

// One record, and a reader that takes it and waits again.
func BenchmarkPeek(b *testing.B) {
	l := newBench(b)
	r := l.join(b, silent{}, "hot")
	var out frame.Ranges
	r.Peek(&out, 1<<16)
	for b.Loop() {
		l.commit("hot")
		if r.Peek(&out, 1<<16) != Due {
			b.Fatal("nothing is due")
		}
		r.Advance(&out, out.Len())
		r.Peek(&out, 1<<16)
	}
}

// One record to 10,000 readers of one feed, each of which is woken, takes it and
// waits again. A loop of the socket stage does that on one goroutine.
func Benchmark10000Readers(b *testing.B) {
	l := newBench(b)
	readers := make([]*Reader, 10_000)
	var out frame.Ranges
	for i := range readers {
		readers[i] = l.join(b, silent{}, "hot")
		readers[i].Peek(&out, 1<<16)
	}
	for b.Loop() {
		l.commit("hot")
		if len(l.woken) != len(readers) {
			b.Fatalf("%d are woken", len(l.woken))
		}
		for _, r := range readers {
			r.Peek(&out, 1<<16)
			r.Advance(&out, out.Len())
			r.Peek(&out, 1<<16)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(readers)), "ns/reader")
}

// Readers that come and go while 1,000 feeds stay.
func BenchmarkJoin(b *testing.B) {
	for _, topic := range []string{"name", "pattern/*"} {
		b.Run(topic, func(b *testing.B) {
			l := newBench(b)
			for i := range 1000 {
				l.join(b, silent{}, "hot", fmt.Sprintf("private/%d", i))
			}
			for i := range 10_000 {
				l.commit(fmt.Sprintf("stream/%d", i))
			}
			f, err := leat.ParseFilter(topic)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r, err := l.Join(b.Context(), f, render.SSE, l.Now(), silent{})
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
