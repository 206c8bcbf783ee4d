package pebblestore

import (
	"context"
	"slices"
	"time"

	"github.com/leat-dev/leat"
)

// Back returns where the last n records begin. See [store.Store].
func (s *Store) Back(ctx context.Context, f *leat.Filter, upTo uint64, n int) (uint64, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer s.release(v)
	upTo = v.limit(upTo)
	if n <= 0 {
		return upTo, nil
	}
	r := &reader{s: s, v: v, ctx: ctx, upTo: upTo}
	pos, err := r.back(f, n)
	return pos, s.wrap("reading the log backwards", err)
}

// back walks the log index backwards. Entries whose records are gone must not
// count: whether a record is still there follows from its stream's row, which
// is read once, so the records themselves are not touched.
func (r *reader) back(f *leat.Filter, n int) (uint64, error) {
	// With few streams their own last records decide, and a quiet stream in
	// a busy log costs nothing.
	sources, few, err := r.sources(f, 0)
	if err != nil {
		return 0, err
	}
	if few {
		return r.mergeBack(sources, n)
	}
	it, err := r.v.newIter(indexKey(nil, 0), indexKey(nil, r.upTo+1))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	m := matcher{filter: f}
	alive := make(map[uint64]source)
	for it.Last(); it.Valid(); it.Prev() {
		if r.batch.Keys++; r.batch.Keys%1024 == 0 && r.ctx.Err() != nil {
			return 0, r.ctx.Err()
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, err
		}
		e, err := decodeEntry(value)
		if err != nil {
			return 0, err
		}
		name, ok := m.match(&e)
		if !ok {
			continue
		}
		src, known := alive[e.id]
		if !known {
			if src, err = r.source(name, 0); err != nil {
				return 0, err
			}
			alive[e.id] = src
		}
		seq := indexSeq(it.Key())
		if src.id != e.id || seq < src.first {
			continue
		}
		if n--; n == 0 {
			return seq - 1, nil
		}
	}
	return 0, it.Error()
}

// mergeBack finds the n-th last record of a few streams: it takes the last n
// sequences of each, which is at most n keys for each.
func (r *reader) mergeBack(sources []source, n int) (uint64, error) {
	var seqs []uint64
	for _, src := range sources {
		it, err := r.v.newIter(recordKey(nil, src.id, src.first), recordKey(nil, src.id, src.last+1))
		if err != nil {
			return 0, err
		}
		had := len(seqs)
		for it.Last(); it.Valid() && len(seqs)-had < n; it.Prev() {
			r.batch.Keys++
			seqs = append(seqs, recordSeq(it.Key()))
		}
		if err := it.Close(); err != nil {
			return 0, err
		}
		if r.ctx.Err() != nil {
			return 0, r.ctx.Err()
		}
	}
	if len(seqs) < n {
		return 0, nil
	}
	slices.Sort(seqs)
	return seqs[len(seqs)-n] - 1, nil
}

// Seek finds a byte of a stream's content. See [store.Store].
func (s *Store) Seek(ctx context.Context, name string, pos int64) (seq uint64, start int64, err error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer s.release(v)
	r := &reader{s: s, v: v, ctx: ctx, upTo: v.head}
	seq, start, err = r.seek(name, pos)
	return seq, start, s.wrap("looking up a position", err)
}

// seek searches the records of one stream, whose positions never decrease.
func (r *reader) seek(name string, pos int64) (seq uint64, start int64, err error) {
	src, err := r.source(name, 0)
	if err != nil || src.name == "" {
		return 0, 0, err
	}
	it, err := r.v.newIter(recordKey(nil, src.id, src.first), recordKey(nil, src.id, src.last+1))
	if err != nil {
		return 0, 0, err
	}
	defer it.Close()
	// Every record before lo ends too early, none from hi on does; seq is the
	// first of those, once one is known. As in at, a probe takes the first
	// record at or after the middle.
	lo, hi := src.first, src.last+1
	for lo < hi {
		mid := lo + (hi-lo)/2
		r.batch.Keys++
		r.key = recordKey(r.key, src.id, mid)
		if !it.SeekGE(r.key) {
			if err := it.Error(); err != nil {
				return 0, 0, err
			}
			hi = mid
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, 0, err
		}
		var rec leat.Record
		if err := decodeRecord(value, &rec); err != nil {
			return 0, 0, err
		}
		if rec.End() <= pos {
			lo = recordSeq(it.Key()) + 1
		} else {
			hi, seq, start = mid, recordSeq(it.Key()), rec.Pos
		}
		if r.ctx.Err() != nil {
			return 0, 0, r.ctx.Err()
		}
	}
	return seq, start, nil
}

// At finds a position by time. See [store.Store].
func (s *Store) At(ctx context.Context, t time.Time) (uint64, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer s.release(v)
	pos, err := v.at(ctx, t.UnixMicro(), t.Nanosecond()%1000 != 0)
	return pos, s.wrap("looking up a time", err)
}

// at searches the log index, whose times never decrease. later says that the
// time looked for is a little more than micros.
func (v *view) at(ctx context.Context, micros int64, later bool) (uint64, error) {
	it, err := v.newIter(indexKey(nil, 0), indexKey(nil, v.head+1))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	// Every entry before lo is too early, none from hi on is. Sequences have
	// holes, so a probe takes the first entry at or after the middle.
	lo, hi := uint64(0), v.head+1
	var key []byte
	for lo < hi {
		mid := lo + (hi-lo)/2
		key = indexKey(key, mid)
		if !it.SeekGE(key) {
			if err := it.Error(); err != nil {
				return 0, err
			}
			hi = mid
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, err
		}
		e, err := decodeEntry(value)
		if err != nil {
			return 0, err
		}
		if e.micros < micros || e.micros == micros && later {
			lo = indexSeq(it.Key()) + 1
		} else {
			hi = mid
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return max(lo, 1) - 1, nil
}
