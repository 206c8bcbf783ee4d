package journal

import (
	"errors"

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
	parts   []part
}

// A part is what a fold does for one submission: the results that follow those
// it has.
type part struct {
	sub     *submission
	results []result
}

// A result is complete, or that of a record of the Tx.
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
	for full := false; len(s.queue) > 0 && !full; {
		sub := s.queue[0]
		switch {
		case sub.left:
		case f.fits(sub):
			full = !f.add(sub)
		default:
			sub.answer(nil)
		}
		if full && !f.has(sub) {
			break // nothing of it found room: it keeps its place
		}
		s.queue[0] = nil
		s.queue = s.queue[1:]
	}
	if len(f.records) == 0 {
		f.answerDuplicates()
	}
	return f
}

// has reports whether sub is the last that something was added of.
func (f *fold) has(sub *submission) bool {
	return len(f.parts) > 0 && f.parts[len(f.parts)-1].sub == sub
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
	case s.version == 0 && len(f.parts) == 0:
		f.typ = sub.typ
	}
	// Of two that make the stream with different types the first wins, and
	// the other is prepared again. One of the same type may stay as it is.
	return sub.typ.essence == f.typ.essence
}

// add adds what sub has not got results for, and reports whether all of it
// found room.
func (f *fold) add(sub *submission) bool {
	p := part{sub: sub, results: make([]result, 0, len(sub.records)-len(sub.results))}
	complete := true
	for _, r := range sub.records[len(sub.results):] {
		if dup, ok := f.duplicate(r.Key); ok {
			p.results = append(p.results, dup)
			continue
		}
		if complete = f.hasRoom(len(r.Data)); !complete {
			break
		}
		p.results = append(p.results, result{record: len(f.records)})
		f.append(r)
	}
	if len(p.results) > 0 {
		f.parts = append(f.parts, p)
	}
	return complete
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

// answerDuplicates answers submissions when there is nothing to commit. If
// one has more records its caller submits these again. mu is held.
func (f *fold) answerDuplicates() {
	for _, p := range f.parts {
		for _, r := range p.results {
			p.sub.results = append(p.sub.results, r.Appended)
		}
		p.sub.unsure, p.sub.gen = len(p.results), f.gen
		p.sub.answer(nil)
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
		if errors.Is(err, store.ErrConflict) {
			for _, p := range f.parts {
				p.sub.answer(nil)
			}
		} else {
			f.settle(err)
		}
		if len(f.s.queue) > 0 {
			j.wait(f.s) // what did not fit
		}
		j.unpin(f.s)
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

// settle gives their results to the submissions of a Tx that was stored, or
// the reason why it was not. One of which more is to be stored queues again.
func (f *fold) settle(err error) {
	for _, p := range f.parts {
		if err != nil {
			p.sub.answer(err)
			continue
		}
		for _, r := range p.results {
			if r.record >= 0 {
				r.Offset, r.Time = f.records[r.record].Offset, f.records[r.record].Time
			}
			p.sub.results = append(p.sub.results, r.Appended)
		}
		if len(p.sub.results) == len(p.sub.records) {
			p.sub.answer(nil)
		} else {
			f.s.queue = append(f.s.queue, p.sub)
		}
	}
}
