package pebblestore

import (
	"cmp"
	"context"
	"slices"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A pastRemoval is an entry of kind kindRemoval that a later removal of the
// same stream has replaced.
type pastRemoval struct {
	id, through, order uint64
}

// A past remembers removals that were replaced. A stream has one entry on
// disk, its newest removal; but a reader that asks about the removals up to
// the order of a batch it has just read must be told of the newest one within
// that, even if another came since:
//
//	reader                              Trim
//	                                    order 5: through 100
//	batch with Order 5
//	                                    order 6: through 200
//	Removed(since 4, until 5): the entry on disk says 6, after until
//
// Only readers that are under way ask so, so it need not be on disk, and the
// latest few thousand suffice. When more is asked for than it knows, the
// newer removal is told instead: a gap may be told early, but never not.
type past struct {
	list  []pastRemoval // in the order in which they were replaced
	floor uint64        // removals up to this order may have been replaced and forgotten
}

const mostPast = 4096

func (p *past) add(list []pastRemoval) {
	p.list = append(p.list, list...)
	if drop := len(p.list) - mostPast; drop > mostPast/4 {
		for _, r := range p.list[:drop] {
			p.floor = max(p.floor, r.order)
		}
		p.list = slices.Clone(p.list[drop:])
	}
}

// newest returns the newest replaced removal of a stream with an order after
// since and up to until.
func (p *past) newest(id, since, until uint64) (found pastRemoval) {
	for _, r := range p.list {
		if r.id == id && r.order > since && r.order <= until && r.order > found.order {
			found = r
		}
	}
	return found
}

// Removed returns which streams have lost records. See [store.Store].
func (s *Store) Removed(ctx context.Context, f *leat.Filter, after, since, until uint64) ([]store.Removed, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release(v)
	if since >= until || after >= v.head {
		return nil, nil
	}
	list, err := s.removed(v, f, after, since, until)
	if err != nil {
		return nil, s.wrap("listing removals", err)
	}
	// Replaced entries lie before the place where they were found.
	slices.SortFunc(list, func(a, b store.Removed) int {
		return cmp.Or(cmp.Compare(a.Through, b.Through), cmp.Compare(a.Order, b.Order))
	})
	return list, nil
}

// removed scans the removals behind a position. What a stream lost earlier
// than its entry says is not missed: a later removal never reaches less far.
func (s *Store) removed(v *view, f *leat.Filter, after, since, until uint64) ([]store.Removed, error) {
	it, err := v.newIter(removalKey(nil, after+1, 0), []byte{kindRemoval + 1})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var list []store.Removed
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		r, err := decodeRemoval(value)
		if err != nil {
			return nil, err
		}
		if r.order <= since || !f.Match(r.name) {
			continue
		}
		told := store.Removed{Stream: r.name, Through: numberAt(it.Key(), 1), Order: r.order, Dropped: r.dropped}
		if r.order > until {
			earlier, ok := s.replaced(numberAt(it.Key(), 9), since, until)
			if !ok {
				continue
			}
			if earlier.order > 0 {
				told = store.Removed{Stream: r.name, Through: earlier.through, Order: earlier.order}
			}
		}
		if told.Through > after {
			list = append(list, told)
		}
	}
	return list, it.Error()
}

// replaced returns the removal of a stream to tell about instead of one that
// is too new: the zero one if it is not known any more which. ok is false if
// there is none.
func (s *Store) replaced(id, since, until uint64) (r pastRemoval, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = s.past.newest(id, since, until)
	return r, r.order > 0 || since < s.past.floor
}
