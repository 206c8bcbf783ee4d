package pebblestore

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A scratch is memory that the committer builds keys and values in.
type scratch struct {
	key, end, value []byte
	ids             []uint64
}

// A batch is what a group does: to the database, and to what the store keeps
// in memory once it is durable. It works on the committer's rows and counters
// at once; if it cannot be made durable the store has failed and nobody looks
// at them any more.
type batch struct {
	*pebble.Batch
	s     *Store
	now   int64 // the time of all records of the group, microseconds
	head  uint64
	order uint64
	size  int64

	records    []leat.Record
	ids        []uint64      // of the stream of each of records; scratch
	superseded []pastRemoval // entries of kind kindRemoval that were replaced
	floor      uint64        // all removals of the group are up to here
}

func (s *Store) newBatch(group []*request) *batch {
	records := 0
	for _, r := range group {
		for i := range r.txs {
			records += len(r.txs[i].Records)
		}
	}
	return &batch{
		Batch: s.db.NewBatch(),
		s:     s,
		// Times never decrease in log order, whatever the clock does.
		now:   max(s.options.Now().UnixMicro(), s.lastTime),
		head:  s.head,
		order: s.order,
		size:  s.size,

		records: make([]leat.Record, 0, records),
		ids:     s.scratch.ids[:0],
	}
}

// add does what one request wants. Errors of reading a row are the request's
// alone, or even only the Tx's.
func (b *batch) add(r *request) {
	switch {
	case r.trim != nil:
		r.err = b.s.wrap("trimming", b.trim(r.trim))
	case r.drop != nil:
		r.err = b.s.wrap("dropping", b.drop(r.drop))
	}
	b.removeEntries(r.sweep)
	for i := range r.txs {
		o := &r.outcomes[i]
		if o.err == nil {
			o.err = b.s.wrap("appending", b.tx(&r.txs[i], o))
		}
	}
}

// seal adds the entries of the log index and the counters.
//
// Entries follow each other, and so do their keys: Pebble then finds the place of
// each in its memtable beside the one before, and need not look for it. Nothing else
// in the batch is about these keys.
func (b *batch) seal() {
	s := b.s
	for i := range b.records {
		r := &b.records[i]
		s.scratch.key = indexKey(s.scratch.key, r.Offset.Seq)
		b.put(s.scratch.key, appendEntry(s.scratch.value[:0], b.ids[i], b.now, r.Stream, len(r.Data)))
	}
	if s.head != b.head || s.size != b.size {
		b.put(keyHead, appendHead(s.scratch.value[:0], s.head, s.size))
	}
	if s.order != b.order {
		b.put(keyOrder, appendCounter(s.scratch.value[:0], s.order))
	}
	s.scratch.ids = b.ids
	b.head, b.order, b.size = s.head, s.order, s.size
	if len(b.records) > 0 {
		s.lastTime = b.now
	}
}

// put and remove change a key. They copy; their buffers become the scratch
// again, as large as they have grown. Errors cannot happen: only an indexed
// batch returns any.
func (b *batch) put(key, value []byte) {
	_ = b.Set(key, value, nil)
	b.s.scratch.value = value[:0]
}

func (b *batch) remove(key []byte) { _ = b.Delete(key, nil) }

// tx applies a Tx if it was computed from the current version.
func (b *batch) tx(tx *store.Tx, o *outcome) error {
	s := b.s
	r, err := s.row(tx.Stream)
	if err != nil {
		return err
	}
	if r.version != tx.Version {
		return store.ErrConflict
	}
	o.first, o.micros = s.head+1, b.now
	// A Tx without records takes a sequence too: the version must change.
	s.head += uint64(max(1, len(tx.Records)))
	o.version = s.head
	if r.version == 0 {
		*r = row{id: o.first, contentType: tx.ContentType}
	}
	r.version = s.head
	s.size -= r.size()
	for i := range tx.Records {
		b.record(tx.Stream, r, o.first+uint64(i), &tx.Records[i])
	}
	s.size += r.size()
	for _, e := range tx.State {
		s.scratch.key = stateKey(s.scratch.key, r.id, e.Key)
		if e.Value == nil {
			b.remove(s.scratch.key)
		} else {
			b.put(s.scratch.key, appendState(s.scratch.value[:0], e.Value))
		}
	}
	if tx.Due != nil {
		b.clearDue(tx.Stream, r)
		if r.setDue(*tx.Due); r.hasDue {
			s.scratch.key = dueKey(s.scratch.key, r.due, tx.Stream)
			_ = b.Set(s.scratch.key, nil, nil)
		}
	}
	b.row(tx.Stream, r)
	return nil
}

// record adds a record. Its entry in the log index comes with seal. The payload is
// copied once, into the batch.
func (b *batch) record(name string, r *row, seq uint64, rec *leat.Record) {
	s := b.s
	s.scratch.value = appendRecord(s.scratch.value[:0], rec, b.now)
	header := s.scratch.value
	op := b.SetDeferred(1+8+8, len(header)+len(rec.Data))
	recordKey(op.Key, r.id, seq)
	copy(op.Value[copy(op.Value, header):], rec.Data)
	_ = op.Finish()

	b.ids = append(b.ids, r.id)
	r.last, r.lastTime = seq, b.now
	r.records++
	r.bytes += int64(len(rec.Data))
	r.extra += int64(len(rec.Type) + len(rec.Key) + len(rec.Carry))
	r.end = rec.End()

	done := *rec
	done.Stream = name
	done.Carry = slices.Clip(bytes.Clone(rec.Carry)) // the caller may use its own again
	done.Data = slices.Clip(rec.Data)                // so that a reader's append copies
	done.Offset = leat.Offset{Epoch: s.epoch(), Seq: seq}
	done.Time = timeOf(b.now)
	b.records = append(b.records, done)
}

func (b *batch) row(name string, r *row) {
	b.s.scratch.key = rowKey(b.s.scratch.key, name)
	b.put(b.s.scratch.key, appendRow(b.s.scratch.value[:0], r))
}

func (b *batch) clearDue(name string, r *row) {
	if r.hasDue {
		b.s.scratch.key = dueKey(b.s.scratch.key, r.due, name)
		b.remove(b.s.scratch.key)
	}
}

// trim applies a step of a Trim, unless the stream is not any more what the
// step was computed from. Appends do not matter to it: they change the other
// end of the stream.
func (b *batch) trim(t *trimStep) error {
	s := b.s
	r, err := s.row(t.name)
	if err != nil {
		return err
	}
	if r.version == 0 || r.id != t.id || r.trimmed != t.after {
		t.stale = true
		return nil
	}
	through := t.seqs[len(t.seqs)-1]
	if len(t.seqs) <= mostSingles {
		b.removeRecords(r.id, t.seqs)
	} else {
		s.scratch.key = recordKey(s.scratch.key, r.id, t.after+1)
		s.scratch.end = recordKey(s.scratch.end, r.id, through+1)
		_ = b.DeleteRange(s.scratch.key, s.scratch.end, nil)
	}
	b.removeEntries(t.seqs)
	s.size -= r.size()
	r.records -= int64(len(t.seqs))
	r.bytes -= t.bytes
	r.extra = max(0, r.extra-t.extra) // a row from before it was counted has none
	s.size += r.size()
	b.removed(t.name, r, through, false)
	b.row(t.name, r)
	return nil
}

// removeRecords removes records of a stream, without their entries in the log
// index.
func (b *batch) removeRecords(id uint64, seqs []uint64) {
	for _, seq := range seqs {
		b.s.scratch.key = recordKey(b.s.scratch.key, id, seq)
		b.remove(b.s.scratch.key)
	}
}

// removeEntries removes entries of the log index.
func (b *batch) removeEntries(seqs []uint64) {
	for _, seq := range seqs {
		b.s.scratch.key = indexKey(b.s.scratch.key, seq)
		b.remove(b.s.scratch.key)
	}
}

// removeAll removes all keys of an id, of which first is the lower bound.
func (b *batch) removeAll(first []byte) {
	b.s.scratch.end = successor(b.s.scratch.end, first[:9])
	_ = b.DeleteRange(first, b.s.scratch.end, nil)
}

// drop removes a stream. If it has many records their entries in the log index
// stay for now and lead nowhere.
func (b *batch) drop(d *dropStep) error {
	s := b.s
	r, err := s.row(d.name)
	switch {
	case err != nil || r.version == 0:
		return err
	case r.version != d.version:
		return store.ErrConflict
	}
	if d.seqs != nil {
		b.removeRecords(r.id, d.seqs)
		b.removeEntries(d.seqs)
	} else {
		b.removeAll(recordKey(nil, r.id, 0))
	}
	if d.keys == nil {
		b.removeAll(stateKey(nil, r.id, ""))
	}
	for _, key := range d.keys {
		s.scratch.key = stateKey(s.scratch.key, r.id, key)
		b.remove(s.scratch.key)
	}
	b.clearDue(d.name, r)
	b.remove(rowKey(s.scratch.key, d.name))
	if r.last > 0 {
		b.removed(d.name, r, r.last, true)
	} else {
		s.order++ // it counts, but no reader has lost anything
	}
	s.size -= r.size()
	s.rows.put(d.name, &row{})
	return nil
}

// removed moves a stream's one entry among the removals.
func (b *batch) removed(name string, r *row, through uint64, dropped bool) {
	s := b.s
	if r.trimmed > 0 {
		s.scratch.key = removalKey(s.scratch.key, r.trimmed, r.id)
		b.remove(s.scratch.key)
		b.superseded = append(b.superseded, pastRemoval{id: r.id, through: r.trimmed, order: r.trimOrder})
	}
	s.order++
	r.trimmed, r.trimOrder = through, s.order
	s.scratch.key = removalKey(s.scratch.key, through, r.id)
	b.put(s.scratch.key, appendRemoval(s.scratch.value[:0], removal{name, s.order, dropped}))
	b.floor = max(b.floor, through)
}

// publish makes a durable batch visible.
func (s *Store) publish(b *batch) {
	next := &view{snap: s.db.NewSnapshot(), head: b.head, order: b.order, size: b.size, refs: 1}
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.view.head != next.head
	s.dropLocked(s.view)
	s.view = next
	s.past.add(b.superseded)
	s.tail.floor = max(s.tail.floor, b.floor)
	if !moved {
		return
	}
	s.tail.add(tailGroup{records: b.records, head: b.head, order: b.order})
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}
