package socket

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A wheel does what a list of times does: each connection is looked at once, not
// before its time and at most a tick after it, if it is within one turn; the wait
// is never longer than until the first. On a machine that has slept for longer than a
// turn looks may come early, and add anew what is not due.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		rng, slept := rand.New(rand.NewPCG(seed, 0)), seed%2 == 1
		var w wheel
		now := time.Duration(0)
		due := map[*LoopConn]time.Duration{} // the model
		conns := make([]*LoopConn, 200)
		for i := range conns {
			conns[i] = &LoopConn{}
		}
		const turn = (wheelSlots - 2) * tick
		for range 3000 {
			c := conns[rng.IntN(len(conns))]
			switch _, in := due[c]; {
			case rng.IntN(3) == 0:
				w.remove(c)
				delete(due, c)
			case !in:
				due[c] = now + time.Duration(rng.Int64N(int64(turn)))
				w.add(c, due[c])
			}
			wait, ok := w.wait(now)
			if ok != (len(due) > 0) {
				t.Fatalf("seed %d: %d are in, wait says %v", seed, len(due), ok)
			}
			for _, when := range due {
				if now+wait > max(now, when)+tick {
					t.Fatalf("seed %d: at %v a wait of %v, one is due at %v", seed, now, wait, when)
				}
			}
			if rng.IntN(4) > 0 {
				continue
			}
			switch n := rng.IntN(10); {
			case n == 0 && slept:
				now += 2 * turn
			case n < 4:
				now += wait
			default:
				now += time.Duration(rng.Int64N(int64(4 * tick)))
			}
			w.turn(now, func(c *LoopConn) {
				when, in := due[c]
				if in && when > now && slept {
					w.add(c, when)
					return
				}
				if !in || when > now {
					t.Fatalf("seed %d: at %v one was looked at that is due at %v, in: %v", seed, now, when, in)
				}
				delete(due, c)
				if rng.IntN(2) == 0 { // a look may add it anew
					due[c] = now + time.Duration(rng.Int64N(int64(turn)))
					w.add(c, due[c])
				}
			})
			for _, when := range due {
				if when+tick <= now {
					t.Fatalf("seed %d: at %v one is left that was due at %v", seed, now, when)
				}
			}
		}
	}
}

// What is further away than one turn is looked at early, and not lost.
func TestWheelFarAway(t *testing.T) {
	var w wheel
	c, looks := &LoopConn{}, 0
	w.add(c, time.Hour)
	for now := time.Duration(0); now < time.Hour; now += tick {
		w.turn(now, func(c *LoopConn) { looks++; w.add(c, time.Hour) })
	}
	if _, ok := w.wait(time.Hour); looks == 0 || looks > 40 || !ok {
		t.Errorf("%d looks in an hour, still in: %v", looks, ok)
	}
}
