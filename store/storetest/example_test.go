package storetest_test

import (
	"testing"

	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/storetest"
)

// The test of a driver is this, and a Medium where a store can lose power or fail.
func Example() {
	_ = func(t *testing.T) { // TestStore
		storetest.Run(t, storetest.Harness{
			Open: func(testing.TB) store.Store { return memstore.New(memstore.Options{}) },
		})
	}
	// Output:
}
