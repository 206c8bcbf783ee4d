package journal

import (
	"context"
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
	records []leat.Record // without Offset, Time and Pos
	done    chan struct{} // closed by the loop: nothing changes any more

	// Guarded by the journal's mu until done is closed. The results are
	// those of the first records; unsure counts those at their end that no
	// commit has proved yet, and gen is the chain that they come from.
	results []Appended
	unsure  int
	gen     uint64
	err     error
	left    bool // the caller has gone
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

// submit hands a submission to the loop and waits for it. It returns the
// results and how many at their end are not proved. Neither results nor an
// error means that the submission must be prepared again.
func (j *Journal) submit(ctx context.Context, sub *submission) ([]Appended, int, error) {
	sub.done = make(chan struct{})
	s := sub.stream
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil, 0, errClosed
	}
	s.queue = append(s.queue, sub)
	j.wait(s)
	j.mu.Unlock()

	select {
	case <-sub.done:
		return sub.results, sub.unsure, sub.err
	case <-ctx.Done():
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-sub.done: // it was answered in the same moment
		return sub.results, sub.unsure, sub.err
	default:
	}
	sub.left = true
	return sub.results, sub.unsure, ctx.Err()
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
	for len(j.waiting) > 0 {
		s := j.waiting[0]
		f := j.fold(s, g)
		if len(f.records) == 0 && len(s.queue) > 0 {
			break // no room left
		}
		j.waiting[0] = nil
		j.waiting = j.waiting[1:]
		s.waiting = false
		if len(f.records) == 0 {
			j.unpin(s)
			continue
		}
		g.txs = append(g.txs, f.tx())
		g.folds = append(g.folds, f)
	}
	if len(j.waiting) == 0 {
		j.waiting = nil
	}
	return g
}
