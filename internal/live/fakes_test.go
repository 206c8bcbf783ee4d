package live_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/store"
)

// A spy is a store that counts and can be held up or made to fail.
type spy struct {
	store.Store

	reads   atomic.Int64 // calls of ReadLog
	records atomic.Int64 // that these returned
	keys    atomic.Int64 // that these looked at

	mu      sync.Mutex
	onRead  func(ctx context.Context, f *leat.Filter) error // called before ReadLog, if not nil
	follows func(ctx context.Context) error                 // when it returns an error, Follow ends with it
}

func (s *spy) setOnRead(f func(ctx context.Context, f *leat.Filter) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRead = f
}

func (s *spy) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	s.mu.Lock()
	onRead := s.onRead
	s.mu.Unlock()
	if onRead != nil {
		if err := onRead(ctx, f); err != nil {
			return store.Batch{}, err
		}
	}
	b, err := s.Store.ReadLog(ctx, f, after, upTo, bytes)
	s.reads.Add(1)
	s.records.Add(int64(len(b.Records)))
	s.keys.Add(int64(b.Keys))
	return b, err
}

// Follow ends when follows says so, between two batches.
func (s *spy) Follow(ctx context.Context, after uint64) iter.Seq2[store.Batch, error] {
	if s.follows == nil {
		return s.Store.Follow(ctx, after)
	}
	return func(yield func(store.Batch, error) bool) {
		for b, err := range s.Store.Follow(ctx, after) {
			if err == nil {
				err = s.follows(ctx)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// A gate holds up whoever passes it while it is shut.
type gate struct {
	arrived chan struct{} // one for each that came
	open    chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 1<<10), open: make(chan struct{})} }

// pass waits for the gate or for ctx.
func (g *gate) pass(ctx context.Context) error {
	g.arrived <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// paper is a Renderer that evicts what it is told to, when it is told to.
type paper struct {
	mu      sync.Mutex
	pages   []sheet
	evicted uint64
	onTail  func(r *leat.Record) // called before a live record is rendered, if not nil
}

// A sheet is a page with the records in it.
type sheet struct {
	page        *frame.Page
	first, last uint64
}

func (p *paper) Tail(enc frame.Encoding, r *leat.Record, feeds int) frame.Frame {
	if p.onTail != nil {
		p.onTail(r)
	}
	frames, _ := p.History(enc, []leat.Record{*r}, nil)
	return frames[0]
}

func (p *paper) History(enc frame.Encoding, records []leat.Record, _ func([]byte)) ([]frame.Frame, func()) {
	if len(records) == 0 {
		return nil, func() {}
	}
	var bytes []byte
	ends := []int{0}
	for i := range records {
		bytes = enc.Append(bytes, &records[i])
		ends = append(ends, len(bytes))
	}
	page := frame.NewPage(bytes)
	frames := make([]frame.Frame, len(records))
	for i := range records {
		frames[i] = page.Frame(records[i].Offset.Seq, ends[i], ends[i+1]-ends[i])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages = append(p.pages, sheet{page, frames[0].Seq, frames[len(frames)-1].Seq})
	return frames, page.Evict
}

func (p *paper) Evictions() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.evicted
}

// evict takes the bytes of every page that holds a record of those given.
func (p *paper) evict(records ...leat.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.pages {
		if slices.ContainsFunc(records, func(r leat.Record) bool { return s.first <= r.Offset.Seq && r.Offset.Seq <= s.last }) {
			s.page.Evict()
			p.evicted++
		}
	}
}
