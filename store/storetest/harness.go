// Package storetest is the test suite that every driver of package store
// passes, and the proof that the contract can be kept.
//
// A driver's own test is a harness and four calls:
//
//	var harness = storetest.Harness{Open: open}
//
//	func TestStore(t *testing.T)       { storetest.Run(t, harness) }
//	func TestStoreCrash(t *testing.T)  { storetest.RunCrash(t, harness) }
//	func TestStoreFaults(t *testing.T) { storetest.RunFaults(t, harness) }
//	func BenchmarkStore(b *testing.B)  { storetest.Bench(b, harness) }
//
// Nothing is skipped because of an ability that a driver does not declare:
// the suite then asserts what the contract says about its absence. With
// LEAT_SOAK=1 in the environment the random campaigns are longer and the big
// stores have their full size.
//
// [Foreign] wraps a store so that it behaves as one node's view of a cluster
// does: the stages above the store run their tests over it too.
package storetest

import (
	"testing"

	"github.com/leat-dev/leat/store"
)

// A Harness is what the suite needs to know of a driver.
type Harness struct {
	// Open returns a fresh, empty store. The suite closes it.
	Open func(t testing.TB) store.Store

	// Medium returns a fresh, empty medium. It is nil for a store that keeps
	// nothing when it is closed: RunCrash and RunFaults then assert that its
	// class is memory, and no more.
	Medium func(t testing.TB) Medium
}

// A Medium is what a durable store keeps its bytes on.
type Medium interface {
	// Open opens what the medium holds. At most one store is open on a
	// medium at a time; the suite closes it.
	Open() (store.Store, error)

	// PowerCut returns the medium as it would be found after a power cut
	// right now: bytes that were not synced may be gone, or there in part.
	// The receiver and the store that is open on it stay usable.
	PowerCut() Medium

	// Fail makes operations of that kind fail with err from now on, until it
	// is called again; nil heals. It is safe while the store is in use.
	Fail(op Op, err error)
}

// An Op is a kind of operation on a Medium.
type Op int

// The kinds of operation that can be made to fail.
const (
	OpWrite Op = iota // writing bytes: to the log and to every other file
	OpSync            // making written bytes durable
)

// String returns "write" or "sync".
func (op Op) String() string {
	if op == OpSync {
		return "sync"
	}
	return "write"
}

// Run tests every method of the contract.
func Run(t *testing.T, h Harness) {
	for _, test := range conformance {
		t.Run(test.name, func(t *testing.T) { test.run(open(t, h)) })
	}
}

// RunCrash cuts the power and opens what is left, again and again.
func RunCrash(t *testing.T, h Harness) {
	if isVolatile(t, h) {
		return
	}
	for _, test := range crashes {
		t.Run(test.name, func(t *testing.T) { test.run(t, h) })
	}
}

// RunFaults makes the medium fail.
func RunFaults(t *testing.T, h Harness) {
	if isVolatile(t, h) {
		return
	}
	for _, test := range faults {
		t.Run(test.name, func(t *testing.T) { test.run(t, h) })
	}
}

type test struct {
	name string
	run  func(*testing.T, Harness)
}

// isVolatile holds for a harness without a medium, and asserts that such a
// store does not claim to survive anything.
func isVolatile(t *testing.T, h Harness) bool {
	if h.Medium != nil {
		return false
	}
	s := h.Open(t)
	defer s.Close()
	if c := s.Abilities().Class; c != store.ClassMemory {
		t.Errorf("the harness has no medium, but the store declares class %q", c)
	}
	return true
}
