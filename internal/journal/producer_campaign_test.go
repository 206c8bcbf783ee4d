package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A sender is a producer that sends numbered records to one stream, one by one, as a
// run or as two that do not know of each other, and repeats what fails.
type sender struct {
	t      *testing.T
	id     string
	stream string
	name   func(seq uint64) string

	mu    sync.Mutex
	acked uint64 // so many were answered, from the first on
}

func newSender(t *testing.T, n int) *sender {
	s := &sender{t: t, id: fmt.Sprint("producer ", n), stream: fmt.Sprint("s", n%3)}
	s.name = func(seq uint64) string { return fmt.Sprintf("%d/%d", n, seq) }
	return s
}

// answered notes that all before seq is answered.
func (s *sender) answered(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = max(s.acked, seq)
}

// send sends the records up to, not with, last, and goes back a little now and then.
func (s *sender) send(c *campaign, r *rand.Rand, last uint64) {
	for next := uint64(0); next < last; {
		ctx, cancel := context.WithCancel(context.Background())
		if r.IntN(10) == 0 {
			go cancel() // ends at once
		}
		n := min(last-next, 1+r.Uint64N(4))
		var err error
		if j := c.journal(r.IntN(100)); n == 1 {
			var written Written
			written, err = j.Write(ctx, Write{Stream: s.stream, Appends: []Append{text(s.stream, s.name(next))}, Producer: &Producer{s.id, 0, next}})
			if err == nil && written.Accepted.Seq < next {
				s.t.Errorf("%s %d is accepted, and the newest is %d", s.id, next, written.Accepted.Seq)
			}
		} else {
			as := make([]Append, n)
			for i := range as {
				as[i] = text(s.stream, s.name(next+uint64(i)))
			}
			var done []Appended
			done, _, err = j.Produce(ctx, Producer{s.id, 0, next}, as...)
			n = uint64(len(done))
		}
		cancel()
		switch leat.CodeOf(err) {
		case "":
			next += n
			s.answered(next)
			if r.IntN(10) == 0 {
				next -= min(next, r.Uint64N(8))
			}
		case leat.CodeSequenceGap, leat.CodeTypeMismatch, leat.CodeNotFound:
			s.t.Errorf("%s %d: %v", s.id, next, err) // what stands in front was answered
			return
		}
	}
}

// check holds what is stored of a stream against what was answered.
func checkSenders(t *testing.T, st store.Store, senders []*sender) {
	t.Helper()
	for _, name := range []string{"s0", "s1", "s2"} {
		stored := map[string]uint64{}
		for _, r := range records(t, st, name) {
			var n int
			var seq uint64
			if _, err := fmt.Sscanf(string(r.Data), "%d/%d", &n, &seq); err != nil {
				continue // it makes the stream
			}
			if id := fmt.Sprint("producer ", n); stored[id] != seq {
				t.Fatalf("%s: %d of %s is stored where %d is the next", name, seq, id, stored[id])
			} else {
				stored[id]++
			}
		}
		for _, s := range senders {
			if s.stream == name && stored[s.id] < s.acked {
				t.Fatalf("%s: %d of %s are stored, %d were answered", name, stored[s.id], s.id, s.acked)
			}
		}
		wantPositions(t, st, name)
	}
}

// No acknowledged request is lost, none is stored twice, and the order of each producer
// is kept: whatever fails, with several journals over one store that are restarted, and
// with two senders of each name.
func TestProducerCampaign(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, clock *clock) {
		rounds, last := 1, uint64(60)
		if os.Getenv("LEAT_SOAK") != "" {
			rounds, last = 20, 400
		}
		for round := range rounds {
			c := &campaign{t: t, st: st, clock: clock, window: -1, seed: rand.Uint64(), journals: make([]*Journal, 3)}
			t.Logf("round %d: seed %d", round, c.seed)
			r := rand.New(rand.NewPCG(c.seed, 1<<41))
			for i := range c.journals {
				c.start(i, r)
			}
			var senders []*sender
			for n := range 6 {
				s := newSender(t, round*6+n)
				senders = append(senders, s)
				for leat.CodeOf(c.call(n, r, []Append{text(s.stream, "first")})) != "" {
				}
			}
			var sending sync.WaitGroup
			for n, s := range senders {
				for twin := range 2 {
					r := rand.New(rand.NewPCG(c.seed, uint64(2*n+twin)))
					sending.Go(func() { s.send(c, r, last) })
				}
			}
			done := make(chan bool)
			// Ends with the senders, and is waited for.
			go func() { sending.Wait(); close(done) }()
			for over := false; !over; {
				c.start(r.IntN(len(c.journals)), r)
				for range 20 {
					_, _ = appendOne(context.Background(), c.journal(0), r.IntN(2) == 0, text("pace", "x")) // it may fail too
				}
				select {
				case <-done:
					over = true
				default:
				}
			}
			for _, j := range c.journals {
				j.Close()
			}
			checkSenders(t, st, senders)
			for _, s := range senders {
				if s.acked != last {
					t.Errorf("%s: %d of %d were answered", s.id, s.acked, last)
				}
			}
		}
	})
}

// After a power cut what is known of producers is exactly what is stored of them: each
// goes on with the request after its last that is there, and no other.
func TestProducersAfterPowerCut(t *testing.T) {
	rounds := 4
	if os.Getenv("LEAT_SOAK") != "" {
		rounds = 100
	}
	for round := range rounds {
		seed := rand.Uint64()
		t.Logf("round %d: seed %d", round, seed)
		r := rand.New(rand.NewPCG(seed, 1))
		clock, disk := newClock(), vfs.NewCrashableMem()
		st := openPebble(t, clock, disk)
		c := &campaign{t: t, st: st, clock: clock, seed: seed, journals: []*Journal{New(st, Options{Now: clock.Now})}}
		var senders []*sender
		for n := range 6 {
			senders = append(senders, newSender(t, n))
			must(t, c.journals[0], text(senders[n].stream, "first"))
		}
		var sending sync.WaitGroup
		for n, s := range senders {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			sending.Go(func() { s.send(c, r, 50) })
		}
		cut := 10 + r.Uint64N(30)
		for acked := uint64(0); acked < cut && !t.Failed(); {
			senders[0].mu.Lock()
			acked = senders[0].acked
			senders[0].mu.Unlock()
			must(t, c.journals[0], text("pace", "x"))
		}
		before := make([]uint64, len(senders))
		for i, s := range senders {
			s.mu.Lock()
			before[i] = s.acked
			s.mu.Unlock()
		}
		after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		sending.Wait()
		if t.Failed() {
			t.FailNow()
		}
		c.journals[0].Close()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}

		st = openPebble(t, clock, after)
		for i, s := range senders {
			s.acked = before[i]
		}
		checkSenders(t, st, senders)
		j := New(st, Options{Now: clock.Now})
		for n, s := range senders {
			next := uint64(0)
			for _, text := range contents(t, st, s.stream) {
				if text == s.name(next) {
					next++
				}
			}
			w := Write{Stream: s.stream, Appends: []Append{text(s.stream, s.name(next+1))}, Producer: &Producer{s.id, 0, next + 1}}
			_, err := j.Write(context.Background(), w)
			wantCode(t, err, leat.CodeSequenceGap)
			if expected := leat.AsError(err).Fields["expected"]; expected != next {
				t.Errorf("round %d: of producer %d %d are stored, and %v is expected", round, n, next, expected)
			}
			if next > 0 {
				w.Producer.Seq = next - 1
				if got := write(t, j, w); !got.Duplicate {
					t.Errorf("round %d: %d of producer %d is stored again", round, next-1, n)
				}
			}
		}
		j.Close()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
