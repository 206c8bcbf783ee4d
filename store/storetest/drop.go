package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "Drop removes a stream … if it has the version given; otherwise the error is
// ErrConflict."
func testDropConflicts(k *kit) {
	due := time.UnixMicro(1)
	made := k.set("s", store.Tx{State: []store.Entry{{Key: "k", Value: []byte("v")}}, Due: &due})
	stored := k.put("s", recs(3)...)
	appended := k.latest("s", stored).Version
	refused := func(what string, version uint64) {
		k.Helper()
		order, size := k.order(), k.s.Size()
		err := k.s.Drop(k.ctx, "s", version)
		if !errors.Is(err, store.ErrConflict) {
			k.Fatalf("Drop with %s: %v, want a conflict", what, err)
		}
		k.want("the stream after a Drop with "+what, k.stream("s", 0, 0), stored)
		if now := k.order(); now != order || k.s.Size() != size {
			k.Fatalf("a Drop with %s: the order was %d and is %d, the size %d and %d", what, order, now, size, k.s.Size())
		}
		names, err := k.s.Due(k.ctx, time.Now(), 10)
		k.ok(err)
		if value := k.info("s", "k").State["k"]; string(value) != "v" || !slices.Equal(names, []string{"s"}) {
			k.Fatalf("a Drop with %s left the state %q and due are %q", what, value, names)
		}
	}
	refused("the version of no stream", 0)
	refused("the version before an append", made)
	refused("the sequence of its first record", stored[0].Offset.Seq)
	refused("a version that never was", math.MaxUint64)
	version := k.set("s", store.Tx{})
	refused("the version before an empty Tx", appended)

	// A Trim leaves the version alone.
	k.ok(k.s.Trim(k.ctx, "s", stored[0].Offset.Seq))
	k.dropAt("s", version)
	k.want("the dropped stream", k.stream("s", 0, 0), nil)
	order := k.order()
	for _, v := range []uint64{0, made, version, math.MaxUint64} {
		k.removes(fmt.Sprint("Drop of what does not exist, with version ", v), false, k.s.Drop(k.ctx, "s", v), order)
	}

	stored = nil
	anew := k.set("s", store.Tx{State: []store.Entry{{Key: "k", Value: []byte("v")}}, Due: &due})
	if made >= appended || appended >= version || version >= anew {
		k.Errorf("the versions were %d, %d, %d, and %d anew: they do not grow", made, appended, version, anew)
	}
	for what, v := range map[string]uint64{"the last": version, "the first": made, "one": appended} {
		refused(what+" version of the stream before it", v)
	}
	k.dropAt("s", anew)
}

// dropAt drops a stream that has a version. A store that lags has others who
// change the stream, which is then dropped whatever they made of it.
func (k *kit) dropAt(name string, version uint64) {
	k.Helper()
	err := k.s.Drop(k.ctx, name, version)
	if errors.Is(err, store.ErrConflict) && !k.ab.ReadAfterWrite {
		err = Drop(k.ctx, k.s, name)
	}
	k.ok(err)
}

// Of a Drop and a Commit computed from one version exactly one wins, so that a
// Commit that was acknowledged is never dropped by somebody who did not know
// of it.
func testDropAgainstCommit(k *kit) {
	// How often each wins is the scheduler's to say: there are as many rounds as
	// it takes.
	const enough, most = 5, 20_000
	var stored []leat.Record
	commits, drops := 0, 0
	for round := 0; commits < enough || drops < enough || round < 100; round++ {
		if round == most {
			k.Fatalf("in %d rounds the Commit has won %d times and the Drop %d times", round, commits, drops)
		}
		stored = append(stored, k.put("s", rec("before"))...)
		info := k.latest("s", stored)
		records := at(info, []leat.Record{rec(fmt.Sprint(round))})
		committed, dropped := make(chan error, 1), make(chan error, 1)
		both := []func(){
			func() {
				results, err := k.s.Commit(k.ctx, []store.Tx{{Stream: "s", Version: info.Version, Records: records}})
				if err == nil {
					err = results[0].Err
				}
				committed <- err
			},
			func() { dropped <- k.s.Drop(k.ctx, "s", info.Version) },
		}
		// They end by themselves; the test waits for both.
		go both[round%2]()
		go both[1-round%2]()
		errCommit, errDrop := k.await("Commit", committed), k.await("Drop", dropped)
		for _, err := range []error{errCommit, errDrop} {
			if err != nil && !errors.Is(err, store.ErrConflict) {
				k.Fatal(err)
			}
		}
		switch {
		case errCommit == nil && errDrop == nil:
			k.Fatalf("round %d: the Commit was acknowledged, and a Drop of the version before it succeeded", round)
		case errCommit == nil:
			commits++
			stored = append(stored, records...)
		case errDrop == nil:
			drops++
			stored = nil
		case k.ab.ReadAfterWrite:
			k.Fatalf("round %d: both met a conflict, and nobody else was there", round)
		}
		k.want(fmt.Sprintf("round %d, Commit: %v, Drop: %v", round, errCommit, errDrop), k.stream("s", 0, 0), stored)
	}
}
