package journal

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A submission is what one caller wants appended to one stream, prepared for
// the state that the stream was known to have.
type submission struct {
	// Static.
	stream  *stream
	typ     contentType   // that the records are prepared for
	made    bool          // for a stream that does not exist
	keyed   bool          // the keys of the stream must be known
	again   bool          // it has met a conflict before
	records []leat.Record // without Offset, Time and Pos
	done    chan struct{} // closed by the loop

	// Set by the loop before it closes done. The results are those of the
	// first records; there are none if all must be prepared again. If they
	// are unsure, no commit has proved them: they were computed from what the
	// chain gen says of the stream.
	results []result
	unsure  bool
	gen     uint64
	err     error

	left bool // the caller has gone; guarded by the journal's mu
}

// A group is what one commit does.
type group struct {
	since time.Time // keys of older records do not count
	room  int       // in bytes
	txs   []store.Tx
	folds []*fold // of each Tx
}

// maxGroupBytes bounds one commit, so that its memory in the driver is bounded
// and those who came first are answered soon. recordBytes is what a record
// counts beside its payload.
const (
	maxGroupBytes = 16 << 20
	recordBytes   = 256
)

// submit hands a submission to the loop and waits for its answer, or until ctx
// ends. Then nothing is submitted that is not already being committed.
func (j *Journal) submit(ctx context.Context, sub *submission) error {
	sub.done = make(chan struct{})
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return errClosed
	}
	sub.stream.queue = append(sub.stream.queue, sub)
	j.wait(sub.stream)
	j.hurry = j.hurry || sub.again
	j.mu.Unlock()

	select {
	case <-sub.done:
		return sub.err
	case <-ctx.Done():
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-sub.done: // it was answered in the same moment
		return sub.err
	default:
		sub.left = true
		return ctx.Err()
	}
}

// wait gives s a turn. mu is held.
func (j *Journal) wait(s *stream) {
	if s.waiting {
		return
	}
	s.waiting = true
	j.pin(s)
	j.waiting = append(j.waiting, s)
	j.work.Signal()
}

// loop commits group after group until the journal is closed. While one is
// being committed the next gathers, so that a store with a slow sync gets
// large groups and an idle one answers at once; there is no timer.
func (j *Journal) loop() {
	defer close(j.ended)
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for len(j.waiting) == 0 && !j.closed {
			j.work.Wait()
		}
		if j.closed {
			j.failWaiting()
			return
		}
		if !j.hurry {
			// Those who were just answered, or are about to submit, get the
			// processor first: else every other group is a small one. It
			// costs nothing if there are none.
			j.mu.Unlock()
			runtime.Gosched()
			j.mu.Lock()
		}
		j.hurry = false
		g := j.gather()
		if len(g.txs) == 0 {
			continue
		}
		j.mu.Unlock()
		// A commit is never abandoned: its context does not end.
		results, err := j.st.Commit(context.Background(), g.txs)
		j.mu.Lock()
		j.settle(g, results, err)
	}
}

// failWaiting answers all submissions that are in no group. mu is held.
func (j *Journal) failWaiting() {
	for _, s := range j.waiting {
		for _, sub := range s.queue {
			sub.answer(errClosed)
		}
		s.queue = nil
		s.waiting = false
		j.unpin(s)
	}
	j.waiting = nil
}

// answer ends a submission. mu is held.
func (sub *submission) answer(err error) {
	sub.err = err
	close(sub.done)
}

// gather makes a group of what waits, stream by stream, until it is full.
// The first stream that did not fit is the first of the next group. mu is held.
func (j *Journal) gather() *group {
	g := &group{since: j.since(), room: maxGroupBytes}
	taken := 0
	for ; taken < len(j.waiting); taken++ {
		s := j.waiting[taken]
		f := j.fold(s, g)
		if len(f.records) == 0 && len(s.queue) > 0 {
			break // no room left
		}
		s.waiting = false
		if len(f.records) == 0 {
			j.unpin(s)
			continue
		}
		g.txs = append(g.txs, f.tx())
		g.folds = append(g.folds, f)
	}
	j.waiting = slices.Delete(j.waiting, 0, taken)
	return g
}
