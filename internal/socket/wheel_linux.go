package socket

import "time"

// A wheel holds connections by the time at which they are to be looked at, to the
// tick. Adding, removing and turning cost the same however many there are; there is
// one for each loop instead of a timer for each connection. Its methods are for the
// goroutine of the loop.
type wheel struct {
	slots [wheelSlots]*LoopConn // rings without a root
	at    int64                 // the tick up to which it was turned
}

// A time that is further away than one turn is looked at once too often.
const (
	wheelSlots = 512
	tick       = 250 * time.Millisecond
)

// add puts c, which is not in it, where it is found at a time or just after.
func (w *wheel) add(c *LoopConn, when time.Duration) {
	t := int64((when + tick - 1) / tick)
	t = min(max(t, w.at+1), w.at+wheelSlots-1)
	c.place = int(t % wheelSlots)
	head := w.slots[c.place]
	if head == nil {
		c.older, c.newer = c, c
		w.slots[c.place] = c
		return
	}
	c.older, c.newer = head.older, head
	head.older.newer, head.older = c, c
}

// remove takes c out. It does nothing if c is not in.
func (w *wheel) remove(c *LoopConn) {
	if c.older == nil {
		return
	}
	if w.slots[c.place] == c {
		w.slots[c.place] = c.newer
	}
	if c.newer == c {
		w.slots[c.place] = nil
	} else {
		c.older.newer, c.newer.older = c.newer, c.older
	}
	c.older, c.newer = nil, nil
}

// turn takes out those whose time has come and hands them to look, which may add
// them anew.
func (w *wheel) turn(now time.Duration, look func(*LoopConn)) {
	to := int64(now / tick)
	if to-w.at > wheelSlots {
		w.at = to - wheelSlots // each slot once
	}
	for w.at < to {
		w.at++
		slot := int(w.at % wheelSlots)
		for c := w.slots[slot]; c != nil; c = w.slots[slot] {
			w.remove(c)
			look(c)
		}
	}
}

// wait returns the time until the next tick that has something, which is none if
// that is overdue. It is not ok if nothing is in the wheel.
func (w *wheel) wait(now time.Duration) (d time.Duration, ok bool) {
	for t := w.at + 1; t <= w.at+wheelSlots; t++ {
		if w.slots[t%wheelSlots] != nil {
			return max(0, time.Duration(t)*tick-now), true
		}
	}
	return 0, false
}
