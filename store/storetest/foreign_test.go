package storetest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/storetest"
)

func foreign(o storetest.ForeignOptions) storetest.Harness {
	return storetest.Harness{Open: func(testing.TB) store.Store {
		return storetest.Foreign(memstore.New(memstore.Options{}), o)
	}}
}

// A foreign store keeps the contract as much as any other.
func TestForeign(t *testing.T) {
	for name, o := range map[string]storetest.ForeignOptions{
		"Zero":       {},
		"Seed":       {Seed: 1},
		"Worst":      {Rivalry: 60, Lag: 20, MaxTxRecords: 1},
		"ShortReads": {ShortReads: true, Reverse: true},
		"Tame":       {Rivalry: -1, Lag: -1, MaxTxRecords: -1, Reverse: true},
	} {
		t.Run(name, func(t *testing.T) { storetest.Run(t, foreign(o)) })
	}
}

// And it is as unpleasant as it says.
func TestForeignIsForeign(t *testing.T) {
	ctx := context.Background()
	s := storetest.Foreign(memstore.New(memstore.Options{}), storetest.ForeignOptions{Write: storetest.ForeignRecord})
	defer s.Close()
	if a := s.Abilities(); a.Reverse || a.ReadAfterWrite || a.MaxTxRecords != 8 {
		t.Errorf("its abilities are %+v", a)
	}
	var own, conflicts, stale int
	var version uint64
	for range 1000 {
		info, err := s.Stream(ctx, "s")
		if err != nil {
			t.Fatal(err)
		}
		if info.Version < version {
			stale++
		}
		tx := store.Tx{Stream: "s", Version: info.Version, Records: []leat.Record{{Stream: "s", Pos: info.End, Data: []byte("own")}}}
		results, err := s.Commit(ctx, []store.Tx{tx})
		if err != nil {
			t.Fatal(err)
		}
		switch err := results[0].Err; {
		case err == nil:
			own++
			version = results[0].Version
		case errors.Is(err, store.ErrConflict):
			conflicts++
		default:
			t.Fatal(err)
		}
	}
	got, foreign, holes := followForeign(t, s)
	if got != own {
		t.Errorf("%d records were stored and %d followed", own, got)
	}
	t.Logf("%d own records, %d foreign ones, %d conflicts, %d stale answers, %d holes", own, foreign, conflicts, stale, holes)
	if own < 100 || foreign < 100 || conflicts < 100 || stale < 100 || holes < 100 {
		t.Error("too little of something to test anything")
	}
	// The stream that makes holes does not show.
	infos, err := s.Streams(ctx, "", "", 10)
	if err != nil || len(infos) != 1 {
		t.Errorf("there are the streams %+v, %v, want one", infos, err)
	}
}

// followForeign counts the records of both writers, and the holes. The records
// of one stream fit together, whoever wrote them.
func followForeign(t *testing.T, s store.Store) (own, foreign, holes int) {
	pos, last := int64(0), s.Epochs()[0].First
	for b, err := range s.Follow(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			if r.Pos != pos {
				t.Fatalf("record %v is at %d, want %d", r.Offset, r.Pos, pos)
			}
			if r.Offset.Seq > last+1 {
				holes++
			}
			pos, last = r.End(), r.Offset.Seq
			if r.Type == "foreign" {
				foreign++
			} else {
				own++
			}
		}
		if b.Next >= s.Head() {
			return own, foreign, holes
		}
	}
	return own, foreign, holes
}

// Two Foreigns over one store are two nodes: what one writes the other follows,
// and they meet each other in conflicts.
func TestForeignNodes(t *testing.T) {
	ctx := context.Background()
	inner := memstore.New(memstore.Options{})
	defer inner.Close()
	const each = 50
	failed := make(chan error, 2)
	for i := range uint64(2) {
		node := storetest.Foreign(inner, storetest.ForeignOptions{Seed: i, Rivalry: -1})
		go func() { failed <- appendAll(ctx, node, each) }() // ends by itself; the test waits
	}
	if err := errors.Join(<-failed, <-failed); err != nil {
		t.Fatal(err)
	}
	other := storetest.Foreign(inner, storetest.ForeignOptions{Seed: 7})
	if own, _, _ := followForeign(t, other); own != 2*each {
		t.Errorf("%d records, want %d", own, 2*each)
	}
}

func appendAll(ctx context.Context, s store.Store, n int) error {
	for n > 0 {
		info, err := s.Stream(ctx, "s")
		if err != nil {
			return err
		}
		tx := store.Tx{Stream: "s", Version: info.Version, Records: []leat.Record{{Stream: "s", Pos: info.End, Data: []byte("x")}}}
		results, err := s.Commit(ctx, []store.Tx{tx})
		switch {
		case err != nil:
			return err
		case results[0].Err == nil:
			n--
		case !errors.Is(results[0].Err, store.ErrConflict):
			return results[0].Err
		}
	}
	return nil
}

func BenchmarkForeign(b *testing.B) { storetest.Bench(b, foreign(storetest.ForeignOptions{})) }
