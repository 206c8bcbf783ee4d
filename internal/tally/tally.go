// Package tally counts what has a name: gaps by reason, refusals by code, times by how
// long they were. It is for what happens once in a while. What happens with each record
// is counted where it happens, by whoever owns that.
package tally

import (
	"maps"
	"sync"
	"time"

	"github.com/leat-dev/leat/store"
)

// A Names counts by name. The zero value has none. All methods may be called by many
// goroutines at once.
type Names struct {
	mu sync.Mutex
	n  map[string]int64
}

// NewNames returns a Names that has these names from the beginning: who asks how often
// something happens is told that it does not.
func NewNames(names ...string) *Names {
	t := &Names{n: make(map[string]int64, len(names))}
	for _, name := range names {
		t.n[name] = 0
	}
	return t
}

// Add counts one more.
func (t *Names) Add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]int64)
	}
	t.n[name]++
}

// Read returns the counts, in a map of the caller's.
func (t *Names) Read() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.n)
}

// bounds are those of the classes that times are counted in, from what a store in memory
// takes to what a disk that hangs does.
var bounds = [...]time.Duration{
	20 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
}

// A Times counts times. The zero value has none. It has no lock: it is its owner's.
type Times struct {
	count   int64
	sum     time.Duration
	classes [len(bounds)]int64 // each without those below it
}

// Add counts one more.
func (t *Times) Add(d time.Duration) {
	t.count++
	t.sum += d
	for i, bound := range bounds {
		if d <= bound {
			t.classes[i]++
			return
		}
	}
}

// Read returns what was counted.
func (t *Times) Read() store.Times {
	out := store.Times{Count: t.count, Sum: t.sum, UpTo: make([]store.TimesUpTo, len(bounds))}
	n := int64(0)
	for i, bound := range bounds {
		n += t.classes[i]
		out.UpTo[i] = store.TimesUpTo{Bound: bound, Count: n}
	}
	return out
}
