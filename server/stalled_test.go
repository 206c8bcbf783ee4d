package server_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// "A reader that never reads, while others keep full speed", and "a reader holds
// no records and no channel of records", over real connections: what 200 readers
// that take nothing are owed is in no memory of theirs, and a reader that keeps
// up is as quick as without them.
func TestStalledConnectionsHoldNothing(t *testing.T) {
	const stalled, size, rounds, tail = 200, 64 << 10, 256, 4 << 20
	s := start(t, server.Options{Store: memory(t), TailMemory: tail}, protocols["HTTP/1.1"])
	healthy := s.subscribe("topic=a")
	healthy.next()
	data := strings.Repeat("x", size)
	// deliver publishes 16 MiB, and takes and removes each record at once. It
	// returns how long that took for one in the middle.
	deliver := func() time.Duration {
		var took []time.Duration
		for range rounds {
			began := time.Now()
			id := s.publish("a", data)
			if ev := healthy.next(); ev.ID != id || len(ev.Data) != size {
				t.Fatalf("got %s with %d bytes, want %s", ev.ID, len(ev.Data), id)
			}
			took = append(took, time.Since(began))
			offset, err := leat.ParseOffset(id)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.st.Trim(t.Context(), "a", offset.Seq); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(took)
		return took[rounds/2]
	}
	alone := deliver()
	for i := range stalled {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(c, "GET /events?topic=a&topic=private/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i%10)
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil { // it is being served
			t.Fatal(err)
		}
	}
	deliver() // fills what the kernel holds, 4 MiB a connection at most
	before := heap()
	among := deliver()
	if grown := heap() - before; grown > tail+2<<20 {
		t.Errorf("16 MiB published let the heap grow by %d bytes", grown)
	}
	t.Logf("a record takes %v alone and %v among %d stalled readers", alone, among, stalled)
	if among > 10*alone { // not a figure: a machine may be busy with other tests
		t.Errorf("a record takes %v without stalled readers and %v among them", alone, among)
	}
	// One may have been cut when its record was removed while it was sent.
	if n := s.read(s.do("GET", "/healthz", ""))["subscribers"].(float64); n < stalled*9/10 {
		t.Errorf("%v of %d readers are left: a test of those that were cut says nothing", n, stalled+1)
	}
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
