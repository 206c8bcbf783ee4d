package pebblestore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A Store is a [store.Store] in a directory. It comes from [Open].
type Store struct {
	// Static after construction.
	dir     string
	options Options
	guard   *guard
	began   time.Time // the opening
	db      *pebble.DB
	epochs  store.Epochs
	room    room
	memory  memory
	queue   queue

	closing chan struct{} // closed when Close begins
	failed  chan struct{} // closed with the first failure
	stuck   chan struct{} // closed when a goroutine of Pebble's is parked for good

	// Owned by the committer (commit.go).
	rows     rowCache
	scratch  scratch
	head     uint64 // last sequence assigned
	order    uint64 // number of removals
	size     int64  // what all records take
	lastTime int64  // time of the newest record, microseconds

	// failure is nil until the first failure.
	failure   atomic.Pointer[leat.Error]
	opened    atomic.Bool  // Open is over
	plenty    atomic.Int64 // until when there is plenty of room, nanoseconds from began; see free.go
	stuckOnce sync.Once
	damages   sync.Map // path of a damaged file that was logged → nothing

	reads     sync.WaitGroup // calls that read, and views that they hold; Add only while !closed
	backing   sync.Mutex     // held by the one Backup
	committer chan struct{}  // closed when the committer has ended

	// Guarded by mu.
	mu     sync.Mutex
	closed bool
	view   *view // what is durable; replaced, never changed
	dead   []*pebble.Snapshot
	moved  chan struct{} // closed and dropped when the head moves; nil if nobody waits
	tail   tail
	past   past
}

var _ store.Store = (*Store)(nil)

// Abilities says what the driver can do: everything.
func (s *Store) Abilities() store.Abilities {
	return store.Abilities{
		Class:          s.options.Durability,
		MaxRecord:      s.options.MaxRecord,
		MaxTxRecords:   s.options.MaxTxRecords,
		MaxTxBytes:     s.options.MaxTxBytes,
		Reverse:        true,
		ReadAfterWrite: true,
	}
}

// Epochs returns the history of openings.
func (s *Store) Epochs() store.Epochs { return s.epochs }

// Head returns the last durable sequence.
func (s *Store) Head() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view.head
}

// Size returns about what the durable records of all streams take on disk:
// their payloads, types, keys and carries, and 64 bytes for each.
func (s *Store) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view.size
}

// SyncTimes implements store.Syncer: it is about the syncs of the log. There are none in
// class os.
func (s *Store) SyncTimes() store.Times {
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	return s.guard.syncs.Read()
}

// Health returns nil while the store takes writes.
func (s *Store) Health() error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.roomy()
}

// alive returns nil while the store takes Trims and Drops.
func (s *Store) alive() error {
	select {
	case <-s.closing:
		return errClosed()
	default:
	}
	if err := s.failure.Load(); err != nil {
		return err
	}
	return nil
}

// Close ends every Follow, commits what is already waiting and closes the
// directory. It does not flush memtables: the next opening reads the log.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	s.mu.Unlock()

	s.queue.close()
	select {
	case <-s.committer:
	case <-s.stuck:
	}
	s.reads.Wait()
	return s.closeDB()
}

// closeDB closes Pebble on a goroutine of its own, which it joins unless
// Pebble is stuck: then the goroutine is left behind, with the directory
// frozen and locked until the process ends.
func (s *Store) closeDB() error {
	done := make(chan error, 1)
	go func() { // owned by closeDB; ends with Pebble's Close
		s.bury()
		if s.view != nil {
			_ = s.view.snap.Close()
		}
		done <- s.db.Close()
	}()
	select {
	case err := <-done:
		if err != nil && s.failure.Load() == nil {
			return s.wrap("closing the store", err)
		}
		return nil
	case <-s.stuck:
		return nil
	}
}

// A view is the state of the store at one durable point: every group up to
// head is in it, whole, and nothing else.
//
// Pebble shows a batch to new iterators as soon as it is in the memtable, up
// to an fsync before it is durable. A read that took what Pebble shows now
// would tell what a crash takes back:
//
//	committer                          reader
//	apply group 7 to the memtable
//	                                   Stream: version of group 7
//	                                   answers a request from it
//	fsync …  power cut
//	(group 7 never was)
//
// So the committer takes a snapshot when the fsync of a group has returned,
// before it applies the next one, and readers read that. It covers rows,
// state, due times, removals and records alike, and makes what one read
// finds consistent in itself.
type view struct {
	// Static.
	snap  *pebble.Snapshot
	head  uint64
	order uint64
	size  int64

	// Guarded by Store.mu: one for being Store.view, one for each reader.
	refs int
}

// acquire returns the current view. It must be released.
func (s *Store) acquire(ctx context.Context) (*view, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed()
	}
	s.reads.Add(1)
	s.view.refs++
	return s.view, nil
}

// release gives a view back. The snapshot of a view that nobody holds any
// more is closed by the committer, after its next group: closing one takes
// Pebble's mutex and may wait for a manifest to be synced, which no reader
// should.
func (s *Store) release(v *view) {
	s.mu.Lock()
	s.dropLocked(v)
	s.mu.Unlock()
	s.reads.Done()
}

func (s *Store) dropLocked(v *view) {
	if v.refs--; v.refs == 0 {
		s.dead = append(s.dead, v.snap)
	}
}

// bury closes the snapshots of views that nobody holds.
func (s *Store) bury() {
	s.mu.Lock()
	dead := s.dead
	s.dead = nil
	s.mu.Unlock()
	for _, snap := range dead {
		_ = snap.Close()
	}
}

// limit lowers the end of a read to what the view has; 0 means that.
func (v *view) limit(upTo uint64) uint64 {
	if upTo == 0 {
		return v.head
	}
	return min(upTo, v.head)
}

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
