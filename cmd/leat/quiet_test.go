package main

import "testing"

// Memory is given back once after a busy time, not during it, and not in a time in
// which little happens.
func TestQuiet(t *testing.T) {
	var q quiet
	now := uint64(0)
	for i, test := range []struct {
		mib  uint64 // allocated since the look before
		want bool
	}{
		{3, false}, {0, false}, // starting is not worth it
		{100, false}, {100, false}, {0, true}, {0, false}, {0, false},
		{2, false}, {2, false}, {2, false}, {2, false}, {0, true}, {0, false},
	} {
		now += test.mib << 20
		if got := q.look(now); got != test.want {
			t.Errorf("look %d: %v", i, got)
		}
	}
}
