package journal

import (
	"context"
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
	tail    string        // the unfinished character that they go on after
	after   string        // the one that the last of them ends with
	made    bool          // for a stream that does not exist
	create  *Config       // that it is made with, if it is made on purpose
	exact   uint64        // the only version that it is for, if not 0
	keyed   bool          // the keys of the stream must be known
	raw     bool          // whether the time of the stream has come or not
	repeats bool          // all records are known to be there, though the stream has ended
	known   []int         // records that are known to be there and may only be found there
	whole   bool          // all of it or nothing
	proof   bool          // it is no use of the stream
	due     *time.Time    // when the stream is to be due; nil leaves it as it is
	pending *making       // the fork that is to come, if it makes the stream as one that has gone
	revive  bool          // that one comes to life
	pin     *pinning      // a change of the pins
	again   bool          // it has met a conflict before
	records []leat.Record // without Offset, Time and Pos
	done    chan struct{} // one of Journal.dones: the loop sends once, if there is no then
	then    func()        // is called in place of that, with mu held
	cost    int64         // what it counts while it waits, set by enqueue

	// Set by the loop before it sends to done. If it is not stored it must be
	// prepared again. The results are those of the first records. If they are
	// unsure, no commit has proved them: they were computed from what the
	// chain gen says of the stream.
	stored  bool
	results []result
	written Written // what the stream is with it
	kept    bool    // it has forks
	unsure  bool
	gen     uint64
	err     error

	// Static too: what is rarely there.
	by         *Producer  // whose request it is; of many records each is one
	producer   *producer  // what is remembered of it
	order      string     // the Write.Order
	sweeps     []string   // producers to be forgotten
	sweepAgain *time.Time // when to look for more of them

	// Memory for records and results: most have one.
	record [1]leat.Record
	result [1]result
}

// newSubmission returns one for the state that v is a view of.
func newSubmission(s *stream, v view) *submission {
	return &submission{stream: s, typ: v.typ, tail: v.tail, after: v.tail, made: !v.exists()}
}

// makeRecords makes room for n records.
func (sub *submission) makeRecords(n int) {
	if n == 1 {
		sub.records = sub.record[:0]
	} else {
		sub.records = make([]leat.Record, 0, n)
	}
}

// makeResults makes room for a result of each record.
func (sub *submission) makeResults() {
	if n := len(sub.records); n == 1 {
		sub.results = sub.result[:0]
	} else {
		sub.results = make([]result, 0, n)
	}
}

// size returns the bytes of payload.
func (sub *submission) size() int {
	n := 0
	for i := range sub.records {
		n += len(sub.records[i].Data)
	}
	return n
}

// ends returns how it ends its stream, empty if it does not.
func (sub *submission) ends() leat.EndState {
	if n := len(sub.records); n > 0 && sub.records[n-1].Kind == leat.KindEnd {
		return leat.EndState(sub.records[n-1].Type)
	}
	return ""
}

// A group is what one commit does. There is one at a time, and its memory is used for
// the next, with that of its folds.
type group struct {
	now   time.Time
	since time.Time // keys of older records do not count
	room  int       // in bytes
	txs   []store.Tx
	folds []*fold // of each Tx
	spare []*fold // of groups before
}

// mostSpare bounds what is kept of a group for the next, in Txs.
const mostSpare = 1024

// done lets go of what g has done, and keeps the memory.
func (g *group) done() {
	spare := g.spare
	for _, f := range g.folds[:min(len(g.folds), mostSpare-len(spare))] {
		clear(f.subs)
		*f = fold{subs: f.subs[:0]}
		spare = append(spare, f)
	}
	clear(g.txs)
	clear(g.folds)
	*g = group{txs: g.txs[:0], folds: g.folds[:0], spare: spare}
	if cap(g.txs) > 2*mostSpare {
		g.txs, g.folds = nil, nil
	}
}

// newFold returns an empty fold.
func (g *group) newFold() *fold {
	n := len(g.spare)
	if n == 0 {
		return new(fold)
	}
	f := g.spare[n-1]
	g.spare = g.spare[:n-1]
	return f
}

// maxGroupBytes bounds one commit, so that its memory in the driver is bounded
// and those who came first are answered soon. recordBytes is what a record
// counts beside its payload.
const (
	maxGroupBytes = 16 << 20
	recordBytes   = 256
	maxPaused     = 64 << 10 // of one submission that may wait for others
)

// submit hands a submission to the loop and waits for its answer, or until ctx
// ends. Then nothing is submitted that is not already being committed.
func (j *Journal) submit(ctx context.Context, sub *submission) error {
	sub.done = j.dones.Get().(chan struct{})
	by := j.publisherOf(ctx)
	defer j.pause.answers(by)
	if err := j.enqueue(sub, by); err != nil {
		return err
	}
	if sub.producer != nil {
		defer j.leaves(sub.producer)
	}
	defer j.queued.Add(-sub.cost)
	select {
	case <-sub.done:
		j.dones.Put(sub.done)
		return sub.err
	case <-ctx.Done():
	}
	if context.Cause(ctx) == errClosed {
		// Close ends what a Post reads, not what is being committed for it: the loop
		// answers all before it ends.
		<-sub.done
		return sub.err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-sub.done: // it was answered in the same moment
		return sub.err
	default:
	}
	if i := slices.Index(sub.stream.queue, sub); i >= 0 {
		// Else it is being committed.
		sub.stream.queue = slices.Delete(sub.stream.queue, i, i+1)
	}
	return ctx.Err()
}

// enqueue hands a submission to the loop, which answers it unless there is an error.
// Its cost is then in queued, for the caller to take out behind the answer; its records are
// the loop's.
func (j *Journal) enqueue(sub *submission, by *publisher) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errClosed
	}
	sub.cost = int64(sub.size() + len(sub.records)*recordBytes)
	n := j.queued.Add(sub.cost)
	if n > sub.cost && n > j.maxWaiting && !sub.raw {
		j.queued.Add(-sub.cost)
		return errOverloaded
	}
	if sub.producer != nil {
		sub.producer.joins(sub, j.now())
	}
	sub.stream.queue = append(sub.stream.queue, sub)
	j.wait(sub.stream)
	j.hurry = j.hurry || sub.again
	// Of much the sync is a small part, and when much waits others are refused.
	j.pause.arrives(by, !sub.again && sub.cost < maxPaused && n < j.maxWaiting/2)
	return nil
}

// errOverloaded is for what would wait beside too much.
var errOverloaded = leat.Errorf(leat.CodeOverloaded, "too much waits to be stored").
	Advise("Repeat the request in a while, with the same key if it has one. If the disk keeps up with what is sent over time, a larger --max-waiting helps.")

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
// large groups and an idle one answers at once. See pause for the exception.
func (j *Journal) loop() {
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
			if j.await(); j.closed {
				continue
			}
		}
		j.hurry = false
		g := j.gather()
		j.pause.begins(len(j.waiting) > 0)
		if len(g.txs) == 0 {
			continue
		}
		j.mu.Unlock()
		// A commit is never abandoned: its context does not end.
		began := time.Now()
		results, err := j.st.Commit(context.Background(), g.txs)
		took := time.Since(began)
		j.mu.Lock()
		j.stored.commits.Add(took)
		j.settle(g, results, err)
		if err == nil {
			g.done()
		} else {
			*g = group{} // a driver that has failed may still look at the old one
		}
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
	if sub.then != nil {
		sub.then()
		return
	}
	sub.done <- struct{}{} // there is room: it is the only one
}

// gather makes a group of what waits, stream by stream, until it is full.
// The first stream that did not fit is the first of the next group. mu is held.
func (j *Journal) gather() *group {
	now := j.now()
	g := &j.group
	g.now, g.since, g.room = now, now.Add(-j.window), maxGroupBytes
	taken := 0
	for ; taken < len(j.waiting); taken++ {
		s := j.waiting[taken]
		f := j.fold(s, g)
		if !f.stores && len(s.queue) > 0 {
			break // no room left
		}
		s.waiting = false
		if !f.stores {
			j.unpin(s)
			continue
		}
		g.txs = append(g.txs, f.tx())
		g.folds = append(g.folds, f)
	}
	j.waiting = slices.Delete(j.waiting, 0, taken)
	return g
}
