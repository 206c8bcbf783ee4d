package pebblestore

import (
	"bytes"
	"slices"

	"github.com/leat-dev/leat"
)

// The bounds of one window of the log index: entries looked at, and entries
// that match, which are fetched together.
const (
	mostWalked  = 8192
	mostMatched = 1024
)

// A hit is an entry of the log index that passes the filter.
type hit struct {
	id, seq uint64
	name    string
	rec     leat.Record
	found   bool
}

// walk reads one window of the log index and then fetches the records of the
// entries that pass the filter, in key order: the records of one stream lie
// side by side, so a window costs one seek for each stream in it.
func (r *reader) walk(f *leat.Filter, after uint64) error {
	hits, err := r.window(f, after)
	if err != nil {
		return err
	}
	order := make([]*hit, len(hits))
	for i := range hits {
		order[i] = &hits[i]
	}
	slices.SortFunc(order, func(a, b *hit) int {
		if c := compare(a.id, b.id); c != 0 {
			return c
		}
		return compare(a.seq, b.seq)
	})
	if err := r.fetch(order); err != nil {
		return err
	}
	r.batch.Records = make([]leat.Record, 0, len(hits))
	for i := range hits {
		// An entry may be left over from a stream that was dropped.
		if hits[i].found {
			r.batch.Records = append(r.batch.Records, hits[i].rec)
		}
	}
	return nil
}

// window returns the entries after a position that pass the filter, as many
// as fit into the batch, and sets how far it came.
func (r *reader) window(f *leat.Filter, after uint64) ([]hit, error) {
	it, err := r.v.newIter(indexKey(nil, after+1), indexKey(nil, r.upTo+1))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	m := matcher{filter: f}
	var hits []hit
	size := 0
	r.batch.Next = after
	for it.First(); it.Valid(); it.Next() {
		// r.batch.Next is always the last entry that was dealt with, so it is
		// safe to stop anywhere.
		if r.batch.Keys++; r.batch.Keys > mostWalked || len(hits) == mostMatched {
			return hits, nil
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		e, err := decodeEntry(value)
		if err != nil {
			return nil, err
		}
		r.batch.Next = indexSeq(it.Key())
		name, ok := m.match(&e)
		if !ok {
			continue
		}
		hits = append(hits, hit{id: e.id, seq: r.batch.Next, name: name})
		if size += int(e.size); size >= r.bytes {
			return hits, nil
		}
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	r.batch.Next = r.upTo
	return hits, nil
}

// fetch reads the records of hits that are sorted by id and sequence.
func (r *reader) fetch(order []*hit) error {
	if len(order) == 0 {
		return nil
	}
	last := order[len(order)-1]
	it, err := r.v.newIter(recordKey(nil, order[0].id, order[0].seq), recordKey(nil, last.id, last.seq+1))
	if err != nil {
		return err
	}
	defer it.Close()
	for i, h := range order {
		if i%256 == 255 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		r.key = recordKey(r.key, h.id, h.seq)
		r.batch.Keys++
		// All records of a stream that are in the window are hits, so after
		// one of them the next is beside it.
		beside := i > 0 && order[i-1].id == h.id && order[i-1].found
		if beside && it.Next() && bytes.Equal(it.Key(), r.key) ||
			it.SeekGE(r.key) && bytes.Equal(it.Key(), r.key) {
			h.found = true
			if h.rec, err = r.decode(it, h.name, h.seq); err != nil {
				return err
			}
		} else if err := it.Error(); err != nil {
			return err
		}
	}
	return nil
}

// A matcher remembers which streams pass a filter, and their names, so that
// a name is matched and copied once in a window.
type matcher struct {
	filter *leat.Filter
	names  map[uint64]string // id → name, empty if it does not pass
}

func (m *matcher) match(e *entry) (string, bool) {
	name, known := m.names[e.id]
	if !known {
		if m.names == nil {
			m.names = make(map[uint64]string)
		}
		if name = string(e.name); !m.filter.Match(name) {
			name = ""
		}
		m.names[e.id] = name
	}
	return name, name != ""
}
