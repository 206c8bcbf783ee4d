package journal

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/store"
)

// DefaultPause is that of Options.Pause.
const DefaultPause = time.Millisecond

// A publisher is who appends, as far as can be told: whoever uses one connection.
type publisher struct {
	answered atomic.Int64 // when it was, last; since the journal began, 0: never
}

type publisherKey struct{}

// WithPublisher returns a context for all appends of one publisher, such as those that
// come over one connection. It is what lets the journal tell publishers that wait for
// one answer before they send the next record from those that send when they have
// something: see Options.Pause.
func WithPublisher(ctx context.Context) context.Context {
	return context.WithValue(ctx, publisherKey{}, new(publisher))
}

// publisherOf returns the publisher of a context, nil if it has none or if it is all
// the same.
func (j *Journal) publisherOf(ctx context.Context) *publisher {
	if j.pause.most == 0 {
		return nil
	}
	p, _ := ctx.Value(publisherKey{}).(*publisher)
	return p
}

// manyEnough is how many appends of publishers that take their time must have come of
// late, each within a pause of the one before on average, for the next to be awaited.
const manyEnough = 4

// A pause is what decides whether a group waits for company before it is committed.
// It is guarded by the journal's mu.
//
// A commit costs a sync, however little is in it. Where publishers wait for their
// answers, company comes by itself while others are synced, and to wait longer is to
// slow them down. Where many send at their own pace, it does not: each record comes
// alone, and pays for a sync alone. So a group waits only
//
//   - if nobody in it has come straight from an answer: those are never delayed, and
//     neither is who has no publisher, or whose first append this is;
//   - if the last appends, of more than one publisher, came so close behind each other
//     that another one is to be expected;
//   - and until so long after the last commit began: one that comes after some quiet
//     is committed at once.
type pause struct {
	// Static.
	most  time.Duration // 0: there are no pauses
	began time.Time
	end   *time.Timer   // set while the loop pauses, which is its only user
	over  chan struct{} // of capacity 1: ends the pause before its time

	eager  bool                // somebody waits who is not to be delayed
	pauses bool                // the loop is pausing
	last   time.Duration       // when the last commit began, since began
	came   [manyEnough]arrival // the latest, of publishers that take their time
	oldest int                 // in came
}

// An arrival is one append.
type arrival struct {
	at time.Duration // since the journal began
	by *publisher
}

func (p *pause) init(st store.Store, most time.Duration) {
	p.began, p.over = time.Now(), make(chan struct{}, 1)
	if st.Abilities().Class != store.ClassDisk {
		return // what a commit costs is not the sync
	}
	p.most = orDefault(most, DefaultPause, 0)
	p.end = time.NewTimer(p.most)
	p.end.Stop()
	p.last = -p.most
}

// arrives notes that an append has come, and whether it may be delayed.
func (p *pause) arrives(by *publisher, delayable bool) {
	if p.most == 0 {
		return
	}
	if by != nil && delayable {
		now := time.Since(p.began)
		if answered := by.answered.Load(); answered != 0 && now-time.Duration(answered) > p.most/2 {
			p.came[p.oldest] = arrival{now, by}
			p.oldest = (p.oldest + 1) % manyEnough
			return
		}
	}
	p.eager = true
	p.cut()
}

// cut ends the loop's pause.
func (p *pause) cut() {
	if p.pauses {
		p.pauses = false
		p.over <- struct{}{} // there is room: the loop takes it before it pauses again
	}
}

// answers notes that a publisher is answered.
func (p *pause) answers(by *publisher) {
	if by != nil {
		by.answered.Store(int64(time.Since(p.began)))
	}
}

// left returns how long the group that gathers is to wait.
func (p *pause) left() time.Duration {
	if p.most == 0 || p.eager {
		return 0
	}
	now := time.Since(p.began)
	first, others := p.came[p.oldest], false
	for _, a := range p.came {
		others = others || a.by != first.by
	}
	if first.by == nil || !others || now-first.at > manyEnough*p.most {
		return 0
	}
	return p.last + p.most - now
}

// await gives the processor to those who are about to submit, and pauses if company is
// to be expected. mu is held.
func (j *Journal) await() {
	p := &j.pause
	if d := p.left(); d > 0 {
		p.pauses = true
		p.end.Reset(d)
		j.mu.Unlock()
		select {
		case <-p.end.C:
		case <-p.over:
		}
		p.end.Stop()
		j.mu.Lock()
		p.pauses = false
		select {
		case <-p.over:
		default:
		}
	} else {
		// Those who were just answered, or are about to submit, get the
		// processor first: else every other group is a small one. It
		// costs nothing if there are none.
		j.mu.Unlock()
		runtime.Gosched()
		j.mu.Lock()
	}
}

// begins notes that a commit is about to begin. What did not fit into it has waited
// long enough.
func (p *pause) begins(left bool) {
	if p.most > 0 {
		p.eager, p.last = left, time.Since(p.began)
	}
}
