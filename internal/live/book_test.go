package live_test

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leat-dev/leat"
)

// A book has what was done to a store: every record committed, every removal,
// and a clock that orders them against what readers were given.
type book struct {
	clock atomic.Int64

	mu       sync.Mutex
	streams  map[string][]leat.Record
	removals map[string][]*removal

	sorted []leat.Record // of all streams, once all is written
}

// A removal is of the records of one stream up to one of them.
type removal struct {
	through     uint64
	began, done int64
}

func newBook() *book {
	return &book{streams: make(map[string][]leat.Record), removals: make(map[string][]*removal)}
}

// tick returns the time: what has happened before has an earlier one.
func (b *book) tick() int64 { return b.clock.Add(1) }

func (b *book) commit(records []leat.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		of := b.streams[r.Stream]
		i := len(of)
		for i > 0 && of[i-1].Offset.Seq > r.Offset.Seq { // writers come here in any order
			i--
		}
		b.streams[r.Stream] = slices.Insert(of, i, r)
	}
}

// of returns the records of a stream so far.
func (b *book) of(stream string) []leat.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.streams[stream])
}

// remove notes that a removal begins; done is called when it has ended.
func (b *book) remove(stream string, through uint64) (done func()) {
	rm := &removal{through: through, began: b.tick()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removals[stream] = append(b.removals[stream], rm)
	return func() { rm.done = b.tick() }
}

// all returns the records of all streams, in log order. Nothing is written any
// more.
func (b *book) all() []leat.Record {
	if b.sorted == nil {
		for _, records := range b.streams {
			b.sorted = append(b.sorted, records...)
		}
		slices.SortFunc(b.sorted, func(x, y leat.Record) int { return int(x.Offset.Seq) - int(y.Offset.Seq) })
	}
	return b.sorted
}

// between returns the records after one position and before another.
func (b *book) between(after, before uint64) []leat.Record {
	all := b.all()
	i := sort.Search(len(all), func(i int) bool { return all[i].Offset.Seq > after })
	j := sort.Search(len(all), func(i int) bool { return all[i].Offset.Seq >= before })
	return all[i:max(i, j)]
}

// removedBefore reports whether the removal of a record had begun at a time.
func (b *book) removedBefore(r *leat.Record, at int64) bool {
	return slices.ContainsFunc(b.removals[r.Stream], func(rm *removal) bool {
		return rm.through >= r.Offset.Seq && rm.began < at
	})
}

// goneBefore reports whether the removal of a record had ended at a time.
func (b *book) goneBefore(r *leat.Record, at int64) bool {
	return slices.ContainsFunc(b.removals[r.Stream], func(rm *removal) bool {
		return rm.through >= r.Offset.Seq && rm.done > 0 && rm.done < at
	})
}

// A verdict follows one session through the book.
type verdict struct {
	book    *book
	session *session

	last       uint64            // every record up to here is accounted for
	explained  map[string]uint64 // by stream: told as gone up to here
	moreAt     int64             // when a gap last did not name all of its streams
	received   map[string]bool   // streams of which it got a record
	fromMemory int               // records that it got although the store had them no more
	faults     []string
}

func (v *verdict) faultf(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// sent accounts for a line: it is that of the record with its number, byte for
// byte; it comes after the one before; all between the two was told as gone; and
// it was not told as gone itself.
func (v *verdict) sent(ev event) {
	var seq uint64
	if _, err := fmt.Sscan(ev.line, &seq); err != nil {
		v.faultf("sent %.40q", ev.line)
		return
	}
	records := v.book.between(seq-1, seq+1)
	switch {
	case len(records) == 0:
		v.faultf("sent %d, which nobody wrote", seq)
		return
	case string(plain{}.Append(nil, &records[0])) != ev.line:
		v.faultf("sent %.40q for %d", ev.line, seq)
	case seq <= v.last:
		v.faultf("sent %d after %d", seq, v.last)
	case !v.session.filter.Match(records[0].Stream):
		v.faultf("sent %d of %s", seq, records[0].Stream)
	case seq <= v.explained[records[0].Stream]:
		v.faultf("sent %d of %s after that was told as gone through %d", seq, records[0].Stream, v.explained[records[0].Stream])
	}
	v.upTo(seq-1, ev.at)
	v.last = seq
	v.received[records[0].Stream] = true
	if v.book.goneBefore(&records[0], ev.at) {
		v.fromMemory++
	}
}

// upTo accounts for the records up to a position that were not sent.
func (v *verdict) upTo(position uint64, at int64) {
	for _, r := range v.book.between(v.last, position+1) {
		if v.session.filter.Match(r.Stream) {
			v.missed(&r, at)
		}
	}
	v.last = max(v.last, position)
}

func (v *verdict) missed(r *leat.Record, at int64) {
	seq := r.Offset.Seq
	switch {
	case v.explained[r.Stream] >= seq:
	case !v.book.removedBefore(r, at):
		v.faultf("%d of %s was passed over and is there", seq, r.Stream)
	case v.book.removedBefore(r, v.moreAt):
	case v.session.fresh && v.book.removedBefore(r, v.session.freshAt) && !v.received[r.Stream]:
	default:
		v.faultf("%d of %s is gone and was not told (after %d)", seq, r.Stream, v.last)
	}
}

// told accounts for a gap: it names streams that have lost something behind the
// position, and nothing that is still there.
func (v *verdict) told(ev event) {
	if ev.gap.Skipped {
		v.skipped(ev)
		return
	}
	v.upTo(ev.after, ev.at)
	if ev.gap.More > 0 {
		v.moreAt = ev.at
	}
	if len(ev.gap.Removed) == 0 {
		v.faultf("a gap of nothing")
	}
	for _, rm := range ev.gap.Removed {
		lost := 0
		for _, r := range v.book.between(ev.after, rm.Through+1) {
			if r.Stream != rm.Stream {
				continue
			}
			lost++
			if !v.book.removedBefore(&r, ev.at) {
				v.faultf("told %s through %d as gone, and %d is there", rm.Stream, rm.Through, r.Offset.Seq)
			}
		}
		if lost == 0 || !v.session.filter.Match(rm.Stream) {
			v.faultf("told %s through %d as gone at %d: nothing is missing", rm.Stream, rm.Through, ev.after)
		}
		v.explained[rm.Stream] = max(v.explained[rm.Stream], rm.Through)
	}
}

// skipped accounts for a gap of a reader that was too slow: it has been given all up to
// where the gap begins, was that far behind, and goes on where it is told.
func (v *verdict) skipped(ev event) {
	v.upTo(ev.gap.From, ev.at)
	if ev.gap.Through <= ev.gap.From || ev.gap.Through != ev.after || len(ev.gap.Removed) > 0 {
		v.faultf("skipped from %d to %d, and it goes on at %d, %v", ev.gap.From, ev.gap.Through, ev.after, ev.gap.Removed)
	}
	v.lag(ev.gap.From)
	v.last = max(v.last, ev.after)
}

// lag checks that a reader at a position can have been too slow.
func (v *verdict) lag(position uint64) {
	n := 0
	for _, r := range v.book.between(position, 1<<62) {
		if v.session.filter.Match(r.Stream) {
			n++
		}
	}
	if n <= campaignLag {
		v.faultf("too slow at %d with %d records to come", position, n)
	}
}

// overtaken accounts for a frame that was begun and not sent whole: there is a
// record that it is the beginning of, and it was removed.
func (v *verdict) overtaken() {
	for _, r := range v.book.between(v.last, 1<<62) {
		line := string(plain{}.Append(nil, &r))
		if v.session.filter.Match(r.Stream) && strings.HasPrefix(line, v.session.part) && v.book.removedBefore(&r, v.session.ended.at) {
			return
		}
	}
	v.faultf("overtaken in %.40q at %d, which was not removed", v.session.part, v.last)
}
