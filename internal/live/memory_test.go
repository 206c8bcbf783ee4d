package live_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
)

// "A reader holds no records and no channel of records: 10,000 stalled readers
// and 1 GiB published leave the heap flat."
//
// The readers of 20 feeds look once and never again, while far more is
// published into their feeds than the cache may hold, and the store is trimmed.
// Then they look again: what they are owed and is gone is told, the rest is
// sent.
func TestStalledReadersHoldNothing(t *testing.T) {
	const readers, feeds, bound, payload = 10_000, 20, 8 << 20, 4 << 10
	published := 64 << 20
	if soak() {
		published = 1 << 30
	}
	st := openMem(t)
	l := start(t, st, render.NewCache(bound), live.Options{})
	first := fillLog(t, st, 1, "x", "hot")
	empty := heap()
	clients := make([]*client, readers)
	for i := range clients {
		clients[i] = join(t, l, filter(t, "hot", fmt.Sprintf("private/%d", i%feeds)), plain{}, after(first[0]))
		if _, state := clients[i].take(1); state != live.Idle {
			t.Fatalf("state %v", state)
		}
	}
	joined := heap()
	if each := (joined - empty) / readers; each > 1<<10 {
		t.Errorf("a reader takes %d bytes", each)
	}
	keeping := join(t, l, filter(t, "hot"), plain{}, l.Now())
	publish(t, st, keeping, published/2, payload)
	half := heap()
	kept := publish(t, st, keeping, published/2, payload)
	whole := heap()
	t.Logf("%d readers take %d bytes each; %d MiB published let the heap grow by %d bytes, of these in the second half %d",
		readers, (joined-empty)/readers, published>>20, whole-joined, whole-half)
	// The store has up to 2 MiB; lists have room to grow.
	if most := int64(bound + 5<<20); whole-joined > most {
		t.Errorf("the heap has grown by %d bytes, want at most %d", whole-joined, most)
	}
	if whole-half > 1<<20 {
		t.Errorf("the second half lets the heap grow by %d bytes", whole-half)
	}
	for i, c := range clients {
		wantMissing(t, c.wantGap(), kept.gone)
		if i%100 == 0 {
			c.want(kept.records...)
			c.wantIdle(st)
		}
	}
}

// A remainder is what is left of a stream.
type remainder struct {
	gone    leat.Record // the last record that was removed
	records []leat.Record
}

// publish appends records of a size to the stream hot until there were so many
// bytes, and keeps the last MiB of them in the store. A reader keeps up, so that
// live does too.
func publish(t *testing.T, st store.Store, keeping *client, total, size int) remainder {
	var rest remainder
	text := strings.Repeat("x", size)
	for sent := 0; sent < total; {
		records := fillLog(t, st, 1, text, "hot")
		keeping.want(records...)
		sent += size
		rest.records = append(rest.records, records...)
		if len(rest.records) < 2<<20/size {
			continue
		}
		cut := len(rest.records) - 1<<20/size
		rest.gone = rest.records[cut-1]
		rest.records = append([]leat.Record(nil), rest.records[cut:]...)
		trim(t, st, rest.gone)
	}
	return rest
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
