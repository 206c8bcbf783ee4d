package server_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "A filter that was quiet for long never gets a false gap, a filter that lost a
// record always gets a true one": a server, with writers and readers who do
// everything at once, against a simple model of what they may be told.
//
// What each of them does follows from the seed; what they meet does not. A failure
// names the seed, and LEAT_MODEL_SEED repeats it.
func TestModel(t *testing.T) {
	for _, class := range []store.Class{store.ClassMemory, classForeign, store.ClassOS, store.ClassDisk} {
		t.Run(string(class), func(t *testing.T) {
			worlds, lives, ops := 1, 6, 70
			if os.Getenv("LEAT_SOAK") == "1" {
				worlds, lives, ops = 10, 12, 400
			}
			for range worlds {
				seed := rand.Uint64()
				if text := os.Getenv("LEAT_MODEL_SEED"); text != "" {
					var err error
					if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
						t.Fatal(err)
					}
				}
				t.Logf("seed %d: repeat it with LEAT_MODEL_SEED=%d go test -race -run 'TestModel/%s$' ./server", seed, seed, class)
				newWorld(t, class, seed).run(lives, ops)
			}
		})
	}
}

// run goes through a number of lives and checks after each what was said in it.
func (w *world) run(lives, ops int) {
	const listeners, downloaders, followers, writers = 10, 4, 6, 4
	var wg sync.WaitGroup
	all := make([]*listener, listeners)
	for i := range all {
		all[i] = &listener{w: w, id: i, r: w.rand(i, 0)}
		wg.Go(all[i].run) // ended by over
	}
	raw := make([]*downloader, downloaders)
	for i := range raw {
		raw[i] = &downloader{w: w, id: i, r: w.rand(50+i, 0)}
		wg.Go(raw[i].run) // ended by over
	}
	durable := make([]*follower, followers)
	for i := range durable {
		durable[i] = &follower{w: w, id: i, r: w.rand(200+i, 0)}
		wg.Go(durable[i].run) // ended by over
	}
	for i := range writers {
		w.producers = append(w.producers, &repeater{id: fmt.Sprint("p", i), next: make(map[string]uint64)})
	}
	defer func() {
		w.mu.Lock()
		w.over = true
		w.changed.Broadcast()
		w.mu.Unlock()
		wg.Wait()
	}()
	st := w.open()
	var ways []string
	for n := range lives {
		r := w.rand(1000, n)
		if len(ways) == 0 { // each of them once, in any order
			ways = []string{endDrained, endShutdown, endKilled, endCut, endCutHard}
			r.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
		}
		how := ways[0]
		ways = ways[1:]
		if n == lives-1 {
			how = endDrained
		}
		l := w.begin(st)
		written := w.write(l, writers, ops, ops/3)
		w.end(l, how, r, listeners+downloaders+followers, func() { written() })
		entries := len(w.truth.log)
		w.checkAcks(written())
		segments := 0
		for _, x := range all {
			for _, s := range x.segments {
				w.checkSegment(l, s)
				segments++
			}
			x.segments = nil
		}
		for _, x := range raw {
			for _, p := range x.pieces {
				w.checkPiece(l, p)
				segments++
			}
			x.pieces = nil
		}
		for _, x := range durable {
			for _, a := range x.answers {
				w.checkDurable(l, a)
				segments++
			}
			x.answers = nil
		}
		w.checkOnce()
		w.checkForks()
		w.t.Logf("life %d, %s: %d entries, %d answers", l.n, how, entries, segments)
		if w.forgets() {
			w.truth = truth{gens: make(map[string][]*content)}
			w.truth.ticks.Store(1)
			w.seen, w.forked = make(map[leat.Offset]string), nil
		}
		st = w.open()
		w.truth.reopen(w.t, st, w.class == store.ClassDisk || how == endKilled || how == endDrained || how == endShutdown, w.seen)
	}
	st.Close()
	w.t.Logf("readers were too slow %d times, and what was met: %v", w.skipped, w.met)
}
