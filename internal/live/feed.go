package live

import (
	"slices"
	"sort"
	"sync"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/journal"
)

// A feed is the readers that share one filter and encoding, and the frames
// they are due. It exists while it has readers.
//
// frames is the tail: every frame due after the position after, up to the
// head. It grows at the end as records are committed and is cut at the front
// as their bytes are evicted. What a reader needs before it comes in pages of
// history, which the fillers bring.
type feed struct {
	// Static after construction.
	key      feedKey
	filter   *leat.Filter
	lineage  *journal.Lineage // what comes before the records that the filter passes
	encoding frame.Encoding
	number   uint64 // unique

	// Guarded by the Live's mu.
	readers int  // by mu too: who has one of the two may read it
	touched bool // a frame was listed in the batch being dispatched

	// Guarded by mu, as is all that follows.
	mu      sync.Mutex
	after   uint64
	frames  []frame.Frame
	cut     int // frames cut off at the front since the array was made, or more
	atEnd   []*Reader
	failed  error     // set once, by the end of following
	tips    tips      // of the streams that the filter names
	learned bool      // the tips from before the feed was made are known
	ended   bool      // the last reader has left
	slow    *slowness // nil: no reader is too slow
	*history

	// Room for the first of atEnd, and the list of only this feed that the index has
	// for a name: a piece of memory less each where each reader has a feed of its own.
	first [1]*Reader
	self  [1]*feed
}

// A history is what a feed has of the time before its tail. There is none until a
// reader wants some, nor after the pages have gone: a feed may be one of very many
// with one reader each. Guarded by the feed's mu.
type history struct {
	pages   []*page   // sorted by after, apart from each other
	most    int       // pages, before those without frames go
	filling bool      // a page is on its way; one at a time
	lost    *removals // what the last page came with
	atHole  []*Reader // waiting for a page
}

// somePages is how many pages a feed keeps whatever is in them. With more, those
// without frames go: no bound counts them, and they can be read again.
const somePages = 1024

// A page of history is immutable, except that a page without frames may grow.
type page struct {
	after, through uint64 // the part of the log that it stands for
	frames         []frame.Frame
	release        func()
	order          uint64    // the removals that it shows, by their number
	lost           *removals // what they removed after it; nil if there were none
	followed       bool      // whether to read ahead was asked. Guarded by the feed's mu
}

// touch adds fd to a list that it is not in yet. The caller holds the Live's mu.
func (fd *feed) touch(touched []*feed) []*feed {
	if fd.touched {
		return touched
	}
	fd.touched = true
	return append(touched, fd)
}

// list appends the frame of a committed record, unless the tail begins after it.
func (fd *feed) list(f frame.Frame, r *leat.Record) {
	fd.mu.Lock()
	fd.noteTip(r)
	fd.slow.note(f.Seq, f.Len())
	if f.Seq > fd.after {
		fd.frames = append(fd.frames, f)
	}
	fd.mu.Unlock()
}

// breakOff lets the tail begin after a position: some record before it was
// committed and removed again before it could be listed. Readers find out from
// the store.
func (fd *feed) breakOff(through uint64) {
	fd.mu.Lock()
	fd.after, fd.frames = max(fd.after, through), nil
	fd.mu.Unlock()
}

// takeWaiting empties a list of waiting readers into woken.
func (fd *feed) takeWaiting(list *[]*Reader, woken []Waker) []Waker {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	return takeWaiting(list, woken)
}

func takeWaiting(list *[]*Reader, woken []Waker) []Waker {
	for i, r := range *list {
		r.waitsIn = nil
		woken = append(woken, r.waker)
		(*list)[i] = nil
	}
	*list = (*list)[:0]
	return woken
}

// wait puts r into a list of waiting readers. The caller holds mu, so that
// what r waits for cannot have come between its look and its waiting.
func (fd *feed) wait(list *[]*Reader, r *Reader) {
	if r.waitsIn == list {
		return
	}
	fd.unwait(r)
	if *list == nil && list == &fd.atEnd {
		*list = fd.first[:0]
	}
	r.waitsIn, r.waitsAt = list, int32(len(*list))
	*list = append(*list, r)
}

// unwait takes r out of the list it waits in. The caller holds mu.
func (fd *feed) unwait(r *Reader) {
	if r.waitsIn == nil {
		return
	}
	list := *r.waitsIn
	last := len(list) - 1
	list[r.waitsAt] = list[last]
	list[r.waitsAt].waitsAt = r.waitsAt
	list[last] = nil
	*r.waitsIn = list[:last]
	r.waitsIn = nil
}

// due returns the index of the first frame behind a position.
func due(frames []frame.Frame, after uint64) int {
	return sort.Search(len(frames), func(i int) bool { return frames[i].Seq > after })
}

// cutTail forgets the frames up to and with the i-th, and those behind it whose
// bytes are gone too. The caller holds mu.
func (fd *feed) cutTail(i int) {
	for i+1 < len(fd.frames) && fd.frames[i+1].Evicted() {
		i++
	}
	fd.after = fd.frames[i].Seq
	fd.frames = fd.frames[i+1:]
	if fd.cut += i + 1; fd.cut > len(fd.frames) {
		// So that the old array goes; a clone of nothing would keep it.
		fd.frames = append([]frame.Frame(nil), fd.frames...)
		fd.cut = 0
	}
}

// forget drops what is listed but has no bytes any more.
func (fd *feed) forget() {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if len(fd.frames) > 0 && fd.frames[0].Evicted() {
		fd.cutTail(0)
	}
	if fd.history == nil {
		return
	}
	fd.pages = slices.DeleteFunc(fd.pages, func(p *page) bool {
		return len(p.frames) > 0 && p.frames[0].Evicted()
	})
	if len(fd.pages)+len(fd.atHole) == 0 && !fd.filling {
		fd.history = nil
	}
}

// pageAt returns the page that tells what follows a position before a limit,
// or nil, and then up to where there is none. The caller holds mu.
func (fd *feed) pageAt(after, limit uint64) (p *page, upTo uint64) {
	i := sort.Search(len(fd.pages), func(i int) bool { return fd.pages[i].through > after })
	switch {
	case i == len(fd.pages):
		return nil, limit
	case fd.pages[i].after > after:
		return nil, min(limit, fd.pages[i].after)
	}
	return fd.pages[i], 0
}

// dropPage forgets a page. The caller holds mu.
func (fd *feed) dropPage(p *page) {
	p.release()
	fd.pages = slices.DeleteFunc(fd.pages, func(q *page) bool { return p == q })
}

// addPage takes a page that a filler brought and returns who waits for it.
func (fd *feed) addPage(p *page, woken []Waker) []Waker {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.filling = false
	if fd.ended {
		p.release()
		return woken
	}
	i := sort.Search(len(fd.pages), func(i int) bool { return fd.pages[i].after > p.after })
	fd.lost = p.lost
	if i > 0 && fd.pages[i-1].joins(p) {
		fd.pages[i-1].through = p.through
	} else {
		fd.pages = slices.Insert(fd.pages, i, p)
	}
	if len(fd.pages) > max(fd.most, somePages) {
		fd.pages = slices.DeleteFunc(fd.pages, func(q *page) bool { return q != p && len(q.frames) == 0 })
		fd.most = 2 * len(fd.pages)
	}
	return takeWaiting(&fd.atHole, woken)
}

// joins reports whether next goes on where p ends, neither has a frame and both
// tell of the same removals: long stretches of a log that a filter passes over
// leave one page.
func (p *page) joins(next *page) bool {
	return p.through == next.after && p.order == next.order && p.lost == next.lost &&
		len(p.frames)+len(next.frames) == 0
}

// fillFailed ends the readers that wait for a page that cannot be read.
func (fd *feed) fillFailed(err error, woken []Waker) []Waker {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.filling = false
	for _, r := range fd.atHole {
		r.failed = err
	}
	return takeWaiting(&fd.atHole, woken)
}

// fail ends all readers.
func (fd *feed) fail(err error, woken []Waker) []Waker {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.failed = err
	woken = takeWaiting(&fd.atEnd, woken)
	if fd.history != nil {
		woken = takeWaiting(&fd.atHole, woken)
	}
	return woken
}

// end releases what the feed holds, when its last reader has left.
func (fd *feed) end() {
	fd.mu.Lock()
	defer fd.mu.Unlock()
	fd.ended = true
	fd.frames = nil
	if fd.history != nil {
		for _, p := range fd.pages {
			p.release()
		}
		fd.pages, fd.lost = nil, nil
	}
}
