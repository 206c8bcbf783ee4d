package store_test

import (
	"fmt"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// three is a store that was opened three times: at sequence 1, again after 49
// records, and again after a power cut that took everything from 70 on.
var three = store.Epochs{{Epoch: 1000, First: 1}, {Epoch: 2000, First: 51}, {Epoch: 3000, First: 70}}

// "The epoch is the last one that began at or before it, or the oldest."
func TestEpochsOffset(t *testing.T) {
	for seq, epoch := range map[uint64]uint64{
		0: 1000, 1: 1000, 2: 1000, 50: 1000, 51: 2000, 52: 2000, 69: 2000, 70: 3000, 71: 3000, 1 << 60: 3000,
	} {
		if got, want := three.Offset(seq), (leat.Offset{Epoch: epoch, Seq: seq}); got != want {
			t.Errorf("sequence %d is at %v, want %v", seq, got, want)
		}
	}
	restored := store.Epochs{{Epoch: 5, First: 100}}
	if got := restored.Offset(7); got != (leat.Offset{Epoch: 5, Seq: 7}) {
		t.Errorf("a sequence before the oldest epoch is at %v", got)
	}
}

func TestEpochsResolve(t *testing.T) {
	const head = 90
	for _, test := range []struct {
		why        string
		epoch, seq uint64
		after      uint64
		loss       store.Loss
	}{
		{"the start, in any epoch", 0, 0, 0, store.LossNone},
		{"the start, in any epoch", 1000, 0, 0, store.LossNone},
		{"the start, in any epoch", 777, 0, 0, store.LossNone},
		{"the start, in any epoch", 1 << 60, 0, 0, store.LossNone},

		{"the opening of an empty store", 1000, 1, 1, store.LossNone},
		{"a record of the first epoch", 1000, 50, 50, store.LossNone},
		{"lost with the first epoch's tail", 1000, 51, 51, store.LossLost},
		{"lost with the first epoch's tail", 1000, 60, 51, store.LossLost},
		{"lost, and beyond the head", 1000, 500, 51, store.LossLost},
		{"the second opening", 2000, 51, 51, store.LossNone},
		{"a record of the second epoch", 2000, 69, 69, store.LossNone},
		{"lost in the power cut", 2000, 70, 70, store.LossLost},
		{"lost in the power cut", 2000, 1000, 70, store.LossLost},
		{"a record of the newest epoch", 3000, 71, 71, store.LossNone},
		{"the head", 3000, 90, 90, store.LossNone},
		{"a sequence that was never handed out", 3000, 91, 90, store.LossForeign},
		// An epoch and a sequence before it: never handed out, but nothing
		// that came after it has been seen.
		{"before its epoch began", 3000, 10, 10, store.LossNone},

		{"older than everything here", 999, 40, 1, store.LossForeign},
		{"older than everything here", 1, 1, 1, store.LossForeign},
		{"a store restarted between two of our openings", 1500, 40, 51, store.LossForeign},
		{"a store restarted between two of our openings", 1500, 4000, 51, store.LossForeign},
		{"another one between the last two", 2999, 80, 70, store.LossForeign},
		{"younger than everything here", 3001, 5, 90, store.LossForeign},
		{"younger than everything here", 1 << 53, 5000, 90, store.LossForeign},
	} {
		after, loss := three.Resolve(leat.Offset{Epoch: test.epoch, Seq: test.seq}, head)
		if after != test.after || loss != test.loss {
			t.Errorf("%s: %d_%d resolves to %d, %q, want %d, %q",
				test.why, test.epoch, test.seq, after, loss, test.after, test.loss)
		}
	}
}

// Every position that the store has handed out, and has not lost, resolves to
// itself; and no offset whatever resolves to a position beyond the head, or
// to one that repeats what its reader has seen.
func TestEpochsResolveAll(t *testing.T) {
	const head = 90
	for seq := uint64(1); seq <= head; seq++ {
		if after, loss := three.Resolve(three.Offset(seq), head); after != seq || loss != store.LossNone {
			t.Errorf("%v resolves to %d, %q", three.Offset(seq), after, loss)
		}
	}
	for epoch := uint64(0); epoch <= 4000; epoch += 250 {
		for seq := uint64(0); seq <= 200; seq++ {
			o := leat.Offset{Epoch: epoch, Seq: seq}
			after, loss := three.Resolve(o, head)
			switch {
			case after > head:
				t.Errorf("%v resolves to %d, beyond the head", o, after)
			case loss == store.LossNone && after != seq:
				t.Errorf("%v resolves to %d without a loss", o, after)
			}
			// Where it goes on elsewhere, what lies behind was stored in an
			// epoch as young or younger: the reader cannot have seen it.
			if next := three.Offset(after + 1); after < head && loss != store.LossNone && next.Epoch < epoch {
				t.Errorf("%v resolves to %d, and the next record, at %v, is older", o, after, next)
			}
		}
	}
}

func ExampleEpochs_Resolve() {
	epochs := store.Epochs{{Epoch: 1000, First: 1}, {Epoch: 2000, First: 51}}
	for _, o := range []leat.Offset{{Epoch: 1000, Seq: 42}, {Epoch: 1000, Seq: 60}, {Epoch: 1500, Seq: 60}} {
		after, loss := epochs.Resolve(o, 99)
		fmt.Printf("%d %q\n", after, loss)
	}
	// Output:
	// 42 ""
	// 51 "lost"
	// 51 "foreign"
}
