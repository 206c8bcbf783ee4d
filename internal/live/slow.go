package live

import (
	"slices"
	"strings"

	"github.com/leat-dev/leat"
)

// A SlowRule says when a reader of the streams that match a pattern is too slow, and
// what becomes of it then. Of several rules the first that matches a stream counts for
// it.
//
// A reader's lag is what it has yet to be sent of all that its filter has got since it
// came: records, as they were committed, whether they are still there or not, and
// bytes of their frames. What was there before it came does not count, so that who
// reads history is not too slow for having begun there.
type SlowRule struct {
	Pattern leat.Pattern

	// The most that a reader may lag behind, a sixteenth more at most by the time
	// it is noticed. 0: as far as it likes, by this measure.
	Records, Bytes int64

	// Skip has it go on at the head, with a gap that tells. Otherwise it is
	// disconnected.
	Skip bool
}

// A slowness is when a reader of a feed is too slow. A feed has one rather than its
// readers: it keeps the position up to which a reader has to have come, and looking at
// a reader is a comparison. It is guarded by the feed's mu.
type slowness struct {
	skip  bool
	rules []slowBounds
	limit uint64 // who has not come so far is too slow
}

// slowBounds are what one rule bounds.
type slowBounds struct{ records, bytes window }

// newSlowness returns the slowness of the readers of a filter, nil if they are never
// too slow.
//
// A filter of several streams is one list, with one lag. Its readers are too slow only
// by the rules of all streams that it may match together; they are skipped only if all
// of these say so; and if there is no rule for one, never. So nobody loses what the
// rule of some other stream gives away.
func newSlowness(rules []SlowRule, f *leat.Filter) *slowness {
	if len(rules) == 0 || f.String() == "" {
		return nil
	}
	var used []int
	for _, name := range f.Names() {
		i := slices.IndexFunc(rules, func(r SlowRule) bool { return r.Pattern.Match(name) })
		if i < 0 {
			return nil
		}
		used = append(used, i)
	}
	for _, p := range f.Patterns() {
		covered := false
		for i := 0; i < len(rules) && !covered; i++ {
			if meets(rules[i].Pattern.String(), p.String()) {
				used = append(used, i)
			}
			covered = covers(rules[i].Pattern.String(), p.String())
		}
		if !covered {
			return nil
		}
	}
	slices.Sort(used)
	s := &slowness{skip: true}
	for _, i := range slices.Compact(used) {
		r := rules[i]
		if r.Records <= 0 && r.Bytes <= 0 {
			return nil
		}
		s.skip = s.skip && r.Skip
		s.rules = append(s.rules, slowBounds{window{bound: r.Records}, window{bound: r.Bytes}})
	}
	return s
}

// note takes notice of a frame that the feed has got. s may be nil.
func (s *slowness) note(seq uint64, size int) {
	if s == nil {
		return
	}
	limit := ^uint64(0)
	for i := range s.rules {
		r := &s.rules[i]
		limit = min(limit, max(r.records.add(seq, 1), r.bytes.add(seq, int64(size))))
	}
	s.limit = limit
}

// passed reports whether a reader is too slow. s may be nil.
func (s *slowness) passed(r *Reader) bool { return s != nil && max(r.after, r.came) < s.limit }

// A window finds the position before which lies all but the newest part of a feed, of a
// size that is bounded. It knows it to a sixteenth of that size.
type window struct {
	bound int64 // 0: none
	total int64 // of all frames
	limit uint64
	marks []mark // in the window, oldest first
	last  int64  // the total at the newest mark
}

// A mark is the position of a frame, and the total up to it.
type mark struct {
	seq   uint64
	total int64
}

// add takes a frame in and returns the position that a reader must have come to in
// order not to be further behind than the bound.
func (w *window) add(seq uint64, n int64) uint64 {
	if w.bound <= 0 {
		return 0
	}
	w.total += n
	if w.total-w.last >= (w.bound+15)/16 {
		w.marks = append(w.marks, mark{seq, w.total})
		w.last = w.total
	}
	out := 0
	for out < len(w.marks) && w.total-w.marks[out].total >= w.bound {
		w.limit = w.marks[out].seq
		out++
	}
	w.marks = slices.Delete(w.marks, 0, out)
	return w.limit
}

// TooSlow reports whether the reader has fallen behind by more than it may and is to be
// disconnected. If it can be skipped forward instead, and is to be, then a Gap is what
// Peek finds next. It is to be called where other bytes than the rest of what was begun
// can be sent, before a Peek.
func (r *Reader) TooSlow(canSkip bool) bool {
	fd := r.feed
	if fd.slow == nil {
		return false
	}
	head := r.live.head.Load() // before the frames up to it are looked at
	fd.mu.Lock()
	defer fd.mu.Unlock()
	switch {
	case r.sent > 0 || r.gap != nil || !fd.slow.passed(r):
		return false
	case !fd.slow.skip || !canSkip:
		return true
	}
	// The end of a stream that the filter names is told in any case.
	if to := min(head, fd.tips.nextEnd(r.after)-1); to > r.after {
		r.gap = &Missing{Skipped: true, From: r.after, Through: to}
	}
	return false
}

// Late reports whether TooSlow would, wherever the reader is.
func (r *Reader) Late(canSkip bool) bool {
	fd := r.feed
	if fd.slow == nil {
		return false
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return fd.slow.passed(r) && !(fd.slow.skip && canSkip)
}

// covers reports whether a pattern matches all that another one matches.
func covers(pattern, other string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		if p == "**" {
			return true
		}
		o, orest, omore := strings.Cut(other, "/")
		if o == "**" || p != "*" && p != o || pmore != omore {
			return false
		}
		if !pmore {
			return true
		}
		pattern, other = prest, orest
	}
}

// meets reports whether some name matches two patterns.
func meets(pattern, other string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		o, orest, omore := strings.Cut(other, "/")
		switch {
		case p == "**" || o == "**":
			return true
		case p != "*" && o != "*" && p != o || pmore != omore:
			return false
		case !pmore:
			return true
		}
		pattern, other = prest, orest
	}
}
