package session

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
	"github.com/leat-dev/leat/store/storetest"
)

// "≥ 1 M race rounds, zero lost": a poll of what comes after a record, while the next
// is being appended, is answered with that record, and while the stream is being ended
// with the end, whichever of the two is first. A poll that is answered with nothing has
// lost its wake-up. In a soak, and in step figures, there are 1,000,000 rounds.
func TestRaceAppendAgainstPoll(t *testing.T) {
	mem := func(t *testing.T) store.Store { return memstore.New(memstore.Options{}) }
	for name, open := range map[string]func(t *testing.T) store.Store{
		"mem": mem,
		"pebble": func(t *testing.T) store.Store {
			st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Durability: store.ClassOS, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return st
		},
		"foreign": func(t *testing.T) store.Store {
			return storetest.Foreign(mem(t), storetest.ForeignOptions{ShortReads: true, Reverse: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			rounds := int64(10_000)
			switch soak := os.Getenv("LEAT_SOAK") == "1"; {
			case soak && name == "mem":
				rounds = 1_000_000
			case soak:
				rounds = 200_000
			}
			k := newKit(t, open(t))
			var left, waited atomic.Int64
			left.Store(rounds)
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			var running sync.WaitGroup
			for i := range 8 {
				p := &poller{ctx: ctx, kit: k, lane: i, rng: rand.New(rand.NewPCG(uint64(i), 1)), waited: &waited}
				running.Go(func() {
					for left.Add(-roundsOfStream) >= 0 {
						if err := p.stream(); err != nil {
							stop(err)
							return
						}
					}
				})
			}
			running.Wait()
			if err := context.Cause(ctx); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d rounds; in %d the poll was there first", rounds, waited.Load())
		})
	}
}

// roundsOfStream is how many records a stream of the race has, the end included.
const roundsOfStream = 20

// A poller is one lane of the race: streams that are appended to while they are polled.
type poller struct {
	ctx    context.Context
	kit    *kit
	lane   int
	made   int
	rng    *rand.Rand
	waited *atomic.Int64
}

// stream races through the life of one stream.
func (p *poller) stream() error {
	p.made++
	name := fmt.Sprintf("lane/%d/%d", p.lane, p.made)
	filter, err := leat.ParseFilter(name)
	if err != nil {
		return err
	}
	rd := &Reading{Filter: filter, Form: render.Raw}
	for n := 1; n <= roundsOfStream; n++ {
		r := leat.Record{Stream: name, Kind: leat.KindText, Pos: int64(n - 1), Data: []byte("x")}
		if n == roundsOfStream {
			r = leat.Record{Stream: name, Kind: leat.KindEnd, Type: string(leat.EndComplete), Pos: int64(n - 1)}
		}
		var polling atomic.Bool
		appended := make(chan error, 1)
		before := time.Duration(p.rng.IntN(1 << p.rng.IntN(20)))
		// Ended by its append.
		go func() {
			for began := time.Now(); time.Since(began) < before; {
				runtime.Gosched()
			}
			if polling.Load() {
				p.waited.Add(1)
			}
			appended <- p.add(r)
		}()
		for i := p.rng.IntN(1 << p.rng.IntN(6)); i > 0; i-- {
			runtime.Gosched()
		}
		polling.Store(true)
		c, err := p.kit.Collect(p.ctx, rd, Want{Most: 1 << 20, Wait: 30 * time.Second})
		polling.Store(false)
		if err == nil {
			err = <-appended
		}
		if err != nil {
			return err
		}
		if ended := c.End != ""; c.Next == 0 || ended != (r.Kind == leat.KindEnd) || c.Bytes != len(r.Data) || !c.UpToDate {
			return fmt.Errorf("%s, round %d: %+v: a wake-up was lost", name, n, c)
		}
		rd.Start = live.Start{After: c.Next}
	}
	return storetest.Drop(p.ctx, p.kit.st, name)
}

func (p *poller) version(name string) uint64 {
	info, err := p.kit.st.Stream(p.ctx, name)
	if err != nil {
		return 0
	}
	return info.Version
}

// add commits a record, over conflicts.
func (p *poller) add(r leat.Record) error {
	for {
		results, err := p.kit.st.Commit(p.ctx, []store.Tx{{Stream: r.Stream, Version: p.version(r.Stream), ContentType: "text/plain", Records: []leat.Record{r}}})
		if err != nil || results[0].Err != store.ErrConflict {
			if err == nil {
				err = results[0].Err
			}
			return err
		}
	}
}
