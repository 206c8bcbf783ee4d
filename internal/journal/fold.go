package journal

import (
	"errors"
	"slices"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A fold is one Tx in the making: what several submissions append to one
// stream.
type fold struct {
	j       *Journal
	g       *group
	s       *stream
	gen     uint64      // of s
	typ     contentType // of the stream once the Tx is stored
	current bool        // the keys of s are
	records []leat.Record
	bytes   int            // of their payloads
	keys    map[string]int // the index of each record that has a key
	subs    []*submission  // those that have results
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
	f := &fold{j: j, g: g, s: s, gen: s.gen, typ: s.typ, current: s.keysCurrent()}
	taken := 0
	for full := false; taken < len(s.queue) && !full; taken++ {
		sub := s.queue[taken]
		switch {
		case sub.left:
		case f.fits(sub):
			full = !f.add(sub)
		default:
			sub.answer(nil)
		}
		if full && len(sub.results) == 0 {
			break // nothing of it found room: it keeps its turn
		}
	}
	s.queue = slices.Delete(s.queue, 0, taken)
	if len(f.records) == 0 {
		f.answerDuplicates()
	}
	return f
}

// fits reports whether a submission was prepared for the state that s has, or
// for the one that this Tx gives it.
func (f *fold) fits(sub *submission) bool {
	s := f.s
	switch {
	case !s.known, sub.keyed && !f.current:
		return false
	case s.version == 0 && !sub.made:
		return false // the type that it was prepared for went with the stream
	case s.version == 0 && len(f.subs) == 0:
		f.typ = sub.typ
	}
	// Of two that make the stream with different types the first wins, and
	// the other is prepared again. One of the same type may stay as it is.
	return sub.typ.essence == f.typ.essence
}

// add adds the records of sub, and reports whether all of them found room. The
// caller of sub submits the rest again.
func (f *fold) add(sub *submission) bool {
	for _, r := range sub.records {
		res, duplicate := f.duplicate(r.Key)
		if !duplicate {
			if !f.hasRoom(len(r.Data)) {
				break
			}
			res.record = len(f.records)
			f.append(r)
		}
		sub.results = append(sub.results, res)
	}
	if len(sub.results) > 0 {
		f.subs = append(f.subs, sub)
	}
	return len(sub.results) == len(sub.records)
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
	r.Pos = f.s.end + int64(f.bytes)
	f.records = append(f.records, r)
	f.bytes += len(r.Data)
	f.g.room -= len(r.Data) + recordBytes
}

func (f *fold) tx() store.Tx {
	return store.Tx{Stream: f.s.name, Version: f.s.version, ContentType: f.typ.text, Records: f.records}
}

// answerDuplicates answers submissions when there is nothing to commit. mu is
// held.
func (f *fold) answerDuplicates() {
	for _, sub := range f.subs {
		sub.unsure, sub.gen = true, f.gen
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
		sub.answer(err)
	}
}

// advance makes what is known of the stream what the Tx has made of it.
func (f *fold) advance(version uint64) {
	s := f.s
	s.version, s.typ = version, f.typ
	s.end += int64(f.bytes)
	s.last = f.records[len(f.records)-1].Offset.Seq
	if !f.current || f.j.window < 0 {
		return // there was no key among the records
	}
	for i := range f.records {
		if r := &f.records[i]; r.Key != "" {
			s.keys.add(r, f.g.since)
		}
	}
	s.keys.through = max(s.keys.through, s.last)
}
