package live

import (
	"context"
	"errors"
	"math"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/journal"
)

// A Waker is told that a reader has something to look at. Wake must return at
// once and may be called by any goroutine, also when nothing is new and after
// the reader was closed.
type Waker interface{ Wake() }

// A State is what a reader finds.
type State int

// The states.
const (
	// Idle: nothing is due. The Waker is called when that changes.
	Idle State = iota

	// Due: there are bytes to send.
	Due

	// Gap: records that were due are gone or passed over, and the reader has
	// to be told before anything else. See Reader.TakeGap.
	Gap

	// Failed: the reader cannot go on. See Reader.Err.
	Failed

	// Ended: all has been sent that there will ever be. The filter names
	// streams, no pattern, and each of them has ended; or the reader has come to
	// the position Until of its Start.
	Ended
)

// ErrOvertaken is why a reader cannot go on that has been sent part of a
// frame whose record was removed before the rest was sent.
var ErrOvertaken = errors.New("the record was removed while it was being sent")

// A Reader is a place in a feed. Its methods may be called by one goroutine
// at a time.
type Reader struct {
	// Static after construction.
	live  *Live
	feed  *feed
	waker Waker
	came  uint64 // what was there before, up to this position, is no lag

	// Owned by the caller.
	after uint64   // the last record sent whole, or passed over
	next  uint64   // the record that was begun, if sent > 0
	told  uint64   // the removals that were told or are not owed, by their number
	floor uint64   // up to here only what the store still had after these counts
	until uint64   // it ends there; 0: with its streams
	gap   *Missing // to be told
	sent  int32    // bytes that were sent of the record that was begun

	// Guarded by the feed's mu.
	waitsAt int32
	waitsIn *[]*Reader
	failed  error
}

// Filter returns what the reader is a reader of. It may be called by many goroutines at
// once, also after Close, as Wake and Lag may.
func (r *Reader) Filter() *leat.Filter { return r.feed.filter }

// Wake has whoever reads look again.
func (r *Reader) Wake() { r.waker.Wake() }

// Lag returns how many records are due after a position, and whether there may be more,
// which are no longer in the tail.
func (r *Reader) Lag(after uint64) (records int, more bool) {
	fd := r.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return len(fd.frames) - due(fd.frames, after), after < fd.after
}

// A Start is where a reader begins.
type Start struct {
	// After is the position after which it is owed records; 0 is the start
	// of what there is.
	After uint64

	// Told is the number of the last removal that it is not to be told of.
	// A reader that resumes has 0: whatever it missed since is a gap.
	Told uint64

	// Next and Sent say that the reader has been sent the first Sent bytes of
	// the frame of the record with the sequence Next, the first one after
	// After. With Sent 0 Next means nothing.
	Next uint64
	Sent int

	// Patient says that the reader is never too slow, since it does not want all
	// that comes.
	Patient bool

	// Lineage is what the stream that the filter names has of others, and what
	// its readers get before its own records. nil: nothing.
	Lineage *journal.Lineage

	// Until is the last position that the reader is given anything of. 0: there
	// is no such position.
	Until uint64

	// floor is the last record that these removals took after After: up to
	// there the reader gets what they left.
	floor uint64
}

// Join makes a reader of the feed for a filter and an encoding. It must be
// closed. w is called when the reader is Idle and something is due. The first
// reader of a feed waits for the store to tell whether the streams have ended.
func (l *Live) Join(ctx context.Context, filter *leat.Filter, enc frame.Encoding, start Start, w Waker) (*Reader, error) {
	r := l.join(filter, enc, start, w)
	if err := l.learnTips(ctx, r.feed, start.After); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (l *Live) join(filter *leat.Filter, enc frame.Encoding, start Start, w Waker) *Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	// It moves under mu only: every record after it will be listed in a feed that is
	// registered now. What a fork inherits is not, also if the head has not come to it yet.
	head := l.head.Load()
	key := feedKey{filter.String(), enc, 0}
	if start.Lineage != nil {
		key.fork = start.Lineage.ID
	}
	fd := l.feeds[key]
	if fd == nil {
		l.made++
		fd = &feed{
			key: key, filter: filter, lineage: start.Lineage, encoding: enc, number: l.made,
			after: max(head, start.Lineage.Through()), failed: l.failed, tips: newTips(filter), slow: newSlowness(l.slow, filter),
		}
		l.feeds[key] = fd
		l.index.add(fd)
	}
	fd.mu.Lock()
	fd.readers++
	fd.mu.Unlock()
	l.readers++
	came := head
	if start.Patient {
		came = math.MaxUint64
	}
	return &Reader{
		live: l, feed: fd, waker: w, came: came,
		after: start.After, next: start.Next, sent: int32(start.Sent), told: start.Told, floor: start.floor, until: start.Until,
	}
}

// Close takes the reader out of its feed. Only the first call does something.
func (r *Reader) Close() {
	l, fd := r.live, r.feed
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.feed == nil {
		return
	}
	fd.mu.Lock()
	fd.unwait(r)
	fd.readers--
	fd.mu.Unlock()
	r.feed = nil
	l.readers--
	if fd.readers == 0 {
		l.index.remove(fd)
		delete(l.feeds, fd.key)
		fd.end()
	}
}

// After returns the position: every record up to it that was due has been sent
// whole, told as gone, or never existed.
func (r *Reader) After() uint64 { return r.after }

// Between reports whether the reader stands between two frames, where other
// bytes may be sent.
func (r *Reader) Between() bool { return r.sent == 0 }

// Err returns why the reader cannot go on.
func (r *Reader) Err() error {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	return r.feed.failed
}

// LastEnd reports whether all streams have ended that the filter names, and the
// position of the last end. It is false for a filter with a pattern.
func (r *Reader) LastEnd() (last uint64, ended bool) {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	for _, t := range r.feed.tips {
		last = max(last, t.seq)
	}
	return last, r.feed.tips.ended(last)
}

// EndState returns how the stream ended, after Peek has returned Ended: of
// several the state of the first that is not complete.
func (r *Reader) EndState() leat.EndState {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	for _, t := range r.feed.tips {
		if t.end != leat.EndComplete {
			return t.end
		}
	}
	return leat.EndComplete
}

// TakeGap returns what the reader has to be told after Peek returned Gap. If it is
// told that it was skipped forward, its position moves by this.
func (r *Reader) TakeGap() *Missing {
	gap := r.gap
	r.gap = nil
	if gap.Skipped {
		r.after = gap.Through
	}
	return gap
}

// Peek fills out with bytes that are due, about size of them, and says what it found.
// When it finds nothing, Idle or Ended, the position moves up to the head.
func (r *Reader) Peek(out *frame.Ranges, size int) State {
	out.Reset()
	// Loaded first: frames up to head are listed before head is moved.
	head := r.live.head.Load()
	fd := r.feed
	fd.mu.Lock()
	defer fd.mu.Unlock()
	for {
		switch {
		case r.gap != nil:
			return Gap
		case r.failed != nil || fd.failed != nil:
			return Failed
		case r.until > 0 && r.after >= r.until:
			return Ended
		case r.after >= max(fd.after, r.floor):
			i := due(fd.frames, r.after)
			if i == r.most(fd.frames) {
				r.after = max(r.after, r.bound(head))
				if r.until > 0 && r.after >= r.until {
					return Ended
				}
				if fd.tips.ended(r.after) {
					return Ended
				}
				fd.wait(&fd.atEnd, r)
				return Idle
			}
			if state, ok := r.fill(out, fd.frames[i:r.most(fd.frames)], size); ok {
				return state
			}
			fd.cutTail(i)
		default:
			if fd.history == nil {
				fd.history = new(history)
			}
			p, upTo := fd.pageAt(r.after, max(fd.after, r.floor))
			if p == nil {
				r.live.requestPage(fd, r.after, upTo, r.live.pageBytes)
				fd.wait(&fd.atHole, r)
				return Idle
			}
			if r.passRemovals(p) {
				return Gap
			}
			if p.order < r.told && r.after < r.floor {
				fd.dropPage(p) // read before what the reader was told
				continue
			}
			frames := p.frames[due(p.frames, r.after):r.most(p.frames)]
			if len(frames) == 0 {
				if r.sent > 0 && p.through >= r.next {
					return r.overtaken()
				}
				r.after = r.bound(p.through)
				continue
			}
			if r.sent > 0 && r.told < p.order {
				frames = frames[:1] // before the next there may be a gap to tell
			}
			if state, ok := r.fill(out, frames, size); ok {
				r.live.readOn(fd, p)
				return state
			}
			fd.dropPage(p)
		}
	}
}

// most returns how many frames, from the first on, are not behind the position at
// which the reader ends.
func (r *Reader) most(frames []frame.Frame) int {
	if r.until == 0 {
		return len(frames)
	}
	return due(frames, r.until)
}

// bound returns a position, or the one at which the reader ends if it is behind that.
func (r *Reader) bound(position uint64) uint64 {
	if r.until == 0 {
		return position
	}
	return min(position, r.until)
}

// fill puts frames into out. It is not ok if the first has no bytes any more.
func (r *Reader) fill(out *frame.Ranges, frames []frame.Frame, size int) (state State, ok bool) {
	if r.sent > 0 && frames[0].Seq != r.next {
		return r.overtaken(), true
	}
	return Due, out.Fill(frames, int(r.sent), size)
}

// overtaken ends a reader. The caller holds the feed's mu.
func (r *Reader) overtaken() State {
	r.failed = ErrOvertaken
	return Failed
}

// passRemovals looks at what a page of history says is gone, and reports
// whether the reader has to be told.
//
// A removal can reach into what memory still holds, and nobody knows any more
// whether something before that was removed too. So that what is told is the
// truth, a reader that is told that records are gone gets none of them, even if
// it could: up to the last of them it reads what the store had left.
func (r *Reader) passRemovals(p *page) bool {
	if r.told >= p.order || r.sent > 0 {
		return false
	}
	since := r.told
	r.told = p.lost.newest
	if r.after == 0 {
		// The start is the earliest record there is: nothing is missing, but
		// from here on the reader gets what the store had left.
		r.floor = max(r.floor, p.lost.floor)
		return false
	}
	if r.gap = p.lost.missing(r.after, since); r.gap == nil {
		return false
	}
	r.floor = max(r.floor, p.lost.floor)
	return true
}

// Advance moves the position past n bytes of what Peek put into out.
func (r *Reader) Advance(out *frame.Ranges, n int) {
	last, next, sent := out.Written(n)
	if last > 0 {
		r.after = last
	}
	r.next, r.sent = next, int32(sent)
}
