package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	"github.com/leat-dev/leat/console"
	"github.com/leat-dev/leat/server"
)

// "At most 14 KiB per idle stream at 100 streams per connection": a handler that does
// nothing but wait needs most of that.
func TestIdleStreamsOverHTTP2(t *testing.T) {
	const conns, streams = 5, 100
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, ": here\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for scheme, most := range map[string]struct{ heap, stacks int64 }{
		// A goroutine begins with a stack of 2 KiB; the next size is 4 KiB.
		"http": {10 << 10, 3 << 10},
		// Here net/http itself needs more than that on the way.
		"https": {10 << 10, 5 << 10},
	} {
		// measure returns the bytes of the heap and of stacks for each stream.
		measure := func(h http.Handler) (heap, stacks int64) {
			hs := listen(t, h, scheme)
			heapBefore, stacksBefore := inUse()
			readers := elsewhereDo(t, "TestStreamsElsewhere", streamsEnv, fmt.Sprintf("%s %s %d %d", scheme, hs.Listener.Addr(), conns, streams))
			heap, stacks = inUse()
			readers.end(t)
			eventually(t, "no stream left", func() bool { return runtime.NumGoroutine() < conns*streams })
			return (heap - heapBefore) / (conns * streams), (stacks - stacksBefore) / (conns * streams)
		}
		srv, err := server.New(server.Options{Store: memory(t), Loops: -1})
		if err != nil {
			t.Fatal(err)
		}
		heap, stacks := measure(console.Wrap(srv, console.Options{})) // as cmd/leat does
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		bareHeap, bareStacks := measure(bare)
		t.Logf("%s: an idle stream takes %d bytes of heap and %d of stack, of a handler that only waits %d and %d", scheme, heap, stacks, bareHeap, bareStacks)
		if (heap > most.heap || stacks > most.stacks) && !raceDetector {
			t.Errorf("%s: an idle stream takes %d bytes of heap and %d of stack, want at most %d and %d", scheme, heap, stacks, most.heap, most.stacks)
		}
	}
}

// listen serves a handler over HTTP/2, with scheme https over TLS.
func listen(t *testing.T, h http.Handler, scheme string) *httptest.Server {
	hs := httptest.NewUnstartedServer(h)
	hs.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that are gone
	hs.Config.Protocols = new(http.Protocols)
	hs.Config.Protocols.SetUnencryptedHTTP2(true)
	hs.Config.Protocols.SetHTTP2(true)
	hs.EnableHTTP2 = true
	if scheme == "https" {
		hs.StartTLS()
	} else {
		hs.Start()
	}
	t.Cleanup(hs.Close)
	return hs
}

// inUse returns the bytes of the heap and of the stacks, which shrink by half with
// each collection as long as three quarters are unused.
func inUse() (heap, stacks int64) {
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

// raceDetector says that the race detector is on, which needs larger stacks.
var raceDetector bool

const streamsEnv = "LEAT_TEST_STREAMS"

// TestStreamsElsewhere is the other process of TestIdleStreamsOverHTTP2.
func TestStreamsElsewhere(t *testing.T) {
	var scheme, address string
	var conns, streams int
	if _, err := fmt.Sscan(os.Getenv(streamsEnv), &scheme, &address, &conns, &streams); err != nil {
		t.Skip("it is run by the test that needs it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range conns {
		tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		tr.Protocols.SetUnencryptedHTTP2(true)
		tr.Protocols.SetHTTP2(true)
		for range streams {
			req, err := http.NewRequestWithContext(ctx, "GET", scheme+"://"+address+"/events?topic=idle", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil || resp.ProtoMajor != 2 {
				t.Fatal(resp.Proto, resp.Status, err)
			}
		}
	}
	fmt.Println("connected")
	bufio.NewReader(os.Stdin).ReadString('\n') // until the other process ends this one
}
