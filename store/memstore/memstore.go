// Package memstore keeps a log in memory. It is the store of tests, of demos,
// and of a server whose streams may go with the process.
//
// A record is one entry, which stands in the list of its stream and in the log
// of all streams, both in log order. Reads of few streams merge their lists,
// others go through the log.
//
// One lock guards all of it. What a call does under that lock is bounded:
// reads stop after some thousand records, and the removal of many records
// happens at once for every reader but is cleaned up in small steps.
//
// What streams have lost is remembered as long as the store is open, also of
// streams that were dropped: about 150 bytes for each name that once existed.
package memstore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Options are the settings of a Store. The zero value works; in every number
// a negative value means the same as zero.
type Options struct {
	// Now is the clock. nil means time.Now. A clock that goes back does not
	// make the times of records go back.
	Now func() time.Time

	// MaxRecord is the largest payload, in bytes. 0 means 16 MiB.
	MaxRecord int

	// MaxTxRecords is the largest number of records in a Tx. 0 means 65,536.
	MaxTxRecords int

	// MaxTxBytes is the largest sum of payloads in a Tx, in bytes. 0 means
	// 64 MiB.
	MaxTxBytes int

	// MaxBytes bounds the memory that records take, in bytes: their payloads,
	// keys and types and about 130 bytes each. A Tx that would exceed it is
	// refused with leat.CodeStoreFull. 0 means no bound.
	MaxBytes int64
}

// A Store is a log in memory. It implements [store.Store] with class memory,
// Reverse and ReadAfterWrite.
type Store struct {
	// Static after construction.
	now       func() time.Time
	abilities store.Abilities
	maxBytes  int64
	epochs    store.Epochs

	// head is the last sequence given out. It is written under mu.
	head atomic.Uint64

	// calls are those under way that let go of mu in between.
	calls sync.WaitGroup

	mu       sync.RWMutex
	closed   bool
	wake     chan struct{} // closed at the next commit; nil if nobody waits
	lastTime int64         // of the newest record, in microseconds since 1970
	bytes    int64         // what Size returns, which counts towards maxBytes
	order    uint64        // the number of removals so far
	log      ordered[*entry]
	streams  map[string]*stream
	names    ordered[*stream] // streams, by name
	due      ordered[dueTime] // streams that have a due time
	dropped  map[string]*lost // what streams that no longer exist have lost, by name
	losses   ordered[*lost]   // all that was lost, by the last sequence removed
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		now: o.Now,
		abilities: store.Abilities{
			Class:          store.ClassMemory,
			MaxRecord:      positive(o.MaxRecord, 16<<20),
			MaxTxRecords:   positive(o.MaxTxRecords, 1<<16),
			MaxTxBytes:     positive(o.MaxTxBytes, 64<<20),
			Reverse:        true,
			ReadAfterWrite: true,
		},
		maxBytes: o.MaxBytes,
		// The opening takes the first sequence, so that the head of an empty
		// store is a position like any other and not the start.
		epochs:  store.Epochs{{Epoch: uint64(max(1, o.Now().UnixMicro())), First: 1}},
		streams: make(map[string]*stream),
		dropped: make(map[string]*lost),
	}
	s.head.Store(1)
	return s
}

func positive(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// Abilities implements [store.Store].
func (s *Store) Abilities() store.Abilities { return s.abilities }

// Epochs implements [store.Store]. There is one epoch: it begins with New.
func (s *Store) Epochs() store.Epochs { return s.epochs }

// Head implements [store.Store].
func (s *Store) Head() uint64 { return s.head.Load() }

// Size implements [store.Store]. It is what Options.MaxBytes bounds.
func (s *Store) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bytes
}

// Health implements [store.Store].
func (s *Store) Health() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.open()
}

// Close implements [store.Store]. It lets all memory go.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.wakeFollowers()
	s.mu.Unlock()

	s.calls.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.names, s.due, s.losses = ordered[*entry]{}, ordered[*stream]{}, ordered[dueTime]{}, ordered[*lost]{}
	s.streams, s.dropped = nil, nil
	return nil
}

// open returns the error of a closed store. The caller holds mu.
func (s *Store) open() error {
	if s.closed {
		return leat.Errorf(leat.CodeUnavailable, "the store is closed")
	}
	return nil
}

// enter announces a call that lets go of mu in between; the caller ends it
// with s.calls.Done. The announcement is made under mu, so Close, which takes
// mu first, waits for every call that found the store open.
func (s *Store) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return err
	}
	s.calls.Add(1)
	return nil
}
