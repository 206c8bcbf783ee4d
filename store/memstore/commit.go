package memstore

import (
	"context"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// The limits of a Tx's state and of one key, as the contract has them.
const (
	maxState = 4 << 10
	maxKey   = 600
)

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	results := make([]store.Result, len(txs))
	for i := range txs {
		results[i].Err = s.checkLimits(&txs[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	// Sequences and times are given out under the lock under which records
	// join the log: their order is its order.
	seq := s.head.Load()
	now := max(s.now().UnixMicro(), s.lastTime)
	for i := range txs {
		if results[i].Err == nil {
			results[i] = s.apply(&txs[i], &seq, now)
		}
	}
	// One step for readers: the records of all Txs are visible now.
	if seq > s.head.Load() {
		s.head.Store(seq)
		s.wakeFollowers()
	}
	return results, nil
}

// apply stores one Tx, or nothing of it. It gives out the sequences after
// *seq. The caller holds mu.
func (s *Store) apply(tx *store.Tx, seq *uint64, now int64) store.Result {
	st := s.streams[tx.Stream]
	switch {
	case st == nil && tx.Version != 0, st != nil && tx.Version != st.version:
		return store.Result{Err: store.ErrConflict}
	case s.maxBytes > 0 && s.bytes+txSize(tx) > s.maxBytes:
		return store.Result{Err: leat.Errorf(leat.CodeStoreFull,
			"the memory store holds %d bytes and may hold %d", s.bytes, s.maxBytes).
			Advise("Remove streams, shorten their retention, or allow the store more memory.")}
	}
	// From here on nothing can fail: a Tx is stored whole.
	if st == nil {
		st = newStream(tx.Stream, tx.ContentType, *seq+1)
		s.streams[st.name] = st
		s.names.insert(st)
	}
	for i := range tx.Records {
		*seq++
		s.add(st, &tx.Records[i], *seq, now)
	}
	if len(tx.Records) == 0 {
		*seq++ // the version has to change
	}
	// The last sequence as version: no stream had it before, not even one of
	// this name that was dropped, from which a late Tx may be computed.
	st.version = *seq
	for _, e := range tx.State {
		st.state.set(e)
	}
	if tx.Due != nil {
		s.setDue(st, *tx.Due)
	}
	return store.Result{Version: st.version}
}

// add appends a record to its stream and to the log.
func (s *Store) add(st *stream, r *leat.Record, seq uint64, now int64) {
	e := &entry{
		stream:   st,
		seq:      seq,
		time:     now,
		appended: st.appended,
		pos:      r.Pos,
		data:     r.Data[:len(r.Data):len(r.Data)], // so that a reader's append copies
		typ:      r.Type,
		key:      r.Key,
		kind:     r.Kind,
	}
	e.carried = uint8(copy(e.carry[:], r.Carry))
	r.Offset = leat.Offset{Epoch: s.epochs[0].Epoch, Seq: seq}
	r.Time = fromMicro(now)
	st.records.push(e)
	s.log.push(e)
	st.count++
	st.appended += int64(len(r.Data))
	st.last, st.lastTime, st.end = seq, now, r.End()
	s.lastTime = now
	s.bytes += e.size()
}

// setDue moves the stream's entry among the due times.
func (s *Store) setDue(st *stream, t time.Time) {
	if st.due != 0 {
		s.due.delete(dueTime{st.due, st})
		st.due = 0
	}
	if !t.IsZero() {
		st.due = max(1, t.UnixMicro())
		s.due.insert(dueTime{st.due, st})
	}
}

func txSize(tx *store.Tx) int64 {
	n := int64(0)
	for i := range tx.Records {
		r := &tx.Records[i]
		n += size(len(r.Data), len(r.Type), len(r.Key), len(r.Carry))
	}
	return n
}

// checkLimits holds a Tx against the abilities. It needs no lock.
func (s *Store) checkLimits(tx *store.Tx) error {
	if n, most := len(tx.Records), s.abilities.MaxTxRecords; n > most {
		return tooLarge("one append has %d records and the store takes %d", n, most)
	}
	total := 0
	for i := range tx.Records {
		n := len(tx.Records[i].Data)
		if most := s.abilities.MaxRecord; n > most {
			return tooLarge("a record has %d bytes and the store takes %d", n, most)
		}
		if n := len(tx.Records[i].Carry); n > leat.MaxCarry {
			return tooLarge("a record carries %d bytes and the store takes %d", n, leat.MaxCarry)
		}
		total += n
	}
	if most := s.abilities.MaxTxBytes; total > most {
		return tooLarge("one append has %d bytes and the store takes %d", total, most)
	}
	total = 0
	for _, e := range tx.State {
		if len(e.Key) > maxKey {
			return tooLarge("a key of a stream's state has %d bytes and the store takes %d", len(e.Key), maxKey)
		}
		total += len(e.Key) + len(e.Value)
	}
	if total > maxState {
		return tooLarge("one append changes %d bytes of a stream's state and the store takes %d", total, maxState)
	}
	return nil
}

func tooLarge(format string, n, most int) error {
	return leat.Errorf(leat.CodeTooLarge, format, n, most).
		Advise("Append it in smaller pieces.")
}
