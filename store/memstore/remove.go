package memstore

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// removeStep is how many entries are taken off the log at a time: about 10 us
// of the lock, 100 us if they are far apart.
const removeStep = 256

// Trim implements [store.Store]. The records are gone at once for every
// reader; their places in the log are given back step by step.
func (s *Store) Trim(ctx context.Context, name string, through uint64) error {
	return s.remove(ctx, func() ([][]*entry, error) {
		st := s.streams[name]
		if st == nil {
			return nil, nil
		}
		first, ok := st.records.get(pos{})
		if !ok || first.seq > through {
			return nil, nil
		}
		return s.hideBefore(st, st.after(through)), nil
	})
}

// Drop implements [store.Store].
func (s *Store) Drop(ctx context.Context, name string, version uint64) error {
	return s.remove(ctx, func() ([][]*entry, error) {
		switch st := s.streams[name]; {
		case st == nil:
			return nil, nil
		case st.version != version:
			return nil, store.ErrConflict
		default:
			return s.hideDropped(st), nil
		}
	})
}

// hideDropped removes a stream from everybody's sight and returns its records.
func (s *Store) hideDropped(st *stream) [][]*entry {
	gone := st.records.cut(pos{len(st.records.chunks), 0})
	st.gone = math.MaxUint64
	s.order++
	s.tellDropped(st)
	s.names.delete(st)
	s.setDue(st, time.Time{})
	delete(s.streams, st.name)
	return gone
}

// hideBefore removes the records of a stream before p, of which there are
// some, from everybody's sight, and returns them.
func (s *Store) hideBefore(st *stream, p pos) [][]*entry {
	gone := st.records.cut(p)
	for _, chunk := range gone {
		st.count -= int64(len(chunk))
		st.gone = chunk[len(chunk)-1].seq
	}
	s.order++
	s.tellTrimmed(st)
	return gone
}

// remove calls hide under the lock and then takes what it returns, which is
// hidden from readers by now, off the log in small steps, so that commits
// need not wait for the removal of a million records.
func (s *Store) remove(ctx context.Context, hide func() ([][]*entry, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	s.mu.Lock()
	gone, err := hide()
	s.mu.Unlock()
	for _, chunk := range gone {
		for part := range slices.Chunk(chunk, removeStep) {
			s.mu.Lock()
			s.log.delete(part...)
			for _, e := range part {
				s.bytes -= e.size()
			}
			s.mu.Unlock()
		}
	}
	return err
}

// Removed implements [store.Store].
func (s *Store) Removed(ctx context.Context, f *leat.Filter, after, since, until uint64) ([]store.Removed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	var removed []store.Removed
	tell := func(l *lost) {
		r, ok := l.until(until)
		if ok && r.Order > since && r.Through > after {
			removed = append(removed, r)
		}
	}
	if len(f.Patterns()) == 0 {
		for _, name := range f.Names() {
			if l := s.dropped[name]; l != nil {
				tell(l)
			}
			if st := s.streams[name]; st != nil && st.lost != nil {
				tell(st.lost)
			}
		}
	} else {
		p := s.losses.seek(func(l *lost) bool { return l.newest().Through <= after })
		for l, ok := s.losses.get(p); ok; l, ok = s.losses.get(p) {
			if f.Match(l.name()) {
				tell(l)
			}
			p = s.losses.next(p)
		}
	}
	slices.SortFunc(removed, func(a, b store.Removed) int { return cmp.Compare(a.Through, b.Through) })
	return removed, nil
}
