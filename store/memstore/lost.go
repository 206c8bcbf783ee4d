package memstore

import (
	"slices"

	"github.com/leat-dev/leat/store"
)

const (
	// A reader asks what was removed until the order that its batch has, and
	// more may be removed between the batch and the question. So a removal
	// is remembered, after the same stream has lost more, until this many
	// other removals have happened.
	rememberOrders = 4096

	// A stream remembers no more removals than this.
	rememberMost = 256
)

// A lost is what Removed tells of a stream, or of all dropped streams of one
// name together.
type lost struct {
	removals []store.Removed // of late, oldest first, never empty
	forgot   bool            // there were older ones
}

func (l *lost) name() string            { return l.removals[0].Stream }
func (l *lost) newest() store.Removed   { return l.removals[len(l.removals)-1] }
func (l *lost) before(other *lost) bool { return l.newest().Through < other.newest().Through }

// until returns the last removal of an order up to the one given. Those
// before it need not be told: they removed records before its own. If that
// one is forgotten the answer is the oldest that is not, which says more than
// was asked for: better so than nothing.
func (l *lost) until(order uint64) (store.Removed, bool) {
	for i := len(l.removals) - 1; i >= 0; i-- {
		if l.removals[i].Order <= order {
			return l.removals[i], true
		}
	}
	return l.removals[0], l.forgot
}

// add adds the newest removal and forgets what nobody should ask for now.
func (l *lost) add(r store.Removed) {
	old := max(0, len(l.removals)+1-rememberMost)
	for i := old; i < len(l.removals); i++ {
		if l.removals[i].Order+rememberOrders <= r.Order {
			old = i // those before i were superseded long ago
		}
	}
	l.forgot = l.forgot || old > 0
	l.removals = append(slices.Delete(l.removals, 0, old), r)
}

// tellTrimmed notes that st has lost its records up to st.gone. The caller
// holds mu, and has given the removal the order s.order.
func (s *Store) tellTrimmed(st *stream) {
	if st.lost == nil {
		st.lost = &lost{}
	} else {
		s.losses.delete(st.lost)
	}
	st.lost.add(store.Removed{Stream: st.name, Through: st.gone, Order: s.order})
	s.losses.insert(st.lost)
}

// tellDropped notes that st is dropped, and takes over what it had lost.
func (s *Store) tellDropped(st *stream) {
	if st.lost != nil {
		s.losses.delete(st.lost)
	}
	if st.last == 0 {
		return // it never had a record that anybody could miss
	}
	all := s.dropped[st.name]
	if all == nil {
		all = &lost{}
		s.dropped[st.name] = all
	} else {
		s.losses.delete(all)
	}
	if st.lost != nil {
		for _, r := range st.lost.removals {
			all.add(r)
		}
		all.forgot = all.forgot || st.lost.forgot
	}
	all.add(store.Removed{Stream: st.name, Through: st.last, Order: s.order, Dropped: true})
	s.losses.insert(all)
}
