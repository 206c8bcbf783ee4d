package sse_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/sse"
)

func TestAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	id, badID := []byte(typicalID), typicalID+"\n"
	lines := bytes.Repeat([]byte("one line\r\n"), 20)
	text := strings.Repeat("a comment longer than what fits the stack ", 3)
	for name, f := range map[string]func(){
		"event":               func() { buf, _ = sse.AppendEvent(buf[:0], typicalID, typicalType, typicalData) },
		"event, id as bytes":  func() { buf, _ = sse.AppendEvent(buf[:0], id, typicalType, typicalData) },
		"event of many lines": func() { buf, _ = sse.AppendEvent(buf[:0], id, typicalType, lines) },
		"invalid id":          func() { buf, _ = sse.AppendEvent(buf[:0], badID, "", typicalData) },
		"invalid type":        func() { buf, _ = sse.AppendEvent(buf[:0], id, "\r", typicalData) },
		"retry":               func() { buf, _ = sse.AppendRetry(buf[:0], time.Minute) },
		"comment":             func() { buf = sse.AppendComment(buf[:0], text) },
		"heartbeat":           func() { buf = sse.AppendComment(buf[:0], "") },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
	// And only one if dst has no room; slices.Grow needs two under the race detector.
	if n := testing.AllocsPerRun(100, func() { buf, _ = sse.AppendEvent(nil, id, typicalType, typicalData) }); n > 2 {
		t.Errorf("event to nil: %v allocations", n)
	}
}

// At most one allocation for an event, although each has another id.
func TestDecodeAllocations(t *testing.T) {
	const events = 1000
	for name, stream := range map[string][]byte{
		"typical":     typicalStream(t, events),
		"other types": otherTypes(events),
		"no id":       bytes.Repeat([]byte("data: x\n\n"), events),
		"empty data":  bytes.Repeat([]byte("event: a\ndata\n\n"), events),
		"many lines":  bytes.Repeat([]byte("data: a\ndata: b\r\ndata: c\n: comment\n\n"), events),
	} {
		r := bytes.NewReader(stream)
		d := sse.NewDecoder(r, nil)
		n := testing.AllocsPerRun(10, func() {
			r.Reset(stream)
			d.Reset(r)
			for i := range events {
				if _, err := d.Next(); err != nil {
					t.Fatal(i, err)
				}
			}
		})
		if n > events {
			t.Errorf("%s: %v allocations for %d events", name, n, events)
		}
	}
	// Above 1 KiB of data the id is on its own: who keeps it keeps only it.
	large := bytes.ReplaceAll(typicalStream(t, 100), typicalData, bytes.Repeat(typicalData, 8))
	lr := bytes.NewReader(large)
	ld := sse.NewDecoder(lr, nil)
	if n := testing.AllocsPerRun(10, func() { lr.Reset(large); ld.Reset(lr); drain(ld) }); n != 200 {
		t.Errorf("larger events: %v allocations for 100 events and 100 ids", n)
	}
	// What is no event costs nothing.
	stream := []byte(strings.Repeat(": comment\n\nretry: 5\n\nunknown: field\n\nevent: x\n\n", 100))
	r := bytes.NewReader(stream)
	d := sse.NewDecoder(r, &sse.Options{OnComment: func([]byte) {}, OnRetry: func(time.Duration) {}})
	if n := testing.AllocsPerRun(10, func() { r.Reset(stream); d.Reset(r); d.Next() }); n > 0 {
		t.Errorf("comments and retries: %v allocations", n)
	}
}

func otherTypes(n int) (b []byte) {
	for i := range n {
		b, _ = sse.AppendEvent(b, "", "a type of its own "+string(rune('a'+i%8)), []byte("x"))
	}
	return b
}

func drain(d *sse.Decoder) {
	for {
		if _, err := d.Next(); err != nil {
			return
		}
	}
}
