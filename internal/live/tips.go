package live

import (
	"context"
	"math"
	"slices"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A tip is what a feed knows of the newest entry of one of its streams.
type tip struct {
	seq uint64        // 0: nothing is known, or there is none
	end leat.EndState // empty unless that entry ended the stream
}

// tips are those of the streams that a filter names, in the order of its names.
// A filter with a pattern has none: there is always a stream that may yet come,
// so its readers are never done.
//
// They are noted by the dispatch of records that are committed after the feed
// was made, and by whoever joins it for what was there before. The two meet in
// any order: of two entries the one with the greater sequence counts.
type tips []tip

func newTips(f *leat.Filter) tips {
	if len(f.Patterns()) > 0 {
		return nil
	}
	return make(tips, len(f.Names()))
}

// note takes notice of an entry of the stream with the i-th name.
func (ts tips) note(i int, r *leat.Record) {
	if r.Offset.Seq <= ts[i].seq {
		return
	}
	ts[i] = tip{seq: r.Offset.Seq}
	if r.Kind == leat.KindEnd {
		ts[i].end = leat.EndState(r.Type)
	}
}

// ended reports whether all the streams have ended, at or before a position:
// who stands there has been given every end.
func (ts tips) ended(after uint64) bool {
	for _, t := range ts {
		if t.end == "" || t.seq > after {
			return false
		}
	}
	return len(ts) > 0
}

// nextEnd returns the position of the first of the ends behind a position, or, if
// there is none, the greatest there is.
func (ts tips) nextEnd(after uint64) uint64 {
	next := uint64(math.MaxUint64)
	for _, t := range ts {
		if t.end != "" && t.seq > after {
			next = min(next, t.seq)
		}
	}
	return next
}

// noteTip takes notice of a record in the tips. The caller holds mu.
func (fd *feed) noteTip(r *leat.Record) {
	if fd.tips == nil {
		return
	}
	if i, ok := slices.BinarySearch(fd.filter.Names(), r.Stream); ok {
		fd.tips.note(i, r)
	}
}

// made takes notice that the stream with the i-th name was made at a position. What
// befell one of that name before says nothing about it.
func (ts tips) made(i int, id uint64) {
	if id > ts[i].seq {
		ts[i] = tip{seq: id - 1}
	}
}

// learnTips reads the newest entry of each stream of a feed, once, for those
// that came before the feed. Who joins it does so before the first look, so that
// a reader of what has long ended does not wait for ever.
func (l *Live) learnTips(ctx context.Context, fd *feed, after uint64) error {
	fd.mu.Lock()
	known := fd.tips == nil || fd.learned
	fd.mu.Unlock()
	if known {
		return l.unlearnTips(ctx, fd, after)
	}
	for i, name := range fd.filter.Names() {
		r, id, err := l.newest(ctx, name)
		if err != nil {
			return err
		}
		fd.mu.Lock()
		fd.tips.made(i, id)
		if r != nil {
			fd.noteTip(r)
		}
		fd.mu.Unlock()
	}
	fd.mu.Lock()
	fd.learned = true
	fd.mu.Unlock()
	return nil
}

// unlearnTips forgets the end of a stream if one of that name was made since: that may
// have no entry yet that would tell. A reader that begins behind all that is known of
// a stream may be one of such a stream, of whose making, and of the end before it, the
// follower has yet to hear.
func (l *Live) unlearnTips(ctx context.Context, fd *feed, after uint64) error {
	for i, name := range fd.filter.Names() {
		fd.mu.Lock()
		look := fd.tips != nil && (fd.tips[i].end != "" || after > fd.tips[i].seq)
		fd.mu.Unlock()
		if !look {
			continue
		}
		info, err := l.store.Stream(ctx, name)
		if err != nil {
			return err
		}
		fd.mu.Lock()
		if info.Version != 0 {
			fd.tips.made(i, info.ID)
		}
		fd.mu.Unlock()
	}
	return nil
}

// newest returns the newest record of a stream up to the head, nil if there is
// none, and where the stream was made.
func (l *Live) newest(ctx context.Context, name string) (r *leat.Record, id uint64, err error) {
	head := l.head.Load()
	info, err := l.store.Stream(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	after := max(info.Last, 1) - 1
	if info.Last == 0 && l.store.Abilities().ReadAfterWrite {
		return nil, info.ID, nil
	}
	// A store that may lag tells of an older record; reads up to a head that
	// was seen are complete.
	var newest *leat.Record
	for {
		var b store.Batch
		if b, err = l.store.ReadStream(ctx, name, after, max(head, info.Last), l.pageBytes); err != nil {
			return nil, 0, err
		}
		if n := len(b.Records); n > 0 {
			newest = &b.Records[n-1]
		}
		if b.Next <= after || b.Next >= max(head, info.Last) {
			return newest, info.ID, nil
		}
		after = b.Next
	}
}
