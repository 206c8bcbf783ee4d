package pebblestore

import (
	"container/heap"

	"github.com/cockroachdb/pebble/v2"
)

// merge reads sources in log order, with an iterator for each. It touches one
// key more of each source than it returns, so a filter that matches little of
// a long log costs what it matches, not what the log holds.
func (r *reader) merge(sources []source) error {
	h := make(cursors, 0, len(sources))
	defer func() {
		for _, c := range h {
			_ = c.it.Close()
		}
	}()
	for _, src := range sources {
		c := &cursor{source: src}
		var err error
		c.it, err = r.v.newIter(recordKey(nil, src.id, src.first), recordKey(nil, src.id, src.last+1))
		if err != nil {
			return err
		}
		h = append(h, c)
		c.it.First()
		if err := c.settle(r); err != nil {
			return err
		}
	}
	heap.Init(&h)
	r.batch.Next = r.upTo // unless the batch is full before
	for len(h) > 0 && h[0].it.Valid() {
		c := h[0]
		rec, err := r.decode(c.it, c.name, c.seq)
		if err != nil {
			return err
		}
		if !r.add(rec) {
			r.batch.Next = c.seq
			return nil
		}
		c.it.Next()
		if err := c.settle(r); err != nil {
			return err
		}
		heap.Fix(&h, 0)
		if len(r.batch.Records)%256 == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
	}
	return nil
}

// A cursor is a source with a place in it.
type cursor struct {
	source
	it  *pebble.Iterator
	seq uint64 // of the record at it; exhausted ones sort last
}

// settle notes what the iterator has arrived at.
func (c *cursor) settle(r *reader) error {
	if !c.it.Valid() {
		c.seq = ^uint64(0)
		return c.it.Error()
	}
	r.batch.Keys++
	c.seq = recordSeq(c.it.Key())
	return nil
}

// cursors is a heap by sequence.
type cursors []*cursor

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)        { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
