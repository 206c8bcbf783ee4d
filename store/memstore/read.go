package memstore

import (
	"context"
	"slices"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

const (
	// maxScan bounds how many entries one read looks at, and with it how
	// long it holds the lock: about half a millisecond.
	maxScan = 4096

	// maxLists bounds how many streams a pattern may mean if their lists are
	// to be merged instead of scanning the log.
	maxLists = 256

	// mergeCost is what one list costs, when lists are merged, in entries of
	// the log that could be scanned instead: finding the stream and the place
	// in its list.
	mergeCost = 8
)

// ReadStream implements [store.Store]. It also stops after some thousand
// records, however small they are.
func (s *Store) ReadStream(ctx context.Context, name string, after, upTo uint64, bytes int) (store.Batch, error) {
	if err := ctx.Err(); err != nil {
		return store.Batch{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return store.Batch{}, err
	}
	r := s.reader(after, upTo, bytes)
	if st := s.streams[name]; st != nil && after < r.upTo {
		r.list(&st.records)
	}
	return r.batch(), nil
}

// ReadLog implements [store.Store]. It merges the lists of single streams if
// the filter means few, and looks through the log otherwise.
func (s *Store) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	if err := ctx.Err(); err != nil {
		return store.Batch{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return store.Batch{}, err
	}
	r := s.reader(after, upTo, bytes)
	if after < r.upTo {
		lists, few := s.lists(f, r.upTo-after, &r.keys)
		switch {
		case !few:
			r.scan(f)
		case len(lists) == 1:
			r.list(lists[0])
		default:
			r.merge(lists)
		}
	}
	return r.batch(), nil
}

// A reader gathers what one Batch will have: entries first, so that the
// records, sixteen times as large, take no more memory than they need. Its
// maker holds mu until it is done.
type reader struct {
	store   *Store
	after   uint64
	upTo    uint64
	next    uint64
	bytes   int // still wanted
	keys    int
	entries []*entry
}

// reader returns a reader that has gathered nothing, up to upTo.
func (s *Store) reader(after, upTo uint64, bytes int) reader {
	upTo = s.bound(upTo)
	return reader{store: s, after: after, upTo: upTo, next: max(after, upTo), bytes: bytes}
}

func (r *reader) batch() store.Batch {
	b := store.Batch{Next: r.next, Order: r.store.order, Keys: r.keys}
	if len(r.entries) > 0 {
		b.Records = make([]leat.Record, len(r.entries))
		for i, e := range r.entries {
			b.Records[i] = r.store.record(e)
		}
	}
	return b
}

// bound is upTo lowered to the head; 0 is the head.
func (s *Store) bound(upTo uint64) uint64 {
	if head := s.head.Load(); upTo == 0 || upTo > head {
		return head
	}
	return upTo
}

// take gathers e and reports whether there is room for another.
func (r *reader) take(e *entry) bool {
	r.entries = append(r.entries, e)
	r.bytes -= len(e.data)
	if r.bytes <= 0 || len(r.entries) >= maxScan {
		r.next = e.seq
		return false
	}
	return true
}

// scan goes through the log.
func (r *reader) scan(f *leat.Filter) {
	var (
		last    *stream // many records come in runs of one stream
		matches bool
	)
	log := &r.store.log
	p := after(log, r.after)
	for e, ok := log.get(p); ok && e.seq <= r.upTo; e, ok = log.get(p) {
		r.keys++
		if e.stream != last {
			last, matches = e.stream, f.Match(e.stream.name)
		}
		if matches && !e.removed() && !r.take(e) {
			return
		}
		if r.keys >= maxScan {
			r.next = e.seq
			return
		}
		p = log.next(p)
	}
}

// list goes through the list of one stream.
func (r *reader) list(list *ordered[*entry]) {
	r.keys++
	p := after(list, r.after)
	for e, ok := list.get(p); ok && e.seq <= r.upTo; e, ok = list.get(p) {
		r.keys++
		if !r.take(e) {
			return
		}
		p = list.next(p)
	}
}

// merge goes through the lists of some streams, in log order.
func (r *reader) merge(lists []*ordered[*entry]) {
	h := make(heap, 0, len(lists))
	for _, list := range lists {
		r.keys++
		p := after(list, r.after)
		if e, ok := list.get(p); ok {
			h = append(h, cursor{rank: e.seq, entry: e, list: list, pos: p})
		}
	}
	h.order()
	for len(h) > 0 && h[0].entry.seq <= r.upTo {
		r.keys++
		if !r.take(h[0].entry) {
			return
		}
		h = h.advance()
	}
}

// lists returns the lists of the streams that pass the filter, unless there
// are so many of them that scanning a distance of the log costs less. It adds
// to keys the names that it looked at.
func (s *Store) lists(f *leat.Filter, distance uint64, keys *int) ([]*ordered[*entry], bool) {
	// A distance may span few entries, as sequences have holes. Then merging
	// costs more than it must, but never more than this.
	most := int(min(distance/mergeCost+1, maxScan))
	if len(f.Names()) > most {
		return nil, false
	}
	var lists []*ordered[*entry]
	for _, name := range f.Names() {
		*keys++
		if st := s.streams[name]; st != nil {
			lists = append(lists, &st.records)
		}
	}
	looked := 0
	for i, pattern := range f.Patterns() {
		prefix := pattern.Prefix()
		if prefix == "" {
			return nil, false // most of the log, as far as the index can tell
		}
		p := s.names.seek(func(st *stream) bool { return st.name < prefix })
		for st, ok := s.names.get(p); ok && strings.HasPrefix(st.name, prefix); st, ok = s.names.get(p) {
			if looked++; looked > min(most, maxLists) {
				return nil, false
			}
			if pattern.Match(st.name) && !seen(f, i, st.name) {
				lists = append(lists, &st.records)
			}
			p = s.names.next(p)
		}
	}
	*keys += looked
	return lists, true
}

// seen reports whether a name, or a pattern before the i-th, has brought in
// the stream already.
func seen(f *leat.Filter, i int, name string) bool {
	if _, ok := slices.BinarySearch(f.Names(), name); ok {
		return true
	}
	return slices.ContainsFunc(f.Patterns()[:i], func(p leat.Pattern) bool { return p.Match(name) })
}
