package live_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
	"github.com/leat-dev/leat/store/storetest"
)

// patience is when a test that still waits has failed. It is far beyond what
// any step takes: a lost wake-up is found by waiting for it in vain.
const patience = 15 * time.Second

// soak says that the campaigns are to have their full size.
func soak() bool { return os.Getenv("LEAT_SOAK") == "1" }

// raceDetector says that the race detector is on: everything takes ten times as
// long.
var raceDetector bool

// quiet is the logger of tests that make things fail on purpose.
var quiet = slog.New(slog.DiscardHandler)

// drivers are the stores that every test here runs over.
var drivers = []struct {
	name string
	open func(t testing.TB) store.Store
}{
	{"mem", openMem},
	{"pebble", openPebble},
	{"foreign", openForeign},
}

// overStores runs a test over every store.
func overStores(t *testing.T, test func(t *testing.T, st store.Store)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) { test(t, d.open(t)) })
	}
}

func openMem(t testing.TB) store.Store {
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

// openPebble opens a store of class os: what is proven here does not depend on
// the class, and fsyncs take time.
func openPebble(t testing.TB) store.Store {
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Durability: store.ClassOS, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

// openForeign opens a memory store that behaves as one node of a cluster.
func openForeign(t testing.TB) store.Store {
	return storetest.Foreign(openMem(t), storetest.ForeignOptions{ShortReads: true, Reverse: true})
}

func closeStore(t testing.TB, st store.Store) {
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// start returns a Live that ends with the test.
func start(t testing.TB, st store.Store, r live.Renderer, o live.Options) *live.Live {
	if r == nil {
		r = render.NewCache(0)
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	l := live.New(st, r, o)
	t.Cleanup(l.Close)
	return l
}

// plain is the encoding of these tests: a line with sequence, stream and
// payload.
type plain struct{}

func (plain) String() string { return "plain" }

func (plain) Append(dst []byte, r *leat.Record) []byte {
	return fmt.Appendf(dst, "%d %s %s\n", r.Offset.Seq, r.Stream, r.Data)
}

// counting is an encoding that counts the frames it makes.
type counting struct {
	name string
	made atomic.Int64
}

func (c *counting) String() string { return c.name }

func (c *counting) Append(dst []byte, r *leat.Record) []byte {
	c.made.Add(1)
	return plain{}.Append(dst, r)
}

func filter(t testing.TB, topics ...string) *leat.Filter {
	t.Helper()
	f, err := leat.ParseFilter(topics...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put commits records of one stream in one Tx, over conflicts, and returns
// them as stored. It may be called by any goroutine.
func put(ctx context.Context, st store.Store, stream string, payloads ...string) ([]leat.Record, error) {
	for {
		info, err := st.Stream(ctx, stream)
		if err != nil {
			return nil, err
		}
		records := make([]leat.Record, len(payloads))
		pos := info.End
		for i, p := range payloads {
			records[i] = leat.Record{Stream: stream, Kind: leat.KindText, Pos: pos, Data: []byte(p)}
			pos = records[i].End()
		}
		results, err := st.Commit(ctx, []store.Tx{{Stream: stream, Version: info.Version, ContentType: "text/plain", Records: records}})
		if err != nil || results[0].Err == nil {
			return records, err
		}
		if results[0].Err != store.ErrConflict {
			return nil, results[0].Err
		}
	}
}

// appendTo commits one record and returns its sequence.
func appendTo(t testing.TB, st store.Store, stream, payload string) uint64 {
	t.Helper()
	records, err := put(t.Context(), st, stream, payload)
	if err != nil {
		t.Fatal(err)
	}
	return records[0].Offset.Seq
}

// fillLog appends n records, one after the other to the streams given, in few
// calls if nobody else writes, and returns them in log order.
func fillLog(t testing.TB, st store.Store, n int, payload string, streams ...string) []leat.Record {
	t.Helper()
	const group = 256
	var all []leat.Record
	for !st.Abilities().ReadAfterWrite && len(all) < n { // there are conflicts
		records, err := put(t.Context(), st, streams[len(all)%len(streams)], payload)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
	}
	infos := make([]store.Info, len(streams))
	for i, name := range streams {
		info, err := st.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		infos[i] = info
	}
	for len(all) < n {
		var txs []store.Tx
		used := min(len(streams), n-len(all), group)
		for i := range used {
			k := (len(all) + i) % len(streams)
			r := leat.Record{Stream: streams[k], Kind: leat.KindText, Pos: infos[k].End, Data: []byte(payload)}
			txs = append(txs, store.Tx{Stream: streams[k], Version: infos[k].Version, ContentType: "text/plain", Records: []leat.Record{r}})
		}
		results, err := st.Commit(t.Context(), txs)
		if err != nil {
			t.Fatal(err)
		}
		for i, result := range results {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
			r := txs[i].Records[0]
			k := (len(all)) % len(streams)
			infos[k].Version, infos[k].End = result.Version, r.End()
			all = append(all, r)
		}
	}
	return all
}
