package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// A campaign is several journals over one store, with callers that publish as
// they like, conflicts, failing commits, restarts and a clock that moves. It
// notes what was answered; check holds that against what is stored.
type campaign struct {
	t      *testing.T
	st     store.Store
	clock  *clock
	window time.Duration
	seed   uint64

	mu       sync.Mutex
	journals []*Journal
	calls    []call
}

// A call is one call of Append and its answer.
type call struct {
	caller int
	begun  time.Time
	as     []Append
	done   []Appended
	err    error
}

var (
	errBefore = leat.Errorf(leat.CodeStoreFailed, "failed before it was stored").Advise("x")
	errAfter  = leat.Errorf(leat.CodeStoreFailed, "failed after it was stored").Advise("x")
)

// commit is what the store does, or sometimes only half of it.
func (c *campaign) commit(r *rand.Rand) func(context.Context, []store.Tx) ([]store.Result, error) {
	return func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
		switch r.IntN(20) {
		case 0:
			results := make([]store.Result, len(txs))
			for i := range results {
				results[i].Err = store.ErrConflict
			}
			return results, nil
		case 1:
			return nil, errBefore
		case 2:
			if _, err := c.st.Commit(ctx, txs); err != nil {
				return nil, err
			}
			return nil, errAfter
		}
		return c.st.Commit(ctx, txs)
	}
}

// start puts a new journal in place i.
func (c *campaign) start(i int, r *rand.Rand) {
	options := Options{Now: c.clock.Now, KeyWindow: c.window, MaxRecord: 100}
	if r.IntN(2) == 0 {
		options.Memory = -1 + r.Int64N(4<<10)
	}
	source := rand.New(rand.NewPCG(r.Uint64(), 1)) // used by the journal's loop only
	j := New(&hooked{Store: c.st, commit: c.commit(source)}, options)
	c.mu.Lock()
	old := c.journals[i]
	c.journals[i] = j
	c.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

func (c *campaign) journal(i int) *Journal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journals[i%len(c.journals)]
}

// publish is one caller. What fails is repeated if all of it has keys, as a
// publisher would.
func (c *campaign) publish(caller, calls int) {
	r := rand.New(rand.NewPCG(c.seed, uint64(caller)))
	for n := range calls {
		as := make([]Append, 1+r.IntN(4))
		allKeyed := true
		for i := range as {
			as[i] = text(fmt.Sprint("s", r.IntN(3)), fmt.Sprintf("%d-%d-%d", caller, n, i))
			switch r.IntN(8) {
			case 0, 1, 2:
				as[i].Key = fmt.Sprint("shared", r.IntN(20))
			case 3, 4, 5:
				as[i].Key = fmt.Sprintf("own-%d-%d-%d", caller, n, i)
			case 6:
				allKeyed = false
			default:
				if r.IntN(4) == 0 {
					as[i].ContentType = "image/png"
				}
				allKeyed = false
			}
		}
		for range 100 {
			if err := c.call(caller, r, as); err == nil || !allKeyed || leat.CodeOf(err) == leat.CodeTypeMismatch {
				break
			}
		}
		c.clock.add(time.Duration(r.IntN(1000)) * time.Microsecond)
	}
}

func (c *campaign) call(caller int, r *rand.Rand, as []Append) error {
	ctx := context.Background()
	if r.IntN(10) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go cancel() // ends at once
	}
	begun := c.clock.Now()
	var done []Appended
	var err error
	if j := c.journal(r.IntN(100)); len(as) == 1 {
		done, err = appendOne(ctx, j, r.IntN(2) == 0, as[0])
	} else {
		done, err = j.Append(ctx, as...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call{caller, begun, as, done, err})
	return err
}

func (c *campaign) run(callers, calls int) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(callers))
	for i := range callers {
		wg.Go(func() {
			defer left.Add(-1)
			c.publish(i, calls)
		})
	}
	r := rand.New(rand.NewPCG(c.seed, 1<<40))
	for left.Load() > 0 {
		c.start(r.IntN(len(c.journals)), r)
		for n := c.count() + callers*calls/10; c.count() < n && left.Load() > 0; {
			appendOne(context.Background(), c.journal(0), r.IntN(2) == 0, text("pace", "x"))
		}
	}
	wg.Wait()
	for _, j := range c.journals {
		j.Close()
	}
}

func (c *campaign) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// check holds the answers against the log.
func (c *campaign) check() {
	at, stored := c.log()
	last := map[int]leat.Offset{}
	failed := 0
	for _, call := range c.calls {
		if len(call.done) < len(call.as) != (call.err != nil) {
			c.t.Fatalf("%d results of %d, %v", len(call.done), len(call.as), call.err)
		}
		for i, d := range call.done {
			c.checkResult(call, call.as[i], d, at[d.Offset])
			if d.Duplicate {
				continue
			}
			if d.Offset.Compare(last[call.caller]) <= 0 {
				c.t.Fatalf("caller %d: %+v is at %v, after %v", call.caller, call.as[i], d.Offset, last[call.caller])
			}
			last[call.caller] = d.Offset
		}
		if call.err != nil {
			failed++
			c.checkFailure(call, stored)
		}
	}
	c.t.Logf("%d calls, %d failed; %d records", len(c.calls), failed, len(at))
}

// log returns the records, and which payloads without a key are stored. One
// with a key is there again, rightly, if it was repeated after the window.
func (c *campaign) log() (at map[leat.Offset]leat.Record, stored map[string]bool) {
	at, stored = make(map[leat.Offset]leat.Record), make(map[string]bool)
	for _, name := range []string{"s0", "s1", "s2"} {
		wantPositions(c.t, c.st, name)
		keys := map[string]leat.Record{}
		for _, r := range records(c.t, c.st, name) {
			at[r.Offset] = r
			if r.Key == "" {
				if stored[string(r.Data)] {
					c.t.Fatalf("%q is stored twice", r.Data)
				}
				stored[string(r.Data)] = true
				continue
			}
			if first, ok := keys[r.Key]; ok && r.Time.Sub(first.Time) <= c.window {
				c.t.Fatalf("%s: the key %s is there twice within %v", name, r.Key, r.Time.Sub(first.Time))
			}
			keys[r.Key] = r
		}
	}
	return at, stored
}

// checkResult holds the answer to an append against the record at its offset.
func (c *campaign) checkResult(call call, a Append, d Appended, r leat.Record) {
	switch {
	case r.Stream != a.Stream || r.Key != a.Key || !r.Time.Equal(d.Time):
		c.t.Fatalf("%+v was answered with %+v, where %+v is", a, d, r)
	case !d.Duplicate && string(r.Data) != string(a.Data):
		c.t.Fatalf("%q was answered with %v, where %q is", a.Data, d.Offset, r.Data)
	case d.Duplicate && (a.Key == "" || r.Time.Before(call.begun.Add(-c.window))):
		c.t.Fatalf("%+v, published at %v, is no duplicate of %+v", a, call.begun, r)
	}
}

// checkFailure holds a failure against what was stored.
func (c *campaign) checkFailure(call call, stored map[string]bool) {
	switch code := leat.CodeOf(call.err); {
	case code == leat.CodeTypeMismatch:
		for _, a := range call.as[len(call.done):] {
			if stored[string(a.Data)] {
				c.t.Fatalf("%q is stored, after one that was refused", a.Data)
			}
		}
	case code == leat.CodeUnavailable, errors.Is(call.err, errBefore), errors.Is(call.err, errAfter), errors.Is(call.err, context.Canceled):
	default:
		c.t.Fatalf("unexpected: %v", call.err)
	}
}

// No acknowledged append is lost, none is doubled, the order of each caller is
// kept and duplicates are answered with the right offset.
func TestCampaign(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, clock *clock) {
		rounds, calls := 1, 150
		if os.Getenv("LEAT_SOAK") != "" {
			rounds, calls = 20, 1000
		}
		for round := range rounds {
			c := &campaign{t: t, st: st, clock: clock, window: 50 * time.Millisecond, seed: rand.Uint64(), journals: make([]*Journal, 3)}
			t.Logf("round %d: seed %d", round, c.seed)
			r := rand.New(rand.NewPCG(c.seed, 1<<41))
			for i := range c.journals {
				c.start(i, r)
			}
			c.run(8, calls)
			c.check()
			for _, name := range []string{"s0", "s1", "s2", "pace"} {
				if err := storetest.Drop(context.Background(), st, name); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
