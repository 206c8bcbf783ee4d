// Package live brings committed records to the readers that want them. A feed
// is all readers that share a filter and an encoding, with the list of frames
// they are due; a reader is a position in a feed and nothing else. What is in
// memory and what has to come from the store make one sequence without a gap
// or a repeat: a feed that is made when the log stands at H is given every
// record after H as it comes, and pages of history up to H when readers ask.
//
// live knows no encoding and no connection. It is woken by the store's Follow
// and by nothing else, and uses no timer.
package live

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/store"
)

var everything = leat.Everything()

// A Renderer makes frames and keeps their bytes for as long as it sees fit.
// All methods may be called by many goroutines at once.
type Renderer interface {
	// Tail makes the frame of a record that was just committed, to be
	// listed by the number of feeds given. Records come in log order.
	Tail(enc frame.Encoding, r *leat.Record, feeds int) frame.Frame

	// History makes the frames of records that were read from the store.
	// recycle, if it is not nil, is given the Data of each back (see store.Batch).
	// release says that nobody needs the frames any more.
	History(enc frame.Encoding, records []leat.Record, recycle func([]byte)) (frames []frame.Frame, release func())

	// Evictions returns how many frames have lost their bytes so far, each
	// counted once for every feed that lists it.
	Evictions() uint64
}

// Options are the settings of a Live. The zero value works.
type Options struct {
	// PageBytes is how much payload a page of history holds; a larger
	// record has a page of its own. What is read ahead is four of these in one.
	// 0 means 256 KiB.
	PageBytes int

	// Fillers is the number of goroutines that read history from the
	// store. 0 means 4.
	Fillers int

	// Slow are rules for readers that fall behind. nil: none is too slow.
	Slow []SlowRule

	// Logger is told when the store can no longer be followed or read. nil
	// means slog.Default().
	Logger *slog.Logger
}

// A Live serves the readers of one store. All methods may be called by many
// goroutines at once.
type Live struct {
	// Static after construction.
	store     store.Store
	epochs    store.Epochs
	renderer  Renderer
	pageBytes int
	slow      []SlowRule
	log       *slog.Logger
	ctx       context.Context
	stop      context.CancelFunc
	joined    sync.WaitGroup // the goroutines: follow and the fillers

	// head is the position up to which every feed has its frames. It is
	// moved by the follower, under mu, after the frames are listed.
	head atomic.Uint64

	mu      sync.Mutex // taken before the mu of any feed
	feeds   map[feedKey]*feed
	index   index
	made    uint64  // feeds made so far
	swept   uint64  // the renderer's evictions at the last sweep
	touched []*feed // scratch of dispatch
	readers int
	failed  error

	fills queue
}

type feedKey struct {
	filter   string
	encoding frame.Encoding
	fork     uint64 // the ID of the fork whose lineage comes first, 0 without one
}

// New returns a Live over st that has begun to follow it. Close ends it; the
// store is the caller's to close, afterwards.
func New(st store.Store, renderer Renderer, o Options) *Live {
	if o.PageBytes == 0 {
		o.PageBytes = 256 << 10
	}
	if o.Fillers == 0 {
		o.Fillers = 4
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Live{
		store: st, epochs: st.Epochs(), renderer: renderer,
		pageBytes: o.PageBytes, slow: o.Slow, log: o.Logger, ctx: ctx, stop: stop,
		feeds: make(map[feedKey]*feed), index: newIndex(),
	}
	l.fills.ready = sync.NewCond(&l.fills.mu)
	l.head.Store(st.Head())
	// The goroutines belong to l: Close ends and joins them.
	l.joined.Go(l.follow)
	for range o.Fillers {
		l.joined.Go(l.fill)
	}
	return l
}

// Close ends the following and the reading of history, and joins the
// goroutines that did it. Readers that have not been closed get no more.
func (l *Live) Close() {
	l.stop()
	l.fills.close()
	l.joined.Wait()
}

// Head returns the position up to which readers can have been given records.
func (l *Live) Head() uint64 { return l.head.Load() }

// Readers returns the number of readers.
func (l *Live) Readers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readers
}

// follow hands every committed record to the feeds that want it.
func (l *Live) follow() {
	var (
		woken []Waker
		seen  = removals{after: l.head.Load()}
	)
	for b, err := range l.store.Follow(l.ctx, seen.after) {
		if err == nil {
			err = l.look(&seen, b.Order)
		}
		if err != nil {
			l.fail(err)
			return
		}
		woken = l.dispatch(b, seen.list, woken[:0])
		seen.after = b.Next
		for i, w := range woken {
			w.Wake()
			woken[i] = nil
		}
	}
}

// look finds out what was removed before it could be followed. A batch shows
// removals, and may lack records between the end of the batch before and the
// last record removed.
func (l *Live) look(seen *removals, order uint64) error {
	if order <= seen.order && seen.after >= seen.floor {
		seen.list = nil
		return nil
	}
	removed, err := l.store.Removed(l.ctx, everything, seen.after, 0, order)
	seen.order, seen.list = max(seen.order, order), removed
	for _, rm := range removed {
		seen.floor = max(seen.floor, rm.Through)
	}
	return err
}

// dispatch lists the frames of a batch, moves the head and returns who waits
// for it. The wake-ups themselves happen without a lock. Feeds that want records
// of what was removed unseen are broken off first: a reader looks at any time.
func (l *Live) dispatch(b store.Batch, unseen []store.Removed, woken []Waker) []Waker {
	l.mu.Lock()
	defer l.mu.Unlock()
	touched := l.touched[:0]
	for _, rm := range unseen {
		for _, fd := range l.index.match(rm.Stream) {
			fd.breakOff(b.Next)
			touched = fd.touch(touched)
		}
	}
	for i := range b.Records {
		r := &b.Records[i]
		feeds := l.index.match(r.Stream)
		for len(feeds) > 0 {
			// Feeds of one encoding lie together and share the frame.
			n := 1
			for n < len(feeds) && feeds[n].encoding == feeds[0].encoding {
				n++
			}
			f := l.renderer.Tail(feeds[0].encoding, r, n)
			for _, fd := range feeds[:n] {
				fd.list(f, r)
				touched = fd.touch(touched)
			}
			feeds = feeds[n:]
		}
	}
	l.head.Store(b.Next)
	for i, fd := range touched {
		fd.touched = false
		woken = fd.takeWaiting(&fd.atEnd, woken)
		touched[i] = nil
	}
	l.touched = touched
	l.sweep()
	return woken
}

// sweep lets feeds forget frames whose bytes are gone, once there are so many of
// them for each feed that going through all feeds pays. The caller holds mu.
func (l *Live) sweep() {
	const worthwhile = 64
	if n := l.renderer.Evictions(); n-l.swept >= worthwhile*uint64(1+len(l.feeds)) {
		l.swept = n
		for _, fd := range l.feeds {
			fd.forget()
		}
	}
}

// fail ends all readers: nothing can be followed any more.
func (l *Live) fail(err error) {
	if l.ctx.Err() != nil {
		return
	}
	l.log.Error("the store cannot be followed any more; readers are disconnected", "err", err)
	l.mu.Lock()
	l.failed = err
	var woken []Waker
	for _, fd := range l.feeds {
		woken = fd.fail(err, woken)
	}
	l.mu.Unlock()
	for _, w := range woken {
		w.Wake()
	}
}
