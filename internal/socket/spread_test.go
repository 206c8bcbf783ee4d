package socket

import (
	"testing"
	"time"
)

// Readers that are sent away together do not come back together: about as many in
// each tenth of a second, none at once and none later than they were told.
func TestFarewellSpread(t *testing.T) {
	const readers, spread, bin = 15_000, 5 * time.Second, 100 * time.Millisecond
	const mean = readers * int(bin) / int(spread)
	var bins [spread / bin]int
	for range readers {
		after := farewellDelay(spread) - 500*time.Millisecond
		if after < 0 || after > spread {
			t.Fatalf("told to come back %v after the soonest", after)
		}
		bins[min(int(after/bin), len(bins)-1)]++
	}
	for i, n := range bins {
		if n < mean*6/10 || n > mean*14/10 { // seven times the deviation
			t.Errorf("%d come back in the %d-th tenth of a second, on average %d", n, i, mean)
		}
	}
}
