package live_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// raceRounds is how many rounds the race below has on a store. A million takes
// about 15 s on memstore and 45 s on pebblestore, and ten times that with the
// race detector.
func raceRounds(st store.Store) int64 {
	_, mem := st.(*memstore.Store)
	switch {
	case soak(), mem && !raceDetector:
		return 1_000_000
	case raceDetector:
		return 5_000
	default:
		return 50_000
	}
}

// "A race of 1,000,000 append-against-read rounds on live over both stores
// without a lost wake-up."
//
// A round is one append, made while its reader looks for it and then waits. The
// reader asks for the append and looks at once, after a delay of a random
// length, so that every order of the two happens: the record is there before
// the look, between the look and the wait, or after. The next round begins when
// the reader has got the record, so that a wake-up that was lost is never made
// good for by a later one: the lane stands still and the watchdog says so.
func TestRaceAppendAgainstRead(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{})
		lanes := make([]*lane, 8)
		left := atomic.Int64{}
		left.Store(raceRounds(st))
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		var running sync.WaitGroup
		for i := range lanes {
			ln := &lane{ctx: ctx, st: st, stream: fmt.Sprintf("lane/%d", i), left: &left, ask: make(chan struct{}), gave: make(chan uint64, 1)}
			lanes[i] = ln
			topics := []string{ln.stream} // half of them by name, half by patterns
			if i%2 == 1 {
				topics = []string{"none/*", "*/" + strconv.Itoa(i)}
			}
			ln.bell = newBell()
			var err error
			if ln.reader, err = l.Join(ctx, filter(t, topics...), plain{}, l.Now(), ln.bell); err != nil {
				t.Fatal(err)
			}
			defer ln.reader.Close()
			running.Go(func() { ln.fail(stop, ln.write()) })
			running.Go(func() { ln.fail(stop, ln.read()) })
		}
		done := make(chan struct{})
		go func() { running.Wait(); close(done) }() // ends with the lanes
		watch(t, lanes, done, stop)
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
		rounds, waits := int64(0), int64(0)
		for _, ln := range lanes {
			rounds, waits = rounds+ln.rounds.Load(), waits+ln.waits
		}
		if rounds != raceRounds(st) {
			t.Errorf("%d rounds, want %d", rounds, raceRounds(st))
		}
		t.Logf("%d rounds; in %d the reader waited", rounds, waits)
	})
}

// A lane is a writer and a reader of one stream, in step.
type lane struct {
	ctx    context.Context
	st     store.Store
	stream string
	left   *atomic.Int64 // rounds, of all lanes together
	ask    chan struct{} // from reader to writer: append now
	gave   chan uint64   // from writer to reader: what was appended
	reader *live.Reader
	bell   bell

	rounds atomic.Int64
	ended  atomic.Bool
	waits  int64 // of the reader
}

func (ln *lane) fail(stop context.CancelCauseFunc, err error) {
	if err != nil && ln.ctx.Err() == nil {
		stop(fmt.Errorf("%s: %w", ln.stream, err))
	}
}

func (ln *lane) write() error {
	for n := int64(1); ; n++ {
		select {
		case _, ok := <-ln.ask:
			if !ok {
				return nil
			}
		case <-ln.ctx.Done():
			return nil
		}
		records, err := put(ln.ctx, ln.st, ln.stream, "x")
		if err != nil {
			return err
		}
		seq := records[0].Offset.Seq
		if n%1000 == 0 { // so that the store stays small
			if err := ln.st.Trim(ln.ctx, ln.stream, seq-1); err != nil {
				return err
			}
		}
		ln.gave <- seq
	}
}

func (ln *lane) read() error {
	defer ln.ended.Store(true)
	defer close(ln.ask)
	rng := rand.New(rand.NewPCG(uint64(len(ln.stream)), 1))
	var out frame.Ranges
	for ln.left.Add(-1) >= 0 {
		select {
		case ln.ask <- struct{}{}:
		case <-ln.ctx.Done():
			return nil
		}
		delay(rng)
		state := ln.reader.Peek(&out, 1<<10)
		for state == live.Idle {
			ln.waits++
			select {
			case <-ln.bell:
			case <-ln.ctx.Done():
				return nil
			}
			state = ln.reader.Peek(&out, 1<<10)
		}
		if state != live.Due || len(out.Bytes) != 1 {
			return fmt.Errorf("state %v with %d pieces", state, len(out.Bytes))
		}
		got := string(out.Bytes[0])
		ln.reader.Advance(&out, out.Len())
		seq := <-ln.gave
		if want := string(plain{}.Append(nil, &leat.Record{Stream: ln.stream, Offset: leat.Offset{Seq: seq}, Data: []byte("x")})); got != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		ln.rounds.Add(1)
	}
	return nil
}

// delay lets anything from nothing to some microseconds pass.
func delay(rng *rand.Rand) {
	switch n := rng.IntN(8); {
	case n < 2:
	case n < 4:
		runtime.Gosched()
	default:
		for i := rng.IntN(1 << (2 * n)); i > 0; i-- {
			spun.Add(1)
		}
	}
}

var spun atomic.Int64 // keeps the compiler from leaving the loop out

// watch waits for the lanes. When one stands still for patience it says what
// all goroutines wait for, and stops the lanes.
func watch(t *testing.T, lanes []*lane, done <-chan struct{}, stop context.CancelCauseFunc) {
	tick := time.NewTicker(patience / 10)
	defer tick.Stop()
	seen := make([]int64, len(lanes))
	still := make([]int, len(lanes))
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		for i, ln := range lanes {
			if n := ln.rounds.Load(); n != seen[i] {
				seen[i], still[i] = n, 0
			} else if still[i]++; still[i] == 10 && !ln.ended.Load() {
				stop(fmt.Errorf("%s stands still in round %d: a wake-up was lost; the goroutines:\n%s", ln.stream, n, stacks()))
				<-done
				return
			}
		}
	}
}
