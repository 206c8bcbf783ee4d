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
// again. What does not fit stays in the queue. If nothing is left to store,
// all that wait have got duplicates and are answered. mu is held.
func (j *Journal) fold(s *stream, g *group) *fold {
	f := &fold{j: j, g: g, s: s, gen: s.gen, typ: s.typ, current: s.keysCurrent()}
	full := false
	for len(s.queue) > 0 && !full {
		sub := s.queue[0]
		switch {
		case sub.left:
		case !f.fits(sub):
			sub.answer(nil)
		default:
			full = !f.add(sub)
		}
		if !full {
			s.queue[0] = nil
			s.queue = s.queue[1:]
		}
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
	if len(f.records) == 0 {
		f.settleDuplicates()
	} else if full && f.parts[len(f.parts)-1].sub == s.queue[0] {
		// It is in this group in part. It comes back to the queue, before
		// all others, when that part is settled.
		s.queue = s.queue[1:]
	}
	return f
}

// fits reports whether a submission was prepared for the state that s has, or
// for the one that this Tx gives it.
func (f *fold) fits(sub *submission) bool {
	s := f.s
	switch {
	case !s.known, sub.keyed && !f.current, sub.made != (s.version == 0):
		return false
	case sub.unsure > 0 && sub.gen != s.gen:
		return false // the commit of the rest would not prove what it has
	case sub.made && len(f.parts) == 0:
		f.typ = sub.typ
		return true
	}
	// Of two that make the stream with different types the first wins, and
	// the other is prepared again for a stream that is there.
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

// settleDuplicates gives their results to submissions when there is nothing to
// commit. mu is held.
func (f *fold) settleDuplicates() {
	for _, p := range f.parts {
		for _, r := range p.results {
			p.sub.results = append(p.sub.results, r.Appended)
		}
		p.sub.unsure += len(p.results)
		p.sub.gen = f.gen
		if len(p.sub.results) == len(p.sub.records) {
			p.sub.answer(nil)
		}
	}
}

// settle makes known what became of a group. mu is held.
func (j *Journal) settle(g *group, results []store.Result, err error) {
	for i, f := range g.folds {
		err, version := err, uint64(0)
		if err == nil {
			err, version = results[i].Err, results[i].Version
		}
		// What somebody has forgotten or read anew since is left to them.
		same := f.s.gen == f.gen
		switch {
		case err == nil && same:
			f.advance(version)
		case same:
			f.s.forget()
		}
		if errors.Is(err, store.ErrConflict) {
			for _, p := range f.parts {
				p.sub.answer(nil)
			}
		} else {
			f.settle(err)
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
// the reason why it was not. A submission of which more is to be stored goes
// back to the head of the queue, so that its records keep their order.
func (f *fold) settle(err error) {
	for _, p := range f.parts {
		if p.sub.left {
			continue
		}
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
		p.sub.unsure = 0
		if len(p.sub.results) == len(p.sub.records) {
			p.sub.answer(nil)
			continue
		}
		f.s.queue = slices.Insert(f.s.queue, 0, p.sub)
		f.j.wait(f.s)
	}
}
