package pebblestore

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Commit stores transactions. See [store.Store].
func (s *Store) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.alive(); err != nil {
		return nil, err
	}
	r := &request{txs: txs, outcomes: make([]outcome, len(txs)), done: make(chan struct{})}
	if err := s.admit(r); err != nil {
		return nil, err
	}
	if err := s.mayGrow(); err != nil {
		refuseGrowth(r, err)
	}
	if len(txs) == 0 {
		return nil, nil
	}
	if err := s.submit(r); err != nil {
		return nil, err
	}
	results := make([]store.Result, len(txs))
	for i, o := range r.outcomes {
		results[i] = store.Result{Version: o.version, Err: o.err}
		if o.err == nil {
			s.stamp(txs[i].Records, o)
		}
	}
	return results, nil
}

// refuseGrowth refuses the transactions that make streams or append content. The
// others go on: they take next to nothing, and without them no stream could be
// deleted to make room.
func refuseGrowth(r *request, err error) {
	for i, tx := range r.txs {
		content := func(rec leat.Record) bool { return rec.Kind != leat.KindEnd }
		if tx.Version == 0 || slices.ContainsFunc(tx.Records, content) {
			r.outcomes[i].err = err
		}
	}
}

// stamp sets what the committer has assigned to records. The caller's
// goroutine does it, so that the committer never writes to the caller's
// memory, not even if the caller had to give up on it.
func (s *Store) stamp(records []leat.Record, o outcome) {
	for i := range records {
		records[i].Offset = leat.Offset{Epoch: s.epoch(), Seq: o.first + uint64(i)}
		records[i].Time = timeOf(o.micros)
	}
}

// epoch returns the epoch of what is committed now.
func (s *Store) epoch() uint64 { return s.epochs[len(s.epochs)-1].Epoch }

// A request is one call that waits for the committer: a Commit, or a step of
// a Trim or Drop.
type request struct {
	// Static after construction.
	txs   []store.Tx
	trim  *trimStep
	drop  *dropStep
	sweep []uint64 // sequences whose log index entries go
	size  int      // about the bytes that it adds to a batch

	// Owned by the committer until done is closed.
	outcomes []outcome // one for each of txs; an err set before is kept
	err      error     // the request's as a whole
	done     chan struct{}
}

// An outcome is what became of a Tx.
type outcome struct {
	version uint64
	first   uint64 // sequence of the first record
	micros  int64
	err     error
}

// mostCommitBytes is what one Commit may hold altogether. Pebble panics when
// a batch comes near 4 GiB.
const mostCommitBytes = 1 << 30

// admit refuses transactions that are over a limit.
func (s *Store) admit(r *request) error {
	for i, tx := range r.txs {
		payload, largest, carry := 0, 0, 0
		for j := range tx.Records {
			n := len(tx.Records[j].Data)
			payload, largest = payload+n, max(largest, n)
			carry = max(carry, len(tx.Records[j].Carry))
		}
		switch o := &s.options; {
		case largest > o.MaxRecord:
			r.outcomes[i].err = tooLarge("a record", largest, o.MaxRecord, "bytes")
		case len(tx.Records) > o.MaxTxRecords:
			r.outcomes[i].err = tooLarge("a transaction", len(tx.Records), o.MaxTxRecords, "records")
		case payload > o.MaxTxBytes:
			r.outcomes[i].err = tooLarge("a transaction", payload, o.MaxTxBytes, "bytes")
		case carry > leat.MaxCarry:
			r.outcomes[i].err = tooLarge("the carry of a record", carry, leat.MaxCarry, "bytes")
		default:
			r.size += payload + len(tx.Records)*recordOverhead + txOverhead
		}
	}
	if r.size > mostCommitBytes {
		return tooLarge("a commit", r.size, mostCommitBytes, "bytes")
	}
	return nil
}

const (
	recordOverhead = 128 // keys, index entry and fields of a record
	txOverhead     = 256 // row and state of a Tx
)

func tooLarge(what string, has, limit int, unit string) *leat.Error {
	return leat.Errorf(leat.CodeTooLarge, "%s has %d %s and the limit is %d", what, has, unit, limit).
		Advise("Send less at once.")
}

// submit queues a request and waits until the committer is done with it.
func (s *Store) submit(r *request) error {
	if !s.queue.push(r) {
		return errClosed()
	}
	select {
	case <-r.done:
		return r.err
	case <-s.stuck:
		// The committer may never come to it, or come and still read r.txs;
		// what it finds there changes nothing any more.
		return s.failure.Load()
	}
}

// A queue holds the requests that wait for the committer.
type queue struct {
	mu      sync.Mutex
	waiting []*request // guarded by mu
	closed  bool       // guarded by mu
	added   sync.Cond  // on mu
}

// push adds a request and reports whether the queue is open.
func (q *queue) push(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, r)
	q.added.Signal()
	return true
}

// maxGroup bounds a group in bytes. A request is never split: one that is
// larger is a group of its own.
const maxGroup = 4 << 20

// take returns the requests of the next group, in order; none when the queue
// is closed and empty. last is the size of the group before.
//
// Callers that were answered together come back together. The first of them
// wakes the committer, which would make it a group of its own and let the
// others wait for two syncs. So when there are fewer than last time the
// committer lets those run first that are ready to. It does so once: there is
// no waiting for somebody who may not come.
func (q *queue) take(last int) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil
		}
		q.added.Wait()
	}
	if len(q.waiting) < last {
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
	}
	n, size := 0, 0
	for n < len(q.waiting) {
		r := q.waiting[n]
		if n > 0 && size+r.size > maxGroup {
			break
		}
		size += r.size
		n++
	}
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
	return group
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.added.Broadcast()
}

// commitLoop is the committer: the one goroutine that changes the database.
// Open starts it; it ends when the queue is closed and empty, and Close
// waits for that.
//
// While a group is written and synced the next gathers in the queue, so the
// number of syncs follows the speed of the disk and not the number of
// callers.
func (s *Store) commitLoop() {
	defer close(s.committer)
	for group := s.queue.take(0); group != nil; group = s.queue.take(len(group)) {
		s.waitForRoom()
		if err := s.commit(group); err != nil {
			for _, r := range group {
				r.err = err
			}
		}
		// All answers of a group leave here, after its sync, conflicts
		// included: what won against them may be in the same group.
		for _, r := range group {
			close(r.done)
		}
		s.bury()
	}
}

// commit makes a group durable and then visible. Its error is for all of the
// group, and means that the store has failed.
func (s *Store) commit(group []*request) error {
	if err := s.failure.Load(); err != nil {
		return err
	}
	b := s.newBatch(group)
	defer b.Close()
	for _, r := range group {
		b.add(r)
	}
	if b.Empty() {
		return nil // conflicts and refusals only: what they saw is durable
	}
	b.seal()
	if err := s.apply(b.Batch); err != nil {
		return err
	}
	s.publish(b)
	return nil
}

// apply writes a batch to the log and makes it durable.
//
// The guard hides a failure from Pebble, so it is asked whether there was
// one. It freezes before the operation that failed returns, and for good:
// what is not frozen here was written and synced.
func (s *Store) apply(b *pebble.Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// Pebble panics with its commit lock held.
			s.halt(fmt.Errorf("panic: %v", p))
			err = s.failure.Load()
		}
	}()
	// Durability is decided here, for both classes: with NoSync what was
	// acknowledged could still be in the memory of this process.
	if err := s.db.Apply(b, pebble.Sync); err != nil {
		s.halt(err)
	}
	if s.guard.frozen.Load() {
		return s.failure.Load()
	}
	return nil
}
