package pebblestore

import (
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// ReadStream reads one stream. See [store.Store].
func (s *Store) ReadStream(ctx context.Context, name string, after, upTo uint64, bytes int) (store.Batch, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return store.Batch{}, err
	}
	defer s.release(v)
	r := s.reader(ctx, v, upTo, bytes)
	if after >= r.upTo {
		r.batch.Next = after
		return r.batch, nil
	}
	var sources []source
	src, err := r.source(name, after)
	if src.name != "" {
		sources = append(sources, src)
	}
	if err == nil {
		err = r.merge(sources)
	}
	return r.result("reading a stream", err)
}

// ReadLog reads all streams that pass a filter. See [store.Store].
func (s *Store) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return store.Batch{}, err
	}
	defer s.release(v)
	r := s.reader(ctx, v, upTo, bytes)
	if after >= r.upTo {
		r.batch.Next = after
		return r.batch, nil
	}
	sources, few, err := r.sources(f, after)
	switch {
	case err != nil:
	case few:
		err = r.merge(sources)
	default:
		err = r.walk(f, after)
	}
	return r.result("reading the log", err)
}

// A reader is one call that reads records.
type reader struct {
	s     *Store
	v     *view
	ctx   context.Context
	upTo  uint64
	bytes int

	got   int // payload bytes in batch
	batch store.Batch
	key   []byte
}

func (s *Store) reader(ctx context.Context, v *view, upTo uint64, bytes int) *reader {
	return &reader{
		s: s, v: v, ctx: ctx, upTo: v.limit(upTo), bytes: bytes,
		batch: store.Batch{Order: v.order, Recycle: s.memory.recycle},
	}
}

func (r *reader) result(doing string, err error) (store.Batch, error) {
	if err != nil {
		return store.Batch{}, r.s.wrap(doing, err)
	}
	return r.batch, nil
}

// add appends a record to the batch and reports whether there is room for
// more.
func (r *reader) add(rec leat.Record) bool {
	r.batch.Records = append(r.batch.Records, rec)
	r.got += len(rec.Data)
	return r.got < r.bytes
}

// decode returns the record at an iterator. Its payload is a copy of its own,
// so that keeping one record keeps nothing else.
func (r *reader) decode(it *pebble.Iterator, name string, seq uint64) (leat.Record, error) {
	rec := leat.Record{Stream: name, Offset: r.s.epochs.Offset(seq)}
	value, err := it.ValueAndErr()
	if err == nil {
		err = decodeRecord(value, &rec)
	}
	if err != nil {
		return rec, err
	}
	rec.Carry = slices.Clone(rec.Carry)
	rec.Data = r.s.memory.copy(rec.Data)
	return rec, nil
}

// A source is one stream that a reader reads.
type source struct {
	name  string // empty: nothing to read
	id    uint64
	first uint64 // no record of interest is before this
	last  uint64 // none is behind this
}

// source returns what there is to read of a stream after a position.
func (r *reader) source(name string, after uint64) (source, error) {
	r.batch.Keys++
	row, err := getRow(r.v.snap, r.key, name)
	if err != nil {
		return source{}, err
	}
	return r.sourceOf(name, &row, after), nil
}

func (r *reader) sourceOf(name string, row *row, after uint64) source {
	src := source{name: name, id: row.id, first: max(after, row.trimmed) + 1, last: min(row.last, r.upTo)}
	if row.records == 0 || src.last < src.first {
		return source{}
	}
	return src
}

const (
	// mostCandidates bounds the rows that are looked at to find out whether a
	// filter has few streams, mostSources what few is: above it, walking the
	// index costs less than an iterator for each stream.
	mostCandidates = 256
	mostSources    = 64
)

// sources returns the streams that pass a filter and have something after a
// position, if they are few. Rows are looked at first because most streams
// that a filter names have nothing new, and their records are then not
// touched.
func (r *reader) sources(f *leat.Filter, after uint64) (list []source, few bool, err error) {
	if len(f.Names()) > mostCandidates {
		return nil, false, nil
	}
	for _, p := range f.Patterns() {
		if p.Prefix() == "" {
			return nil, false, nil
		}
	}
	for _, name := range f.Names() {
		src, err := r.source(name, after)
		if err != nil {
			return nil, false, err
		}
		if src.name != "" {
			list = append(list, src)
		}
	}
	for _, p := range f.Patterns() {
		found, complete, err := r.matching(p, after)
		if err != nil || !complete {
			return nil, false, err
		}
		list = append(list, found...)
	}
	// Patterns may overlap.
	slices.SortFunc(list, func(a, b source) int { return compare(a.id, b.id) })
	list = slices.CompactFunc(list, func(a, b source) bool { return a.id == b.id })
	return list, len(list) <= mostSources, nil
}

// matching returns the streams that match a pattern and have something after
// a position. complete says that there are no more.
func (r *reader) matching(p leat.Pattern, after uint64) (list []source, complete bool, err error) {
	it, err := r.v.rows(p.Prefix(), "")
	if err != nil {
		return nil, false, err
	}
	defer it.Close()
	looked := 0
	for it.First(); it.Valid(); it.Next() {
		r.batch.Keys++
		if looked++; looked > mostCandidates {
			return nil, false, nil
		}
		name := string(it.Key()[1:])
		if !p.Match(name) {
			continue
		}
		row, err := rowAt(it)
		if err != nil {
			return nil, false, err
		}
		if src := r.sourceOf(name, &row, after); src.name != "" {
			list = append(list, src)
		}
	}
	return list, true, it.Error()
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// newIter returns an iterator over [lower, upper). It is for use by one
// goroutine and must be closed.
func (v *view) newIter(lower, upper []byte) (*pebble.Iterator, error) {
	return v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// rows returns an iterator over the rows whose names begin with prefix and
// sort after a name.
func (v *view) rows(prefix, after string) (*pebble.Iterator, error) {
	lower := rowKey(nil, prefix)
	upper := successor(nil, lower)
	if after >= prefix && after != "" {
		lower = append(rowKey(nil, after), 0)
	}
	return v.newIter(lower, upper)
}

func rowAt(it *pebble.Iterator) (row, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return row{}, err
	}
	return decodeRow(value)
}
