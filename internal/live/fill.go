package live

import (
	"sort"
	"sync"
)

// A queue holds the pages of history that readers wait for: at most one for a
// feed, so it is never longer than the list of feeds.
type queue struct {
	mu     sync.Mutex
	ready  *sync.Cond
	wanted []want
	closed bool
}

// A want is a page that a feed needs: what follows after, up to upTo. lost is
// what the page before it came with.
type want struct {
	feed        *feed
	after, upTo uint64
	bytes       int // of payload, about
	lost        *removals
}

func (q *queue) put(w want) {
	q.mu.Lock()
	q.wanted = append(q.wanted, w)
	q.mu.Unlock()
	q.ready.Signal()
}

// take waits for the next want. It is not ok when the queue is closed.
func (q *queue) take() (w want, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.wanted) == 0 && !q.closed {
		q.ready.Wait()
	}
	if q.closed {
		return want{}, false
	}
	w = q.wanted[0]
	q.wanted[0] = want{}
	q.wanted = q.wanted[1:]
	return w, true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}

// requestPage asks the fillers for the page that follows a position. The
// caller holds the feed's mu and waits in atHole.
func (l *Live) requestPage(fd *feed, after, upTo uint64, bytes int) {
	if !fd.filling {
		fd.filling = true
		l.fills.put(want{fd, after, upTo, bytes, fd.lost})
	}
}

// aheadPages is how many pages make one that is read ahead: each costs two goroutines
// that wait for each other.
const aheadPages = 4

// readOn is called when a reader has begun page p. If p was reached from the page before
// it asks for the one behind: who reads on and on is not to wait at each page until
// the store has been read. One that wants a few bytes in the middle costs no more than
// these, and where memory is so short that pages go before they are read this stops
// by itself. The page before goes if nobody else is there who may want it, so that its
// memory is used for the next while the processor still has it at hand. The caller holds
// the feed's mu.
func (l *Live) readOn(fd *feed, p *page) {
	if p.followed || fd.filling {
		return
	}
	p.followed = true
	before := fd.pageTo(p.after)
	if before == nil {
		return
	}
	if fd.readers == 1 {
		fd.dropPage(before)
	}
	if p.through >= fd.after {
		return
	}
	if next, upTo := fd.pageAt(p.through, fd.after); next == nil {
		l.requestPage(fd, p.through, upTo, aheadPages*l.pageBytes)
	}
}

// pageTo returns the page that ends at a position, so that whoever stands there has
// probably read it, or nil. The caller holds mu.
func (fd *feed) pageTo(through uint64) *page {
	i := sort.Search(len(fd.pages), func(i int) bool { return fd.pages[i].through >= through })
	if i < len(fd.pages) && fd.pages[i].through == through {
		return fd.pages[i]
	}
	return nil
}

// fill is one of the goroutines that read history, once for all who wait.
func (l *Live) fill() {
	for {
		w, ok := l.fills.take()
		if !ok {
			return
		}
		var woken []Waker
		p, err := l.readPage(w)
		switch {
		case err == nil:
			woken = w.feed.addPage(p, nil)
		case l.ctx.Err() != nil:
			return
		default:
			l.log.Error("history cannot be read; its readers are disconnected", "err", err)
			woken = w.feed.fillFailed(err, nil)
		}
		for _, waker := range woken {
			waker.Wake()
		}
	}
}

// readPage reads a page and what is gone behind its beginning. A store that has
// forgotten when a stream lost what may tell of a removal that came after the
// batch was read. Then the batch is read again: it shows nothing of that removal,
// and of others that came before it nobody has told.
func (l *Live) readPage(w want) (*page, error) {
	for {
		b, err := l.readBatch(w)
		if err != nil {
			return nil, err
		}
		p := &page{after: w.after, through: b.Next, order: b.Order, lost: w.lost}
		if b.Order > 0 && !w.lost.covers(w.after, b.Order) {
			removed, err := l.store.Removed(l.ctx, w.feed.filter, w.after, 0, b.Order)
			if err != nil {
				return nil, err
			}
			p.lost = newRemovals(w.after, b.Order, owed(w.feed.lineage, removed))
			if p.lost.newest > b.Order {
				continue
			}
		}
		p.disinherit(w.feed.lineage, &b)
		p.frames, p.release = l.renderer.History(w.feed.encoding, b.Records, b.Recycle)
		return p, nil
	}
}
