package sse

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The bytes looked at for line ends are linear in the stream, however it is cut
// and whichever line ends it has: at most twice for each of CR and LF, and one
// window of 256 more for a line.
func TestWorkIsLinear(t *testing.T) {
	kb256 := strings.Repeat("x", 256<<10)
	for name, in := range map[string]string{
		"long line":      "data: " + kb256 + "\n\n",
		"long comment":   ":" + kb256 + "\n\n",
		"long unknown":   kb256 + "\n\n",
		"short lines LF": strings.Repeat("data: 1\n\n", 10_000),
		"short lines CR": strings.Repeat("data: 1\r\r", 10_000),
		"lines CR":       strings.Repeat("data: "+kb256[:1000]+"\r\r", 500),
		"lines of 64 K":  strings.Repeat("data: "+kb256[:64<<10]+"\r\n\r\n", 10),
		"blank lines CR": strings.Repeat("\r", 100_000),
		"one LF, then CR": strings.Repeat("data: 1\r\r", 10_000) + "\n" +
			strings.Repeat("data: 1\r\r", 10_000),
	} {
		lines := strings.Count(in, "\n") + strings.Count(in, "\r")
		most := int64(4*len(in) + 2*256*lines)
		for _, size := range []int{1, 2, 7, 1 << 10, 64 << 10, len(in)} {
			t.Run(fmt.Sprint(name, ", chunks of ", size), func(t *testing.T) {
				p := NewParser(nil)
				for chunk := []byte(in); len(chunk) > 0; {
					n := min(size, len(chunk))
					for part := chunk[:n]; len(part) > 0; {
						_, rest, _, err := p.Parse(part)
						if err != nil {
							t.Fatal(err)
						}
						part = rest
					}
					chunk = chunk[n:]
				}
				if p.looked > most {
					t.Errorf("%d bytes looked at in %d bytes with %d lines, want at most %d", p.looked, len(in), lines, most)
				}
			})
		}
	}
}

// A long line is not copied again for each chunk either: 4 MiB of it, a byte at
// a time, make the buffers grow a few dozen times.
func TestLongLineAllocations(t *testing.T) {
	line, value := []byte("data: "), bytes.Repeat([]byte("x"), 4<<20)
	allocs := testing.AllocsPerRun(1, func() {
		p := NewParser(nil)
		p.Parse(line)
		for i := range value {
			p.Parse(value[i : i+1])
		}
		if ev, _, ok, _ := p.Parse([]byte("\n\n")); !ok || len(ev.Data) != len(value) {
			t.Fatal("no event")
		}
	})
	if allocs > 100 {
		t.Errorf("%v allocations", allocs)
	}
}

// One huge event does not cost memory for the rest of the stream.
func TestBuffersAreLetGo(t *testing.T) {
	p, mb := NewParser(nil), strings.Repeat("x", 1<<20)
	for _, in := range []string{"data: " + mb, "id: " + mb, "event: " + mb, ":" + mb, mb, "data: x\ndata: " + mb} {
		for _, part := range []string{in[:10], in[10:], "\n", "data: y\n", "\n", "id: 1\n"} {
			p.Parse([]byte(part))
		}
		if n := cap(p.line) + cap(p.data) + cap(p.typ) + cap(p.id); n > 4*keepBytes {
			t.Errorf("%q…: %d bytes kept", in[:20], n)
		}
	}
}
