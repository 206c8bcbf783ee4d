package pebblestore

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// A scheduler says when Pebble may compact: one compaction at a time, and
// none once the store has failed. Pebble has a scheduler of its own, but that
// one wakes ten times a second even when there is nothing to do, and would
// start a compaction that cannot succeed again and again.
type scheduler struct {
	// Static after Register.
	guard *guard
	db    pebble.DBForCompaction

	grants sync.WaitGroup // calls of grant under way

	// Guarded by mu.
	mu      sync.Mutex
	running bool // a compaction has the one place, or Done is offering it
	refused bool // TrySchedule said no since the place was taken
	closed  bool
}

var _ pebble.CompactionScheduler = (*scheduler)(nil)

func (s *scheduler) Register(_ int, db pebble.DBForCompaction) { s.db = db }

func (s *scheduler) Unregister() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.grants.Wait()
}

// TrySchedule is called with Pebble's mutex held. When it says no, Pebble
// remembers that a compaction is waiting and does not ask again.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.takeLocked() {
		s.refused = true
		return false, nil
	}
	return true, s
}

func (s *scheduler) takeLocked() bool {
	if s.running || s.closed || s.guard.frozen.Load() {
		return false
	}
	s.running, s.refused = true, false
	return true
}

// Done is called, without Pebble's mutex, when a compaction is over. It
// starts the one that is waiting, if there is one.
//
// The loop is for this interleaving: Pebble answers Done that nothing is
// waiting; a flush ends and asks for a compaction, in vain because Done still
// has the place; Done gives it back. Nobody would ask ever again.
func (s *scheduler) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.refused = false, true
	for s.refused && s.takeLocked() {
		s.grants.Add(1)
		s.mu.Unlock()
		// Pebble takes its mutex in these calls, and in TrySchedule holds it
		// before s.mu: so s.mu must be free here.
		waiting, _ := s.db.GetWaitingCompaction()
		granted := waiting && s.db.Schedule(s)
		s.mu.Lock()
		s.grants.Done()
		if granted {
			return
		}
		s.running = false
	}
}

func (s *scheduler) UpdateGetAllowedWithoutPermission()                {}
func (s *scheduler) Started()                                          {}
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind)         {}
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}
