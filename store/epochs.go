package store

import (
	"slices"

	"github.com/leat-dev/leat"
)

// An Epoch is one opening of a store.
type Epoch struct {
	// Epoch is when the store was opened, in microseconds since 1970, and
	// at least the previous epoch plus one.
	Epoch uint64

	// First is the sequence that the opening itself took. Records of the
	// epoch have greater sequences.
	First uint64
}

// Epochs is the history of openings of one store, oldest first.
type Epochs []Epoch

// Offset returns the offset of a sequence: the epoch is the last one that
// began at or before it, or the oldest.
func (es Epochs) Offset(seq uint64) leat.Offset {
	i, found := slices.BinarySearchFunc(es, seq, func(e Epoch, seq uint64) int {
		switch {
		case e.First < seq:
			return -1
		case e.First > seq:
			return 1
		}
		return 0
	})
	if !found && i > 0 {
		i--
	}
	return leat.Offset{Epoch: es[i].Epoch, Seq: seq}
}

// A Loss says why a reader cannot go on from an offset as it was.
type Loss string

// The ways in which an offset can fail to name a position of this store.
const (
	// LossNone: it names one.
	LossNone Loss = ""

	// LossLost: the store has had that position and lost it, for example in
	// a power cut or by a restored backup.
	LossLost Loss = "lost"

	// LossForeign: the store never had it. The offset is another store's,
	// or that of a memory store before it was restarted.
	LossForeign Loss = "foreign"
)

// Resolve returns the position at which a reader with offset o goes on, given
// the head of the store.
//
// An offset of a known epoch is good if its sequence is below the First of
// the next epoch. Otherwise what the reader saw after that was lost, and it
// goes on there: nothing that it has seen is repeated, since whatever the
// store holds from there on was stored later.
//
// An offset of an unknown epoch belongs to a history that this store does not
// have. All that the store took in epochs younger than that one is surely new
// to the reader, so it goes on there; if there are none, at the head.
func (es Epochs) Resolve(o leat.Offset, head uint64) (after uint64, loss Loss) {
	if o.IsStart() {
		return 0, LossNone
	}
	i, known := slices.BinarySearchFunc(es, o.Epoch, func(e Epoch, epoch uint64) int {
		switch {
		case e.Epoch < epoch:
			return -1
		case e.Epoch > epoch:
			return 1
		}
		return 0
	})
	if !known {
		if i < len(es) {
			return es[i].First, LossForeign
		}
		return head, LossForeign
	}
	switch {
	case i+1 < len(es) && o.Seq >= es[i+1].First:
		return es[i+1].First, LossLost
	case o.Seq > head:
		return head, LossForeign
	}
	return o.Seq, LossNone
}
