package pebblestore

import (
	"context"

	"github.com/leat-dev/leat/store"
)

// mostSingles is how many keys of a stream are removed one by one rather than
// as a range. A range that was removed is cheap to write and dear to read past
// as long as it is in a memtable: the first read after a removal sorts all
// ranges there anew. To trim 100,000 streams of one record took 20 seconds with
// ranges, and takes 2.
const mostSingles = 64

// trimStepRecords bounds what a step of a Trim or Drop adds to a batch.
const trimStepRecords = 1024

// A trimStep is a piece of a Trim: the records to remove are found outside of
// the committer, which then only checks that they still are the oldest of the
// stream and removes them.
type trimStep struct {
	// Static.
	name  string
	id    uint64
	after uint64   // Trimmed of the row when the records were found
	seqs  []uint64 // the oldest records of the stream, at least one
	bytes int64    // their payload
	extra int64    // their types, keys and carries

	stale bool // set by the committer: find them again
}

// A dropStep removes a stream. What it has is found outside of the committer,
// in a view in which it has the version of the Drop: while the committer finds
// that version too, nothing was appended since.
type dropStep struct {
	// Static.
	name    string
	version uint64
	id      uint64
	seqs    []uint64 // its records, unless there are more than mostSingles
	keys    []string // of its state, unless there are more than mostSingles
}

// Trim removes the oldest records of a stream. See [store.Store].
//
// A long one is done in steps, each a removal of its own, so that a batch
// stays small and commits come in between. The committer owns the row: a
// step only says by how much its counters change, so that what was appended
// meanwhile is not undone by it.
func (s *Store) Trim(ctx context.Context, name string, through uint64) error {
	for {
		step, more, err := s.findOldest(ctx, name, through)
		if err != nil {
			return s.wrap("trimming a stream", err)
		}
		if len(step.seqs) == 0 {
			return nil
		}
		if err := s.alive(); err != nil {
			return err
		}
		r := &request{trim: step, size: txOverhead + 16*len(step.seqs), done: make(chan struct{})}
		if err := s.submit(r); err != nil {
			return err
		}
		if !more && !step.stale {
			return nil
		}
	}
}

// findOldest returns a step that removes the oldest records of a stream up to
// a position, and whether there are more than fit.
func (s *Store) findOldest(ctx context.Context, name string, through uint64) (*trimStep, bool, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return nil, false, err
	}
	defer s.release(v)
	step := &trimStep{name: name}
	r := &reader{s: s, v: v, ctx: ctx, upTo: min(through, v.head)}
	src, err := r.source(name, 0)
	if err != nil || src.name == "" {
		return step, false, err
	}
	step.id, step.after = src.id, src.first-1
	it, err := v.newIter(recordKey(nil, src.id, src.first), recordKey(nil, src.id, src.last+1))
	if err != nil {
		return nil, false, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if len(step.seqs) == trimStepRecords {
			return step, true, nil
		}
		seq := recordSeq(it.Key())
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, false, err
		}
		bytes, extra, err := recordSize(value)
		if err != nil {
			return nil, false, err
		}
		step.seqs = append(step.seqs, seq)
		step.bytes += bytes
		step.extra += extra
	}
	return step, false, it.Error()
}

// Drop removes a stream. See [store.Store].
//
// The committer removes everything at once if that is little. Otherwise it
// removes the row, the records and the state with a few ranges, and afterwards
// the entries in the log index go in steps. A crash before the last step leaves
// entries that lead nowhere; readers skip them.
func (s *Store) Drop(ctx context.Context, name string, version uint64) error {
	v, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.release(v)
	if err := s.alive(); err != nil {
		return err
	}
	step, err := v.findStream(name, version)
	if err != nil || step == nil {
		return s.wrap("dropping a stream", err)
	}
	size := txOverhead + 32*len(step.seqs) + 64*len(step.keys)
	if err := s.submit(&request{drop: step, size: size, done: make(chan struct{})}); err != nil {
		return err
	}
	if step.seqs != nil {
		return nil
	}
	return s.wrap("dropping a stream", s.sweep(ctx, v, step.id))
}

// findStream returns a step that removes a stream, nil if there is none. A
// version that is not this one is old: what it was computed from is no newer
// than the view.
func (v *view) findStream(name string, version uint64) (*dropStep, error) {
	r, err := getRow(v.snap, nil, name)
	switch {
	case err != nil || r.version == 0:
		return nil, err
	case r.version != version:
		return nil, store.ErrConflict
	}
	step := &dropStep{name: name, version: version, id: r.id, seqs: []uint64{}, keys: []string{}}
	few, err := v.few(recordKey(nil, r.id, 0), func(key []byte) { step.seqs = append(step.seqs, recordSeq(key)) })
	if err != nil {
		return nil, err
	}
	if !few {
		step.seqs = nil
	}
	few, err = v.few(stateKey(nil, r.id, ""), func(key []byte) { step.keys = append(step.keys, string(key[9:])) })
	if !few {
		step.keys = nil
	}
	return step, err
}

// few calls found with the keys of an id, of which first is the lower bound,
// and reports whether there are no more than mostSingles.
func (v *view) few(first []byte, found func(key []byte)) (bool, error) {
	it, err := v.newIter(first, successor(nil, first[:9]))
	if err != nil {
		return false, err
	}
	defer it.Close()
	n := 0
	for it.First(); it.Valid() && n < mostSingles; it.Next() {
		found(it.Key())
		n++
	}
	return !it.Valid(), it.Error()
}

// sweep removes the entries of a dropped stream from the log index. before is
// a view that still has the stream.
func (s *Store) sweep(ctx context.Context, before *view, id uint64) error {
	it, err := before.newIter(recordKey(nil, id, 0), recordKey(nil, id+1, 0))
	if err != nil {
		return err
	}
	defer it.Close()
	var seqs []uint64
	for it.First(); it.Valid(); it.Next() {
		if seqs = append(seqs, recordSeq(it.Key())); len(seqs) == trimStepRecords {
			if err := s.submitSweep(ctx, &seqs); err != nil {
				return err
			}
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	return s.submitSweep(ctx, &seqs)
}

func (s *Store) submitSweep(ctx context.Context, seqs *[]uint64) error {
	if len(*seqs) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{sweep: *seqs, size: txOverhead + 16*len(*seqs), done: make(chan struct{})}
	*seqs = nil
	return s.submit(r)
}
