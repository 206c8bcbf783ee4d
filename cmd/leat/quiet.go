package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A busy time, such as ten thousand readers that come at once, leaves memory behind
// that nobody uses. The runtime gives it back minutes later, or never while it is in
// doubt; whoever looks at the process meanwhile sees twice what it needs. So this
// command gives it back as soon as it is quiet.
const (
	quietLook  = 5 * time.Second
	quietBelow = 1 << 20 // allocated since the last look
	worthwhile = 8 << 20 // allocated since it was given back
)

// A quiet tells when to give memory back.
type quiet struct{ last, given uint64 }

// look takes the bytes allocated so far, and reports whether it is time.
func (q *quiet) look(allocated uint64) bool {
	calm := allocated-q.last < quietBelow
	q.last = allocated
	if !calm || allocated-q.given < worthwhile {
		return false
	}
	q.given = allocated
	return true
}

// giveBackMemory gives memory back in quiet times, until ctx ends.
func giveBackMemory(ctx context.Context) {
	look := time.NewTicker(quietLook)
	defer look.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var q quiet
	for {
		select {
		case <-look.C:
			if metrics.Read(sample); q.look(sample[0].Value.Uint64()) {
				// What pools hold goes with the second collection, and a stack becomes
				// half as large with each.
				runtime.GC()
				debug.FreeOSMemory()
			}
		case <-ctx.Done():
			return
		}
	}
}
