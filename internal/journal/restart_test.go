package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
)

// After a power cut, a publisher that repeats what it has sent stores what was
// lost and nothing twice; what was acknowledged was not lost.
func TestPowerCut(t *testing.T) {
	const callers, each = 4, 40
	c := newClock()
	disk := vfs.NewCrashableMem()
	st := openPebble(t, c, disk)
	j := New(st, Options{Now: c.Now})

	publish := func(j *Journal, caller, i int) (Appended, error) {
		done, err := appendOne(context.Background(), j, i%2 == 0,
			keyed(fmt.Sprint("s", caller%2), fmt.Sprint(caller, "/", i), fmt.Sprint(caller, " ", i)))
		if err != nil {
			return Appended{}, err
		}
		return done[0], nil
	}
	var mu sync.Mutex
	acked := map[string]Appended{} // before the power was cut
	var after *vfs.MemFS
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				d, err := publish(j, caller, i)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if after == nil {
					acked[fmt.Sprint(caller, " ", i)] = d
				}
				if len(acked) == callers*each/2 && after == nil {
					after = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 2))})
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	j.Close()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	st = openPebble(t, c, after)
	defer st.Close()
	j = New(st, Options{Now: c.Now})
	defer j.Close()
	offsets := map[leat.Offset]bool{}
	for caller := range callers {
		for i := range each {
			d, err := publish(j, caller, i)
			if err != nil {
				t.Fatal(err)
			}
			if was, ok := acked[fmt.Sprint(caller, " ", i)]; ok {
				wantDuplicate(t, d, was)
			}
			offsets[d.Offset] = true
		}
	}
	if n := len(contents(t, st, "s0")) + len(contents(t, st, "s1")); n != callers*each || len(offsets) != n {
		t.Errorf("%d records at %d offsets, want %d", n, len(offsets), callers*each)
	}
	wantPositions(t, st, "s0")
	wantPositions(t, st, "s1")
}
