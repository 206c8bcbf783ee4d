package pebblestore

import (
	"context"
)

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

// A dropStep removes a stream.
type dropStep struct {
	// Static.
	name    string
	version uint64

	// Set by the committer.
	id   uint64 // of the stream that was removed, 0 if there was none
	head uint64 // no sequence of that stream is behind this
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
// The committer removes the row, the records and the state at once, with a
// few ranges, and afterwards the entries in the log index go in steps. They
// are found through a view from before the drop. What was appended between
// that view and the drop is found in the log index itself, behind the view's
// head; this is why a drop begins a group: nothing can be appended to the
// stream in the same group before it.
//
// A crash before the last step leaves entries that lead nowhere; readers skip
// them.
func (s *Store) Drop(ctx context.Context, name string, version uint64) error {
	v, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.release(v)
	if err := s.alive(); err != nil {
		return err
	}
	step := &dropStep{name: name, version: version}
	if err := s.submit(&request{drop: step, size: txOverhead, done: make(chan struct{})}); err != nil {
		return err
	}
	if step.id == 0 {
		return nil
	}
	return s.wrap("dropping a stream", s.sweep(ctx, v, step))
}

// sweep removes the entries of a dropped stream from the log index. before is
// a view that may still have the stream.
func (s *Store) sweep(ctx context.Context, before *view, d *dropStep) error {
	it, err := before.newIter(recordKey(nil, d.id, 0), recordKey(nil, d.id+1, 0))
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
	if d.head > before.head {
		if err := s.findEntries(ctx, d, before.head, &seqs); err != nil {
			return err
		}
	}
	return s.submitSweep(ctx, &seqs)
}

// findEntries collects the entries of a dropped stream behind a position.
func (s *Store) findEntries(ctx context.Context, d *dropStep, after uint64, seqs *[]uint64) error {
	v, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.release(v)
	it, err := v.newIter(indexKey(nil, after+1), indexKey(nil, d.head+1))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if e, err := decodeEntry(value); err != nil {
			return err
		} else if e.id == d.id {
			*seqs = append(*seqs, indexSeq(it.Key()))
		}
	}
	return it.Error()
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
