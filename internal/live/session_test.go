package live_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
)

// A session is one reader from joining to leaving, and all that it was given.
type session struct {
	filter  *leat.Filter
	start   live.Start
	fresh   bool  // it does not resume: of what was removed before freshAt it is owed nothing
	freshAt int64 // 0: when it began to move

	events []event
	ended  event  // where it stood when it left, and when
	part   string // the beginning of a frame that it was not sent whole
	err    error  // why it could not go on
	slow   bool   // it was disconnected for its lag
}

// An event is a line, or a gap.
type event struct {
	line  string
	gap   *live.Missing
	after uint64 // the position it was told at
	at    int64  // when, by the book's clock
}

// run reads for a while, in one of many manners, and returns the position.
func (s *session) run(c *campaign, rng *rand.Rand, last bool) uint64 {
	b := newBell()
	r, err := c.live.Join(c.ctx, s.filter, plain{}, s.start, b)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	defer r.Close()
	var (
		out   frame.Ranges
		looks = 1 + rng.IntN(2000)
		size  = []int{1, 100, 5000, 1 << 16}[rng.IntN(4)]
		piece = []int{1, 7, 1 << 20, 0}[rng.IntN(4)] // 0: any
		slow  = rng.IntN(3) == 0

		canSkip = rng.IntN(4) > 0
	)
	defer func() { s.ended = event{after: r.After(), at: c.book.tick()} }()
	for last || looks > 0 {
		looks--
		if rng.IntN(2) == 0 && r.TooSlow(canSkip) {
			s.slow = true
			return r.After()
		}
		state := r.Peek(&out, size)
		if s.fresh && s.freshAt == 0 && (state != live.Idle || r.After() > 0) {
			s.freshAt = c.book.tick()
		}
		switch state {
		case live.Due:
			n := min(piece, out.Len())
			if piece == 0 || last {
				n = rng.IntN(out.Len() + 1)
			}
			s.take(c, &out, n, r.After())
			r.Advance(&out, n)
		case live.Gap:
			s.events = append(s.events, event{gap: r.TakeGap(), after: r.After(), at: c.book.tick()})
		case live.Failed:
			s.err = r.Err()
			return r.After()
		case live.Idle:
			if last && r.After() >= c.st.Head() {
				return r.After()
			}
			if !c.await(b, last) {
				looks = 0
			}
		}
		if slow && !last && rng.IntN(4) == 0 {
			c.pause()
		}
	}
	return r.After()
}

// take adds n bytes of what is due to what was received.
func (s *session) take(c *campaign, out *frame.Ranges, n int, after uint64) {
	for _, p := range out.Bytes {
		p = p[:min(n, len(p))]
		n -= len(p)
		s.part += string(p)
	}
	at := c.book.tick()
	for {
		line, rest, ok := strings.Cut(s.part, "\n")
		if !ok {
			return
		}
		s.events = append(s.events, event{line: line + "\n", after: after, at: at})
		s.part = rest
	}
}

// await waits for a wake-up, and reports whether to look again.
func (c *campaign) await(b bell, last bool) bool {
	if last { // nobody is woken when the head passes what the feed does not want
		select {
		case <-b:
		default:
			runtime.Gosched()
		}
		return true
	}
	select {
	case <-b:
		return true
	case <-c.written:
		return false
	case <-time.After(patience):
		c.t.Errorf("a reader was not woken for %v; the goroutines:\n%s", patience, stacks())
		return false
	}
}

// check holds a session against the book.
func (b *book) check(t *testing.T, s *session, total *tally) {
	t.Helper()
	total.sessions++
	v := &verdict{book: b, session: s, last: s.start.After, explained: map[string]uint64{}, received: map[string]bool{}}
	for _, ev := range s.events {
		if ev.gap != nil {
			total.gaps++
			total.more += ev.gap.More
			if ev.gap.Skipped {
				total.skipped++
			}
			v.told(ev)
		} else {
			total.frames++
			v.sent(ev)
		}
	}
	v.upTo(s.ended.after, s.ended.at)
	if s.slow {
		total.slow++
		v.lag(s.ended.after)
	}
	switch {
	case errors.Is(s.err, live.ErrOvertaken):
		total.overtaken++
		v.overtaken()
	case s.err != nil:
		v.faultf("ended with %v", s.err)
	}
	total.fromMemory += v.fromMemory
	for i, fault := range v.faults {
		if i < 5 {
			t.Errorf("filter %q from %+v (fresh %v): %s", s.filter, s.start, s.fresh, fault)
		}
	}
}
