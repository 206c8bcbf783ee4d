package pebblestore

import (
	"context"
	"iter"
	"slices"
	"sort"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A tail keeps the latest groups in memory, as they were committed. Followers
// that keep up read nothing else. It is guarded by Store.mu; what is in a
// group never changes.
type tail struct {
	limit  int // bytes; static
	bytes  int
	groups []tailGroup
	start  uint64 // every record after this is in groups

	// floor is the last sequence that a removal has reached. The groups still
	// have what was removed, so a follower that is before it reads from the
	// store: else one that begins after a Trim would be given what is gone.
	floor uint64
}

type tailGroup struct {
	records []leat.Record
	head    uint64
	order   uint64
}

// size returns about what a group costs in memory.
func (g *tailGroup) size() int {
	n := 64
	for i := range g.records {
		r := &g.records[i]
		n += 184 + len(r.Carry) + len(r.Data) + len(r.Type) + len(r.Key)
	}
	return n
}

func (t *tail) add(g tailGroup) {
	t.groups = append(t.groups, g)
	t.bytes += g.size()
	for t.bytes > t.limit && len(t.groups) > 0 {
		first := &t.groups[0]
		t.start = first.head
		t.bytes -= first.size()
		*first = tailGroup{} // what it refers to can be freed
		t.groups = t.groups[1:]
	}
}

// after returns the rest, after a position, of the group that it falls into.
func (t *tail) after(after uint64) (store.Batch, bool) {
	if after < t.start || after < t.floor {
		return store.Batch{}, false
	}
	i := sort.Search(len(t.groups), func(i int) bool { return t.groups[i].head > after })
	if i == len(t.groups) {
		return store.Batch{}, false
	}
	g := &t.groups[i]
	from := sort.Search(len(g.records), func(i int) bool { return g.records[i].Offset.Seq > after })
	records := slices.Clip(g.records[from:])
	return store.Batch{Records: records, Next: g.head, Order: g.order, Keys: len(records)}, true
}

// followBytes is what a follower that has fallen behind reads at once.
const followBytes = 256 << 10

// Follow yields what is committed. See [store.Store].
func (s *Store) Follow(ctx context.Context, after uint64) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		for {
			b, err := s.next(ctx, after)
			if err != nil {
				yield(store.Batch{}, err)
				return
			}
			after = b.Next
			if !yield(b, nil) {
				return
			}
		}
	}
}

// next waits until there is something after a position and returns it.
func (s *Store) next(ctx context.Context, after uint64) (store.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return store.Batch{}, err
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return store.Batch{}, errClosed()
		}
		if s.view.head > after {
			b, ok := s.tail.after(after)
			s.mu.Unlock()
			if ok {
				return b, nil
			}
			return s.ReadLog(ctx, leat.Everything(), after, 0, followBytes)
		}
		// The channel is taken under the lock that publish holds when it
		// moves the head: no move is missed between the look and the wait.
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		case <-s.closing:
		}
	}
}
