package memstore

import (
	"context"
	"time"

	"github.com/leat-dev/leat"
)

// Back implements [store.Store]. It lets go of the lock after every few
// thousand entries, so commits and trims go on meanwhile.
func (s *Store) Back(ctx context.Context, f *leat.Filter, upTo uint64, n int) (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	upTo = s.bound(upTo)
	if n <= 0 {
		return upTo, ctx.Err()
	}
	b := backward{store: s, filter: f, from: upTo, left: n}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if b.step() {
			return b.from, nil
		}
	}
}

// A backward is a walk from the end of the log to its beginning.
type backward struct {
	store  *Store
	filter *leat.Filter
	from   uint64 // entries after it were looked at
	left   int    // records still to pass
}

// step looks at some entries and reports whether it was the last step.
func (b *backward) step() bool {
	s := b.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	var keys int
	if lists, few := s.lists(b.filter, b.from, &keys); few {
		b.merge(lists)
		return true
	}
	return b.scan()
}

// scan goes through the log.
func (b *backward) scan() bool {
	log := &b.store.log
	p, ok := log.previous(after(log, b.from))
	for looked := 0; ok; looked++ {
		if looked == maxScan {
			return false
		}
		e, _ := log.get(p)
		b.from = e.seq - 1
		if !e.removed() && b.filter.Match(e.stream.name) {
			if b.left--; b.left == 0 {
				return true
			}
		}
		p, ok = log.previous(p)
	}
	b.from = 0
	return true
}

// merge goes back through the lists of some streams, in log order.
func (b *backward) merge(lists []*ordered[*entry]) {
	h := make(heap, 0, len(lists))
	for _, list := range lists {
		if p, ok := list.previous(after(list, b.from)); ok {
			e, _ := list.get(p)
			h = append(h, cursor{rank: ^e.seq, entry: e, list: list, pos: p})
		}
	}
	h.order()
	for ; len(h) > 0; h = h.retreat() {
		if b.left--; b.left == 0 {
			b.from = h[0].entry.seq - 1
			return
		}
	}
	b.from = 0
}

// Seek implements [store.Store].
func (s *Store) Seek(ctx context.Context, name string, at int64) (seq uint64, start int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return 0, 0, err
	}
	st := s.streams[name]
	if st == nil {
		return 0, 0, nil
	}
	e, _ := st.seek(at)
	if e == nil {
		return 0, 0, nil
	}
	return e.seq, e.pos, nil
}

// At implements [store.Store].
func (s *Store) At(ctx context.Context, t time.Time) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return 0, err
	}
	// Entries that wait to be taken off the log stand in its order of time
	// too. Times have whole microseconds, so t is rounded up to one.
	at := t.Add(time.Microsecond - 1).UnixMicro()
	if s.lastTime < at {
		return s.head.Load(), nil
	}
	p, ok := s.log.previous(s.log.seek(func(e *entry) bool { return e.time < at }))
	if !ok {
		return 0, nil
	}
	e, _ := s.log.get(p)
	return e.seq, nil
}
