package memstore

import (
	"context"
	"iter"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// followBytes is how much payload Follow yields at once.
const followBytes = 256 << 10

var everything = leat.Everything()

// Follow implements [store.Store].
func (s *Store) Follow(ctx context.Context, after uint64) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		after := after
		for {
			b, wake, err := s.nextBatch(ctx, after)
			switch {
			case err != nil:
				yield(store.Batch{}, err)
				return
			case wake != nil:
				select {
				case <-wake:
				case <-ctx.Done():
				}
			case !yield(b, nil):
				return
			default:
				after = b.Next
			}
		}
	}
}

// nextBatch reads on after a position or, when nothing is there yet, returns
// a channel that is closed by the next commit and by Close.
func (s *Store) nextBatch(ctx context.Context, after uint64) (store.Batch, <-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return store.Batch{}, nil, err
	}
	if wake, err := s.wait(after); wake != nil || err != nil {
		return store.Batch{}, wake, err
	}
	b, err := s.ReadLog(ctx, everything, after, 0, followBytes)
	return b, nil, err
}

// wait returns nil if something is visible after a position. That is looked
// up under the lock under which commits become visible: what comes later
// finds the channel and closes it.
func (s *Store) wait(after uint64) (<-chan struct{}, error) {
	if s.head.Load() > after {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.head.Load() > after {
		return nil, nil
	}
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	return s.wake, nil
}

// wakeFollowers lets everybody who waits look again. The caller holds mu.
func (s *Store) wakeFollowers() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}
