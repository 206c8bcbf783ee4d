package journal

import (
	"errors"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A fold is one Tx in the making: what several submissions do to one stream.
type fold struct {
	j       *Journal
	g       *group
	s       *stream
	gen     uint64 // of s
	next    state  // of the stream once the Tx is stored, but for version, id and last
	current bool   // the keys of s are
	stores  bool   // there is something to store
	records []leat.Record
	bytes   int            // of their payloads
	keys    map[string]int // the index of each record that has a key
	subs    []*submission  // those that are answered by it
	due     *time.Time     // to be set, if one of them says so
	state   []store.Entry  // to be set too
	born    bool           // a fork comes to life
	used    bool           // one of them is a use of the stream
	changes []change       // of what is known of producers
	changed int            // the size of both
}

// A result is complete, or that of a record of the Tx, which is given by its
// index there.
type result struct {
	Appended
	record int // -1 if it is complete
}

// fold makes a Tx of the submissions that wait for s. Those that were prepared
// for another state are answered at once, so that their callers prepare them
// again. What does not fit stays in the queue. If there is nothing to store,
// all that was looked at are duplicates, and are answered. mu is held.
func (j *Journal) fold(s *stream, g *group) *fold {
	f := g.newFold()
	f.j, f.g, f.s, f.gen, f.next, f.current = j, g, s, s.gen, s.state, s.keysCurrent()
	if len(s.queue) == 1 {
		// What is prepared again is made anew, so these are used up: a record is
		// written where it was read, or before.
		f.records = s.queue[0].records[:0]
	} else {
		n := 0
		for _, sub := range s.queue {
			n += len(sub.records)
		}
		f.records = make([]leat.Record, 0, min(n, j.maxTxRecords, max(g.room, 0)/recordBytes+1))
	}
	taken := 0
	for full := false; taken < len(s.queue) && !full; taken++ {
		sub := s.queue[taken]
		switch {
		case !f.fits(sub):
			sub.answer(nil)
		case !f.hasPlace(sub):
			full = true
		case sub.whole:
			full = !f.addWhole(sub)
		default:
			full = !f.add(sub)
		}
		if full && len(sub.results) == 0 {
			break // nothing of it found room: it keeps its turn
		}
	}
	s.queue = slices.Delete(s.queue, 0, taken)
	if !f.stores {
		f.answerDuplicates()
	}
	return f
}

// fits reports whether a submission was prepared for the state that s has, or
// for the one that this Tx gives it.
func (f *fold) fits(sub *submission) bool {
	s, first := f.s, len(f.subs) == 0
	switch {
	case !s.known, sub.keyed && !f.current:
		return false
	case sub.exact != 0 && !(first && s.version == sub.exact):
		return false
	case s.version == 0 && !sub.made:
		return false // the type that it was prepared for went with the stream
	case s.version == 0 && first:
		f.make(sub)
	case (sub.by != nil || sub.order != "" || sub.sweeps != nil) && !f.isTurn(sub):
		return false
	case sub.revive:
		f.revive(sub)
	case sub.pending != nil, sub.pin != nil && sub.pin.delta.All > 0 && f.next.over.Gone():
		return false
	case sub.create != nil && (sub.made || f.next.config != nil), sub.tail != f.next.tail:
		return false
	case !sub.raw && s.mortal() && s.lives.over(f.g.now), sub.ends() == leat.EndExpired && !s.lives.over(f.g.now):
		return false // its time has come meanwhile, or a use came first
	case f.next.over != "" && !sub.repeats && len(sub.records) > 0:
		// Nothing follows an end, but that the stream goes altogether.
		return sub.ends().Gone() && !f.next.over.Gone()
	}
	// Of two that make the stream with different types the first wins, and
	// the other is prepared again. One of the same type may stay as it is.
	return sub.typ.essence == f.next.typ.essence
}

// make gives the stream that does not exist yet what sub makes it with.
func (f *fold) make(sub *submission) {
	f.next = state{typ: sub.typ}
	f.configure(sub.create)
	if m := sub.pending; m != nil {
		f.next.over, f.next.tail, f.next.end, f.next.fork = leat.EndDeleted, m.tail, m.origin.Base, &m.origin
	}
}

// revive makes the stream, which has gone, one that is there. Its ID stays.
func (f *fold) revive(sub *submission) {
	f.born = true
	f.next.over, f.next.due, f.due = "", time.Time{}, new(time.Time)
	f.configure(sub.create)
}

// configure gives the stream a configuration, if it is one.
func (f *fold) configure(c *Config) {
	if c != nil {
		f.next.config, f.next.ttl, f.next.expires = c, c.TTL, c.Expires
	}
}

// addWhole adds sub if all of it finds room, and reports whether it did. One that
// is too large for any Tx is refused.
func (f *fold) addWhole(sub *submission) bool {
	n, bytes := len(sub.records), sub.size()
	if n > f.j.maxTxRecords || bytes > f.j.maxTxBytes {
		sub.answer(leat.Errorf(leat.CodeTooLarge, "%d records of %d bytes together are more than the store takes at once: %d records, %d bytes", n, bytes, f.j.maxTxRecords, f.j.maxTxBytes).
			Advise("Send less in one request."))
		return true
	}
	if len(f.records)+n > f.j.maxTxRecords || bytes > f.j.maxTxBytes-f.bytes ||
		bytes+n*recordBytes > f.g.room && (len(f.g.txs) > 0 || f.stores) {
		return false
	}
	sub.makeResults()
	for _, r := range sub.records {
		sub.results = append(sub.results, result{record: len(f.records)})
		f.append(r)
	}
	f.accept(sub)
	f.stores = true
	return true
}

// add adds the records of sub, and reports whether there is room for more. The
// caller of sub submits the rest again, of which the first found no room or has
// to be prepared again. If that is the first of all and it found no room, sub is
// not answered.
func (f *fold) add(sub *submission) bool {
	room := true
	sub.makeResults()
	for i := range sub.records {
		r := &sub.records[i]
		var res result
		duplicate := false
		if sub.by == nil {
			res, duplicate = f.duplicate(r.Key)
		}
		if !duplicate {
			if f.next.over != "" || string(r.Carry) != f.next.tail || slices.Contains(sub.known, i) {
				break
			}
			if room = f.hasRoom(len(r.Data)); !room {
				break
			}
			res.record = len(f.records)
			f.append(*r)
			f.stores = true
		}
		sub.results = append(sub.results, res)
	}
	switch {
	case len(sub.results) > 0:
		f.accept(sub)
	case room:
		sub.answer(nil)
	}
	return room
}

func (f *fold) accept(sub *submission) {
	f.subs = append(f.subs, sub)
	if sub.create != nil && !sub.made {
		// What it holds may be beyond the new bounds already: it is looked at.
		f.configure(sub.create)
		sub.due = &f.g.now
	}
	if sub.due != nil {
		f.due = sub.due
	}
	sweeps := sub.sweeps != nil || sub.sweepAgain != nil
	f.used = f.used || sub.due == nil && !sweeps && !sub.proof || sub.create != nil
	if sweeps {
		f.sweep(sub)
	}
	if sub.order != "" {
		f.next.order = sub.order
	}
	if sub.by != nil {
		f.count(sub)
	}
	if sub.pin != nil {
		f.next.pins = f.next.pins.add(sub.pin.delta)
		f.state = append(f.state, sub.pin.entry)
		f.changed += len(sub.pin.entry.Key) + len(sub.pin.entry.Value)
	}
	sub.written.End, sub.written.Over, sub.kept = f.next.end, f.next.over, f.next.pins.All > 0
}

// duplicate returns the result of a record whose key has been used.
func (f *fold) duplicate(key string) (result, bool) {
	if key == "" || f.j.window < 0 {
		return result{}, false
	}
	if m, ok := f.s.keys.find(key, f.g.since); ok {
		return result{Appended{Offset: m.offset, Time: m.when(), Duplicate: true}, -1}, true
	}
	// One that is not stored yet: its result is known when it is.
	if i, ok := f.keys[key]; ok {
		return result{Appended{Duplicate: true}, i}, true
	}
	return result{}, false
}

// hasRoom reports whether a payload of n bytes can be added to the Tx and to
// its group. The first of a group always can.
func (f *fold) hasRoom(n int) bool {
	if len(f.records) >= f.j.maxTxRecords || n > f.j.maxTxBytes-f.bytes {
		return false
	}
	return n+recordBytes <= f.g.room || len(f.g.txs) == 0 && len(f.records) == 0
}

func (f *fold) append(r leat.Record) {
	if r.Key != "" && f.j.window >= 0 {
		if f.keys == nil {
			f.keys = make(map[string]int)
		}
		f.keys[r.Key] = len(f.records)
	}
	r.Pos = f.next.end
	f.next.end = r.End()
	f.next.tail = tailOf(&r)
	if r.Kind == leat.KindEnd {
		f.next.over = leat.EndState(r.Type)
	}
	f.records = append(f.records, r)
	f.bytes += len(r.Data)
	f.g.room -= len(r.Data) + recordBytes
}

// tx returns the Tx, and completes what is next.
func (f *fold) tx() store.Tx {
	tx := store.Tx{Stream: f.s.name, Version: f.s.version, ContentType: f.next.typ.text, Records: f.records, State: f.state}
	set := func(key string, value []byte) { tx.State = append(tx.State, store.Entry{Key: key, Value: value}) }
	was, next, now := &f.s.state, &f.next, f.g.now
	if next.over.Gone() {
		next.config, next.lives = nil, lives{}
	}
	if next.ttl > 0 && f.used {
		if f.j.alone {
			next.access = now
		}
		if t, ok := next.renewal(now); ok {
			next.expiry = t
			set(stateExpiry, encodeTime(t))
		}
	}
	if was.config != next.config || was.fork != next.fork || was.pins != next.pins {
		set(stateConfig, encodeKept(next))
	}
	if was.config != nil && next.config == nil {
		set(stateExpiry, nil)
	}
	if was.over != next.over {
		set(stateEnd, valueOf(string(next.over)))
	}
	if was.tail != next.tail {
		set(stateTail, valueOf(next.tail))
	}
	if was.order != next.order {
		set(stateOrder, valueOf(next.order))
	}
	if was.closer != next.closer {
		set(stateCloser, valueOf(next.closer))
	}
	if !was.census.equal(next.census) {
		set(stateCensus, next.census.encode())
	}
	for _, c := range f.changes {
		set(c.key, c.value)
	}
	if f.due != nil {
		next.due = *f.due
	}
	if f.used {
		// A stream keeps its due time, whatever is appended, if that is early
		// enough: what is found not to be due yet is set anew.
		due := f.j.dueOf(f.s.name, next, now)
		if !due.IsZero() && (next.due.IsZero() || due.Before(next.due)) {
			next.due, f.due = due, new(time.Time)
			*f.due = due
		}
	}
	tx.Due = f.due
	return tx
}

// valueOf returns nil, which removes a value, for an empty text.
func valueOf(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// dueOf returns the earliest time at which something may have to be done because
// of what is written to a stream now, zero for never.
func (j *Journal) dueOf(name string, st *state, now time.Time) time.Time {
	if st.over.Gone() {
		return now // what it held is removed, whatever becomes of who ended it
	}
	due := st.expires
	earliest := func(t time.Time) {
		if due.IsZero() || t.Before(due) {
			due = t
		}
	}
	if !st.census.due.IsZero() {
		earliest(st.census.due)
	}
	if until := st.until(); st.ttl > 0 && !until.IsZero() {
		earliest(until)
	}
	if age := j.retention(name, st.config).Age; age > 0 {
		earliest(now.Add(late(age)))
	}
	return due
}

// answerDuplicates answers submissions when there is nothing to commit. mu is
// held.
func (f *fold) answerDuplicates() {
	for _, sub := range f.subs {
		sub.stored, sub.unsure, sub.gen = true, true, f.gen
		sub.answer(nil)
	}
}

// settle makes known what became of a group. mu is held.
func (j *Journal) settle(g *group, results []store.Result, err error) {
	for i, f := range g.folds {
		err, version := err, uint64(0)
		if err == nil {
			err, version = results[i].Err, results[i].Version
		}
		if err == nil {
			j.stored.records += int64(len(f.records))
			j.stored.bytes += int64(f.bytes)
			f.s.ours = true
			f.s.born = f.born || f.s.born && f.next.fork != nil
			if n := len(f.records); n > 0 {
				f.s.seen = f.records[n-1].Offset.Seq
			}
		}
		if err != nil {
			f.s.forget()
		} else if f.s.gen == f.gen { // else somebody knows better by now
			f.advance(version)
		}
		f.answer(err)
		if len(f.s.queue) > 0 {
			j.wait(f.s) // what did not fit
		}
		j.unpin(f.s)
	}
}

// answer tells those who wait for it what became of the Tx.
func (f *fold) answer(err error) {
	for _, sub := range f.subs {
		if err != nil {
			sub.results = nil
		}
		if errors.Is(err, store.ErrConflict) {
			sub.answer(nil)
			continue
		}
		for i := range sub.results {
			if r := &sub.results[i]; r.record >= 0 {
				r.Offset, r.Time = f.records[r.record].Offset, f.records[r.record].Time
			}
		}
		if n := len(sub.results); n > 0 {
			sub.written.Last = sub.results[n-1].Offset
		}
		sub.stored = err == nil
		sub.answer(err)
	}
}

// advance makes what is known of the stream what the Tx has made of it.
func (f *fold) advance(version uint64) {
	s := f.s
	last := s.last
	if n := len(f.records); n > 0 {
		last = f.records[n-1].Offset.Seq
	}
	f.next.last, f.next.version = last, version
	if f.next.ttl > 0 {
		f.next.access = later(f.next.access, s.access) // it may have been read meanwhile
	}
	s.state = f.next
	for _, c := range f.changes {
		if p := s.producers[c.key]; p != nil {
			p.accepted, p.loaded = c.accepted, true
		}
	}
	s.records += int64(len(f.records))
	s.bytes += int64(f.bytes)
	f.j.bounded(s)
	if !f.current || f.j.window < 0 {
		if len(f.keys) > 0 {
			s.unread = s.last // they are read when they are wanted
		}
		return
	}
	for i := range f.records {
		if r := &f.records[i]; r.Key != "" {
			s.keys.add(r, f.g.since)
		}
	}
	s.keys.through = max(s.keys.through, s.last)
}
