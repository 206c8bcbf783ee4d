package render

import (
	"container/list"
	"sync"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
)

// DefaultMemory is the bound of a Cache when none is given, in bytes.
const DefaultMemory = 64 << 20

// tailPage is the size of the pages that live frames are gathered in. A frame
// larger than a quarter of it has a page of its own.
const tailPage = 64 << 10

// maxOpen is how many encodings have a page that is being filled. There are few, but
// for those that a client can choose a part of.
const maxOpen = 64

// A Cache makes frames and holds their pages under one bound. When a page is
// added and the bound is passed, the oldest pages go; a page of history that
// was read since it was last looked at is passed over once, which comes close
// to least recently used without a lock in the readers' way. The pages that
// are still being filled are never evicted.
//
// All methods may be called by many goroutines at once.
type Cache struct {
	bound int64 // static

	mu      sync.Mutex
	used    int64                     // bytes of pages and of the feeds' lists of frames
	evicted uint64                    // what Evictions returns
	queue   list.List                 // of *entry, oldest first
	open    map[frame.Encoding]*entry // tail pages being filled
	scratch []byte                    // where a page of history is rendered before its size is known
}

// entry is a page in the queue. Its fields are guarded by the mu of the Cache.
type entry struct {
	page    *frame.Page
	more    []*frame.Page // of history, which go with it
	place   *list.Element // nil when evicted or released
	memory  []byte        // the page's, to append to while it is open; nil when closed
	cost    int64
	listed  int64 // of the cost, what the lists of its frames take
	history bool  // deserves a second chance
}

// NewCache returns a Cache with a bound in bytes; 0 means DefaultMemory. The
// bound counts the frames and what the feeds need to list them.
func NewCache(bound int64) *Cache {
	if bound <= 0 {
		bound = DefaultMemory
	}
	return &Cache{bound: bound, open: make(map[frame.Encoding]*entry)}
}

// Used returns the bytes held at present.
func (c *Cache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Evictions returns how many frames have lost their bytes so far, each counted
// once for every feed that lists it. When it has grown these lists can shrink:
// the bound counts them no more.
func (c *Cache) Evictions() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evicted
}

// Tail makes the frame of a record that was just appended, to be listed by
// the number of feeds given.
func (c *Cache) Tail(enc frame.Encoding, r *leat.Record, feeds int) frame.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.open[enc]
	if e == nil {
		e = c.openPage(enc)
	}
	start := len(e.memory)
	grown := enc.Append(e.memory, r)
	n := len(grown) - start
	switch {
	case n > tailPage/4:
		// The page that follows has to be newer than this one, because
		// tail pages are evicted in the order of their frames.
		c.close(enc)
		own := make([]byte, n)
		copy(own, grown[start:])
		e = c.add(own)
		start = 0
	case cap(grown) != cap(e.memory):
		// It was written to a larger copy: begin a new page with it. An
		// encoding may make room for more than it then needs.
		c.close(enc)
		e = c.openPage(enc)
		start = 0
		e.memory = append(e.memory, grown[len(grown)-n:]...)
	default:
		e.memory = grown
	}
	c.list(e, feeds)
	if e.cost > c.bound/8 {
		c.close(enc) // only a page that is full can go
	}
	c.evict(nil)
	return frameOf(e.page, enc, r, start, n)
}

// frameOf returns the frame of r. Where an encoding has nothing for the end of a stream
// that has gone, that frame is marked: the name may be made anew, and what is behind it
// does not go with what was before. Where nothing tells frames apart at all, so is the
// first one of a stream: it may also have gone without such an end, by and by.
func frameOf(p *frame.Page, enc frame.Encoding, r *leat.Record, start, n int) frame.Frame {
	f := p.Frame(r.Offset.Seq, start, n)
	gone := r.Kind == leat.KindEnd && leat.EndState(r.Type).Gone()
	_, events := enc.(durable)
	content := enc == Bytes || enc == Elements
	if gone && events || (gone || r.Pos == 0) && content {
		f = f.Beginning()
	}
	return f
}

func (c *Cache) openPage(enc frame.Encoding) *entry {
	for other := range c.open {
		if len(c.open) < maxOpen {
			break
		}
		c.close(other) // any: nobody knows which is used again
	}
	memory := make([]byte, tailPage)
	e := c.add(memory)
	e.memory = memory[:0]
	c.open[enc] = e
	return e
}

// close ends the filling of an encoding's page. The caller holds mu.
func (c *Cache) close(enc frame.Encoding) {
	if e := c.open[enc]; e != nil {
		e.memory = nil
		delete(c.open, enc)
	}
}

// add puts a page of live frames over memory into the queue. The caller holds mu.
func (c *Cache) add(memory []byte) *entry {
	e := &entry{page: frame.NewPage(memory), cost: int64(cap(memory))}
	c.push(e)
	return e
}

// push puts e into the queue. The caller holds mu.
func (c *Cache) push(e *entry) {
	e.place = c.queue.PushBack(e)
	c.used += e.cost
}

// list counts the places that n frames of a page take in lists. The caller
// holds mu.
func (c *Cache) list(e *entry, n int) {
	bytes := int64(n) * frame.Size
	e.listed += bytes
	e.cost += bytes
	c.used += bytes
}

// evict drops pages until the bound is kept. The caller holds mu. Twice round
// the queue finds all that can go: the first time takes the chances. A page
// that was just brought for a reader stays until the next is: one that is
// larger than the bound would otherwise be brought for ever.
func (c *Cache) evict(brought *entry) {
	for look := 2 * c.queue.Len(); c.used > c.bound && look > 0; look-- {
		oldest := c.queue.Front()
		e := oldest.Value.(*entry)
		if e.memory != nil || e == brought || e.history && e.takeUsed() {
			c.queue.MoveToBack(oldest)
			continue
		}
		c.remove(e)
		c.evicted += uint64(e.listed) / frame.Size
	}
}

// remove takes a page out and lets its memory go. The caller holds mu.
func (c *Cache) remove(e *entry) {
	if e.place == nil {
		return
	}
	c.queue.Remove(e.place)
	e.place = nil
	e.page.Evict()
	for _, p := range e.more {
		p.Evict()
	}
	c.used -= e.cost
}

// takeUsed reports whether a page of e was read since the last call.
func (e *entry) takeUsed() bool {
	used := e.page.TakeUsed()
	for _, p := range e.more {
		used = p.TakeUsed() || used
	}
	return used
}

// History makes the frames of records read from the store, in a page of their
// own. Their Data is given to recycle, if that is not nil, when it is not needed any more.
// release gives the page back before it is evicted; it may be called more than once.
func (c *Cache) History(enc frame.Encoding, records []leat.Record, recycle func([]byte)) (frames []frame.Frame, release func()) {
	if len(records) == 0 {
		return nil, func() {}
	}
	var e *entry
	if enc == Bytes && payload(records) >= asItIs*len(records) {
		e, frames = payloadPages(records, recycle)
	} else {
		e, frames = c.historyPage(enc, records)
		for i := range records {
			if recycle != nil {
				recycle(records[i].Data) // was copied
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(e)
	c.list(e, len(records))
	c.evict(e)
	return frames, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.remove(e)
	}
}

// asItIs is the size of a payload, in the middle, from which on each is a page as it
// is where frames are payloads: what a page costs is little then, and a copy is not.
const asItIs = 4 << 10

func payload(records []leat.Record) (n int) {
	for i := range records {
		n += len(records[i].Data)
	}
	return n
}

// payloadPages makes the frames of records that are their payloads. The store has
// given them away: they never change.
func payloadPages(records []leat.Record, recycle func([]byte)) (*entry, []frame.Frame) {
	e := &entry{history: true}
	frames := make([]frame.Frame, len(records))
	for i := range records {
		r := &records[i]
		data := r.Data
		if len(data) == 0 || r.Kind == leat.KindEnd { // a reason is not content
			data = []byte{} // nil would say that the page is gone
		}
		p := frame.NewBorrowed(data, recycle)
		frames[i] = frameOf(p, Bytes, r, 0, len(data))
		e.cost += int64(cap(data))
		e.more = append(e.more, p)
	}
	e.page, e.more = e.more[0], e.more[1:]
	return e, frames
}

// mostScratch is what is kept to render pages of history in: room for what is read ahead,
// four pages of 256 KiB, as base64, and not for what one large record took.
const mostScratch = 2 << 20

// historyPage makes the frames of records in one page.
func (c *Cache) historyPage(enc frame.Encoding, records []leat.Record) (*entry, []frame.Frame) {
	c.mu.Lock()
	scratch := c.scratch
	c.scratch = nil
	c.mu.Unlock()

	scratch = scratch[:0]
	ends := make([]int, len(records))
	for i := range records {
		scratch = enc.Append(scratch, &records[i])
		ends[i] = len(scratch)
	}
	memory := make([]byte, len(scratch))
	copy(memory, scratch)

	if cap(scratch) <= mostScratch {
		c.mu.Lock()
		c.scratch = scratch
		c.mu.Unlock()
	}
	p := frame.NewPage(memory)
	frames := make([]frame.Frame, len(records))
	start := 0
	for i := range records {
		frames[i] = frameOf(p, enc, &records[i], start, ends[i]-start)
		start = ends[i]
	}
	return &entry{page: p, cost: int64(len(memory)), history: true}, frames
}
