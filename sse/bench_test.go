package sse_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/leat-dev/leat/sse"
)

// typical is the event all figures are about: 184 bytes of JSON, an offset as
// id and a type.
var (
	typicalID   = "0001795330800000_0000000000000042"
	typicalType = "order.updated"
	typicalData = []byte(`{"id":"ord_01HZX3M8Q7","status":"shipped","customer":{"name":"Ada Lovelace","tier":2},` +
		`"items":[{"sku":"A-100","qty":2},{"sku":"B-200","qty":1}],"total":149.90,"at":"2026-11-21T08:00Z"}`)
)

// typicalStream is n typical events, each with another id.
func typicalStream(tb testing.TB, n int) []byte {
	tb.Helper()
	if len(typicalData) != 184 {
		tb.Fatalf("the typical event has %d bytes of data, not 184", len(typicalData))
	}
	var b []byte
	for i := range n {
		id := []byte(typicalID)
		for j, k := len(id)-1, i; k > 0; j, k = j-1, k/10 {
			id[j] = byte('0' + k%10)
		}
		var err error
		if b, err = sse.AppendEvent(b, id, typicalType, typicalData); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// The typical event is to take at most 25 ns and no allocation. It took 21.6 ns,
// of which 1.7 ns are the loop and the call, on a 2-core EPYC in November 2026;
// with the data scanned by words too, in the place of bytes.IndexByte, 24.1 ns.
func BenchmarkAppendEvent(b *testing.B) {
	b.Run("typical", func(b *testing.B) {
		buf := make([]byte, 0, 1024)
		b.SetBytes(int64(len(typicalData)))
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = sse.AppendEvent(buf[:0], typicalID, typicalType, typicalData)
		}
	})
	b.Run("id-as-bytes", func(b *testing.B) {
		buf, id := make([]byte, 0, 1024), []byte(typicalID)
		b.SetBytes(int64(len(typicalData)))
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = sse.AppendEvent(buf[:0], id, typicalType, typicalData)
		}
	})
	b.Run("8-lines", func(b *testing.B) {
		buf, data := make([]byte, 0, 1024), bytes.Repeat([]byte("a line of twenty-two b\n"), 8)
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = sse.AppendEvent(buf[:0], typicalID, typicalType, data)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	const events = 1000
	stream := typicalStream(b, events)
	for _, bench := range []struct {
		name   string
		stream []byte
	}{
		{"LF", stream},
		{"CR", bytes.ReplaceAll(stream, []byte("\n"), []byte("\r"))},
		{"CRLF", bytes.ReplaceAll(stream, []byte("\n"), []byte("\r\n"))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := bytes.NewReader(bench.stream)
			d := sse.NewDecoder(r, nil)
			b.SetBytes(int64(len(bench.stream)))
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(bench.stream)
				d.Reset(r)
				n := 0
				for _, err := range d.Events() {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != events {
					b.Fatalf("%d events", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}

// shortReader gives at most n bytes a read.
type shortReader struct {
	r io.Reader
	n int
}

func (s shortReader) Read(b []byte) (int, error) { return s.r.Read(b[:min(s.n, len(b))]) }

func BenchmarkDecodeLongLineSmallReads(b *testing.B) {
	stream := "data: " + strings.Repeat("x", 4<<20) + "\n\n"
	for _, bench := range []struct {
		name string
		size int
	}{{"1KiB", 1 << 10}, {"16B", 16}, {"1B", 1}} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				d := sse.NewDecoder(shortReader{strings.NewReader(stream), bench.size}, nil)
				if ev, err := d.Next(); err != nil || len(ev.Data) != 4<<20 {
					b.Fatal(len(ev.Data), err)
				}
			}
		})
	}
}
