package journal

import (
	"context"
	"sort"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A Lineage is what a fork has of other streams: the first record of a segment
// follows the last of the one before. It is immutable.
type Lineage struct {
	ID       uint64 // of the fork
	Name     string // of the fork
	Segments []Segment
}

// A Segment is what a fork has of one stream.
type Segment struct {
	Stream  string
	Through uint64 // the position of the last record, at most
	End     int64  // the byte after it
}

// Through returns the position up to which a lineage goes. All the fork's own
// records come after it. Without a lineage it is 0.
func (l *Lineage) Through() uint64 {
	if l == nil {
		return 0
	}
	return l.Segments[len(l.Segments)-1].Through
}

// Read returns inherited records after a position, which is before Through, as the
// fork's: as store.Store.ReadStream does, but never beyond the segment that the
// position is in, so that there may be none.
func (l *Lineage) Read(ctx context.Context, st store.Store, after, upTo uint64, bytes int) (store.Batch, error) {
	i := 0
	for l.Segments[i].Through <= after {
		i++
	}
	seg := &l.Segments[i]
	through := min(seg.Through, upTo)
	b, err := st.ReadStream(ctx, seg.Stream, after, through, bytes)
	if err != nil {
		return b, err
	}
	// The batch is the store's. An end, as one before which a fork was made may
	// follow the last record, is the source's and not the fork's.
	records := make([]leat.Record, 0, len(b.Records))
	for _, r := range b.Records {
		if r.Kind != leat.KindEnd {
			r.Stream = l.Name
			records = append(records, r)
		}
	}
	b.Records = records
	return b, nil
}

// Lineage returns what the stream that m is of has of others, nil if nothing. Each
// source costs a look into the store.
func (j *Journal) Lineage(ctx context.Context, m Meta) (*Lineage, error) {
	if m.origin == nil {
		return nil, nil
	}
	l := &Lineage{ID: m.ID, Name: m.Name}
	var back []Segment
	through, end := m.origin.Through, m.origin.Base
	for o := m.origin; o != nil; {
		through, end = min(through, o.Through), min(end, o.Base)
		back = append(back, Segment{o.Source, through, end})
		info, err := j.st.Stream(ctx, o.Source, stateKeys...)
		if err != nil {
			return nil, err
		}
		st, err := stateOf(&info)
		switch {
		case err != nil:
			return nil, err
		case info.ID != o.ID:
			return nil, errNoStream(m.Name) // it has gone in this moment
		}
		o = st.inherits(&info)
	}
	for i := range back {
		if seg := back[len(back)-1-i]; seg.Through > 0 {
			l.Segments = append(l.Segments, seg)
		}
	}
	if len(l.Segments) == 0 {
		return nil, nil
	}
	return l, nil
}

// Back returns the position after which there are n records of a fork, or all that
// there are if they are fewer; f is the filter of its name.
func (l *Lineage) Back(ctx context.Context, st store.Store, f *leat.Filter, n int) (uint64, error) {
	upTo := uint64(0)
	for i := len(l.Segments); ; i-- {
		after, have, err := back(ctx, st, f, upTo, n)
		if err != nil || i == 0 || have == n {
			return after, err
		}
		n -= have
		seg := &l.Segments[i-1]
		if f, err = leat.ParseFilter(seg.Stream); err != nil {
			return 0, err
		}
		upTo = seg.Through
		b, err := st.ReadStream(ctx, seg.Stream, upTo-1, upTo, 1)
		if err != nil {
			return 0, err
		}
		if len(b.Records) > 0 && b.Records[0].Kind == leat.KindEnd {
			upTo-- // it is the source's and no record of the fork
		}
	}
}

// back is store.Store.Back, and says how many records there are.
func back(ctx context.Context, st store.Store, f *leat.Filter, upTo uint64, n int) (after uint64, have int, err error) {
	if after, err = st.Back(ctx, f, upTo, n); err != nil {
		return 0, 0, err
	}
	// Many more are not to be read only to be counted.
	have = sort.Search(n, func(fewer int) bool {
		var from uint64
		var b store.Batch
		if err == nil {
			from, err = st.Back(ctx, f, upTo, fewer)
		}
		if err == nil && from > 0 {
			b, err = st.ReadStream(ctx, f.Names()[0], 0, from, 1)
		}
		return err == nil && len(b.Records) == 0
	})
	return after, have, err
}

// at returns the stream that has a byte that is inherited.
func (l *Lineage) at(pos int64) string {
	for i := range l.segments() {
		if pos < l.Segments[i].End {
			return l.Segments[i].Stream
		}
	}
	return l.Name
}

func (l *Lineage) segments() []Segment {
	if l == nil {
		return nil
	}
	return l.Segments
}
