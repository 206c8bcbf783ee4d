package server_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A truth is the simple model of TestModel: what is in the log, in one list, and
// since when which of it has been removed. It learns both from a witness, and
// nothing from the server.
//
// Things that happen have ticks. What a removal took is gone from the tick at
// which it began: it may have been seen until it had ended.
type truth struct {
	ticks atomic.Int64

	mu       sync.Mutex // guards what a life adds
	commits  []commit
	removals []removal

	// Between two lives, owned by the test.
	log    []*entry              // all that was ever in the log and was not lost, by offset
	gens   map[string][]*content // of each name, oldest first
	epochs []store.Epoch
}

// An entry is a record of the log.
type entry struct {
	leat.Record
	of            *content
	begun, stored int64 // between these ticks it became visible
	gone          int64 // from this tick on it may be missing; 0: it is there
	dropped       int64 // from this tick on because the stream was dropped
}

// A content is one stream: a name has several, one after the other.
type content struct {
	name    string
	id      uint64
	entries []*entry
}

// bytes returns the content between two positions, and false if some of it was
// never there.
func (c *content) bytes(from, to int64) ([]byte, bool) {
	var out []byte
	for _, e := range c.entries {
		if e.Kind == leat.KindEnd || e.End() <= from || e.Pos >= to {
			continue
		}
		if e.Pos > from+int64(len(out)) {
			return out, false // lost in between
		}
		out = append(out, e.Data[max(0, from-e.Pos):min(int64(len(e.Data)), to-e.Pos)]...)
	}
	return out, int64(len(out)) == max(0, to-from)
}

// holding returns the newest record of a name with data, nil if there is none.
func (tr *truth) holding(name string, data []byte) (found *entry) {
	for _, of := range tr.gens[name] {
		for _, e := range of.entries {
			if bytes.Equal(e.Data, data) {
				found = e
			}
		}
	}
	return found
}

// A commit is a Tx that was stored.
type commit struct {
	name          string
	base, version uint64
	records       []leat.Record
	begun, stored int64
}

type removal struct {
	name    string
	through uint64
	begun   int64
	dropped bool
	done    bool // answered, so that it lasts as long as a record does
}

func (tr *truth) tick() int64 { return tr.ticks.Add(1) }

// A witness is a store that tells a truth what happens in it.
type witness struct {
	store.Store
	truth *truth
	dead  *atomic.Bool // the power is gone: nothing is answered any more
}

var errDead = leat.Errorf(leat.CodeUnavailable, "the power is gone")

func (w *witness) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if w.dead.Load() {
		return nil, errDead
	}
	begun := w.truth.tick()
	results, err := w.Store.Commit(ctx, txs)
	stored := w.truth.tick()
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	for i, r := range results {
		if r.Err == nil {
			c := commit{name: txs[i].Stream, base: txs[i].Version, version: r.Version, begun: begun, stored: stored}
			for _, rec := range txs[i].Records {
				rec.Carry = bytes.Clone(rec.Carry)
				c.records = append(c.records, rec)
			}
			w.truth.commits = append(w.truth.commits, c)
		}
	}
	return results, err
}

func (w *witness) Trim(ctx context.Context, name string, through uint64) error {
	return w.remove(removal{name: name, through: through}, func() error { return w.Store.Trim(ctx, name, through) })
}

func (w *witness) Drop(ctx context.Context, name string, version uint64) error {
	info, err := w.Store.Stream(ctx, name)
	if err != nil {
		return err
	}
	if info.Version != version {
		return w.Store.Drop(ctx, name, version) // in vain: versions grow
	}
	return w.remove(removal{name: name, through: info.Last, dropped: true}, func() error { return w.Store.Drop(ctx, name, version) })
}

func (w *witness) remove(rm removal, do func() error) error {
	if w.dead.Load() {
		return errDead
	}
	tr := w.truth
	tr.mu.Lock()
	rm.begun = tr.tick()
	tr.removals = append(tr.removals, rm)
	i := len(tr.removals) - 1
	tr.mu.Unlock()
	err := do()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case err == nil && !w.dead.Load():
		tr.removals[i].done = true
	case err == store.ErrConflict: // nothing was removed
		tr.removals[i].through = 0
	}
	return err
}

// settle takes what happened in a life into the log.
func (tr *truth) settle(t *testing.T, epochs store.Epochs) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	slices.SortFunc(tr.commits, func(a, b commit) int { return int(int64(a.version) - int64(b.version)) })
	for _, c := range tr.commits {
		gens := tr.gens[c.name]
		if c.base == 0 {
			gens = append(gens, &content{name: c.name, id: c.version - uint64(max(1, len(c.records))) + 1})
			tr.gens[c.name] = gens
		}
		if len(gens) == 0 {
			t.Fatalf("%s was appended to and never made", c.name)
		}
		of := gens[len(gens)-1]
		for _, rec := range c.records {
			e := &entry{Record: rec, of: of, begun: c.begun, stored: c.stored}
			if n := len(of.entries); n > 0 && e.Pos != of.entries[n-1].End() {
				t.Fatalf("%s: the record at %s is at byte %d, the one before ends at %d", c.name, e.Offset, e.Pos, of.entries[n-1].End())
			}
			of.entries = append(of.entries, e)
			tr.log = append(tr.log, e)
		}
	}
	slices.SortFunc(tr.log, func(a, b *entry) int { return a.Offset.Compare(b.Offset) })
	for _, rm := range tr.removals {
		for _, of := range tr.gens[rm.name] {
			for _, e := range of.entries {
				if e.Offset.Seq > rm.through {
					break
				}
				if e.gone == 0 || rm.begun < e.gone {
					e.gone = rm.begun
				}
				if rm.dropped && (e.dropped == 0 || rm.begun < e.dropped) {
					e.dropped = rm.begun
				}
			}
		}
	}
	tr.commits = nil
	tr.epochs = epochs
}

// reopen compares what a store has after it was opened again with what it had,
// and forgets what is lost. keeps says that no record may be.
func (tr *truth) reopen(t *testing.T, st store.Store, keeps bool, seen map[leat.Offset]string) {
	t.Helper()
	epochs := st.Epochs()
	head := epochs[len(epochs)-1].First - 1 // what was recovered
	there := make(map[uint64]leat.Record)
	for after := uint64(0); after < st.Head(); {
		b, err := st.ReadLog(t.Context(), leat.Everything(), after, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			there[r.Offset.Seq] = r
		}
		after = b.Next
	}
	kept := tr.log[:0]
	for _, e := range tr.log {
		r, ok := there[e.Offset.Seq]
		delete(there, e.Offset.Seq)
		switch {
		case e.Offset.Seq > head:
			if who := seen[e.Offset]; keeps && who != "" {
				t.Fatalf("%s %q of %s is lost, and %s has seen it", e.Offset, e.Data, e.Stream, who)
			}
			if ok {
				t.Fatalf("%s is there, behind %d where the new epoch begins", e.Offset, head)
			}
			e.of.entries = slices.DeleteFunc(e.of.entries, func(other *entry) bool { return other == e })
			continue
		case ok:
			if r.Offset != e.Offset || r.Stream != e.Stream || r.Kind != e.Kind || r.Type != e.Type || r.Key != e.Key || r.Pos != e.Pos ||
				!bytes.Equal(r.Carry, e.Carry) || !bytes.Equal(r.Data, e.Data) || !r.Time.Equal(e.Time) {
				t.Fatalf("stored was %+v, and found is %+v", e.Record, r)
			}
			if keeps && tr.removed(e) {
				t.Fatalf("%s of %s is back: its removal had been answered", e.Offset, e.Stream)
			}
			e.gone, e.dropped = 0, 0
		case e.gone == 0:
			t.Fatalf("%s %.40q of %s is missing: nobody removed it, and what came after it, up to %d, is there", e.Offset, e.Data, e.Stream, head)
		default:
			e.gone = 1
			e.dropped = min(e.dropped, 1)
		}
		kept = append(kept, e)
	}
	tr.log = kept
	for _, r := range there {
		t.Fatalf("nobody stored %+v", r)
	}
	for name, gens := range tr.gens {
		tr.gens[name] = slices.DeleteFunc(gens, func(c *content) bool { return c.id > head })
	}
	tr.removals, tr.epochs = nil, epochs
}

// removed reports whether a removal of an entry has been answered.
func (tr *truth) removed(e *entry) bool {
	return slices.ContainsFunc(tr.removals, func(rm removal) bool {
		return rm.done && rm.name == e.Stream && rm.through >= e.Offset.Seq
	})
}

// find returns the index of the first entry behind an offset.
func (tr *truth) find(after leat.Offset) int {
	i, found := slices.BinarySearchFunc(tr.log, after, func(e *entry, o leat.Offset) int { return e.Offset.Compare(o) })
	if found {
		i++
	}
	return i
}

// at returns the entry with an offset, nil if there is none.
func (tr *truth) at(o leat.Offset) *entry {
	if i := tr.find(o); i > 0 && tr.log[i-1].Offset == o {
		return tr.log[i-1]
	}
	return nil
}

// wentOn says what a reader is to hear that comes with an offset: where it goes on,
// and why not where it was. It is the rule of ADR 1, told in another way than
// store.Epochs does.
func (tr *truth) wentOn(o leat.Offset) (next leat.Offset, loss store.Loss) {
	if o.IsStart() {
		return leat.Offset{}, store.LossNone
	}
	for i, e := range tr.epochs {
		switch {
		case e.Epoch > o.Epoch:
			// Its epoch is none of ours: all that is ours is younger or older.
			return leat.Offset{Epoch: e.Epoch, Seq: e.First}, store.LossForeign
		case e.Epoch < o.Epoch:
		case i+1 < len(tr.epochs) && o.Seq >= tr.epochs[i+1].First:
			return leat.Offset{Epoch: tr.epochs[i+1].Epoch, Seq: tr.epochs[i+1].First}, store.LossLost
		default:
			return o, store.LossNone
		}
	}
	return leat.Offset{}, store.LossForeign // at the head, wherever that was
}
