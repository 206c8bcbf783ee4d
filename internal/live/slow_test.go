package live_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
)

func slowRule(t testing.TB, pattern string, records, bytes int64, skip bool) live.SlowRule {
	p, err := leat.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return live.SlowRule{Pattern: p, Records: records, Bytes: bytes, Skip: skip}
}

// awaitHead waits until the live has followed the store to its head.
func awaitHead(l *live.Live, st store.Store) {
	for l.Head() < st.Head() {
		runtime.Gosched()
	}
}

// A reader that lags behind by more than the rule allows is told where it was and goes
// on at the head; exactly as many records behind it gets them all.
func TestSlowReaderIsSkipped(t *testing.T) {
	const lag = 10
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{Slow: []live.SlowRule{slowRule(t, "a", lag, 0, true)}})
		first := fillLog(t, st, 3*lag, "history", "a")
		awaitHead(l, st)
		c := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		within := fillLog(t, st, lag, "x", "a")
		awaitHead(l, st)
		if c.Late(false) {
			t.Error("too slow: what was there before it came counts")
		}
		c.want(first...)
		c.want(within...)

		more := fillLog(t, st, lag, "y", "a", "b")
		more = append(more, fillLog(t, st, lag, "z", "a")...)
		awaitHead(l, st)
		from := c.After()
		if c.Late(true) || !c.Late(false) {
			t.Error("it is not to be skipped, or, if it cannot be told, not to be disconnected")
		}
		if c.Peek(&c.out, 1) != live.Due || c.TooSlow(true) || c.After() != from {
			t.Fatal("it moves before it is told")
		}
		gap := c.wantGap()
		if to := more[len(more)-1].Offset.Seq; !gap.Skipped || gap.From != from || gap.Through != to || c.After() != to {
			t.Errorf("told %+v, and it is at %d; want %d to %d", gap, c.After(), from, to)
		}
		c.wantIdle(st)
		c.want(fillLog(t, st, 1, "new", "a")...)
		if c.Late(false) || c.TooSlow(false) {
			t.Error("too slow at the head")
		}
	})
}

// Bytes count as they are sent, records of several topics together.
func TestSlowReaderIsDisconnected(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{Slow: []live.SlowRule{slowRule(t, "*", 0, 1000, false)}})
		fillLog(t, st, 1, "x", "c")
		awaitHead(l, st)
		c := join(t, l, filter(t, "a", "b"), plain{}, l.Now())
		other := join(t, l, filter(t, "c"), plain{}, l.Now())
		records := fillLog(t, st, 8, strings.Repeat("x", 100), "a", "b")
		awaitHead(l, st)
		c.takeRecords(1)
		after := c.After()
		for len(textOf(records[1:]...)) <= 1000+1000/16+2*120 {
			if c.Late(true) && len(textOf(records[1:]...)) <= 1000 {
				t.Errorf("too slow with %d bytes to come", len(textOf(records[1:]...)))
			}
			records = append(records, fillLog(t, st, 1, strings.Repeat("x", 100), "a")...)
			awaitHead(l, st)
		}
		if !c.Late(true) || !c.TooSlow(true) || c.After() != after {
			t.Errorf("it is not to be disconnected at %d", c.After())
		}
		if other.Late(true) || other.TooSlow(true) {
			t.Error("a reader of another topic is too slow")
		}
		// It comes back, and what it has missed is no lag.
		again := join(t, l, filter(t, "a", "b"), plain{}, live.Start{After: after})
		if again.TooSlow(true) {
			t.Error("it comes back and is too slow at once")
		}
		again.want(records[1:]...)
		patient := join(t, l, filter(t, "a"), plain{}, live.Start{After: after, Patient: true})
		fillLog(t, st, 30, strings.Repeat("x", 100), "a")
		awaitHead(l, st)
		if patient.Late(false) || patient.TooSlow(false) {
			t.Error("one that does not want all that comes is too slow")
		}
	})
}

// In the middle of a frame nothing else can be sent: the rest of it comes first, and
// then what is due to one that is too slow.
func TestSlowInTheMiddleOfAFrame(t *testing.T) {
	for _, skip := range []bool{true, false} {
		t.Run(fmt.Sprint("skip ", skip), func(t *testing.T) {
			overStores(t, func(t *testing.T, st store.Store) {
				l := start(t, st, nil, live.Options{Slow: []live.SlowRule{slowRule(t, "a", 5, 0, skip)}})
				c := join(t, l, filter(t, "a"), plain{}, l.Now())
				records := fillLog(t, st, 1, "text", "a")
				c.takePart(3)
				records = append(records, fillLog(t, st, 19, "text", "a")...)
				awaitHead(l, st)
				if c.TooSlow(true) || !c.Late(false) {
					t.Error("too slow in the middle of a frame")
				}
				c.takeRecords(1)
				if c.TooSlow(true) == skip {
					t.Error("too slow is what is to be skipped, or is not what is not")
				}
				if !skip {
					return
				}
				if gap := c.wantGap(); !gap.Skipped || gap.From != records[0].Offset.Seq || gap.Through != records[19].Offset.Seq {
					t.Errorf("told %+v", gap)
				}
			})
		})
	}
}

// takeRecords passes n records.
func (c *client) takeRecords(n int) {
	c.t.Helper()
	for range n {
		if state := c.wait(1); state != live.Due {
			c.t.Fatalf("state %v", state)
		}
		c.Advance(&c.out, c.out.Len())
	}
}

// The end of a stream that a filter names is told, whatever is skipped before it.
func TestSlowReaderIsToldTheEnd(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{Slow: []live.SlowRule{slowRule(t, "*", 5, 0, true)}})
		c := join(t, l, filter(t, "a", "b"), plain{}, l.Now())
		fillLog(t, st, 20, "x", "a")
		endA := end(t, st, "a", leat.EndComplete)
		fillLog(t, st, 20, "x", "b")
		endB := end(t, st, "b", leat.EndComplete)
		awaitHead(l, st)
		c.TooSlow(true)
		if gap := c.wantGap(); !gap.Skipped || gap.Through != endA.Offset.Seq-1 {
			t.Errorf("told %+v, want up to the end of a, %d", gap, endA.Offset.Seq)
		}
		if c.TooSlow(true) {
			t.Error("too slow for an end")
		}
		c.takeRecords(1)
		c.TooSlow(true)
		if gap := c.wantGap(); !gap.Skipped || gap.From != endA.Offset.Seq || gap.Through != endB.Offset.Seq-1 {
			t.Errorf("told %+v, want up to the end of b, %d", gap, endB.Offset.Seq)
		}
		c.wantText(textOf(endB))
		c.wantState(live.Ended)
	})
}

// A page that has to come from the store keeps nobody from being skipped, and none of
// the records that were skipped comes later.
func TestSlowReaderOfHistory(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, render.NewCache(64<<10), live.Options{Slow: []live.SlowRule{slowRule(t, "a", 50, 0, true)}})
		first := fillLog(t, st, 100, strings.Repeat("x", 2000), "a")
		awaitHead(l, st)
		c := join(t, l, filter(t, "a"), plain{}, l.Beginning())
		c.takeRecords(10)
		fillLog(t, st, 200, strings.Repeat("y", 2000), "a")
		awaitHead(l, st)
		c.TooSlow(true)
		if gap := c.wantGap(); !gap.Skipped || gap.From != first[9].Offset.Seq || gap.Through != st.Head() {
			t.Errorf("told %+v", gap)
		}
		c.want(fillLog(t, st, 1, "new", "a")...)
	})
}
