package memstore

// A cursor is a place in the list of one stream's entries.
type cursor struct {
	rank  uint64 // the cursor of least rank is in front
	entry *entry // at pos
	list  *ordered[*entry]
	pos   pos
}

// A heap has cursors into the lists of several streams, one of which is in
// front: that of the first entry on the way forward, of the last on the way
// back.
type heap []cursor

// order makes h a heap.
func (h heap) order() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
}

// advance moves the cursor in front to the next entry of its list.
func (h heap) advance() heap {
	c := &h[0]
	c.pos = c.list.next(c.pos)
	e, ok := c.list.get(c.pos)
	if !ok {
		return h.drop()
	}
	c.entry, c.rank = e, e.seq
	h.sink(0)
	return h
}

// retreat moves the cursor in front to the previous entry of its list.
func (h heap) retreat() heap {
	c := &h[0]
	p, ok := c.list.previous(c.pos)
	if !ok {
		return h.drop()
	}
	c.pos = p
	c.entry, _ = c.list.get(p)
	c.rank = ^c.entry.seq
	h.sink(0)
	return h
}

// drop removes the cursor in front.
func (h heap) drop() heap {
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	h.sink(0)
	return h
}

// sink lets the cursor at i find its place.
func (h heap) sink(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].rank < h[least].rank {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
