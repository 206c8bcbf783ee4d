package pebblestore

import (
	"bytes"
	"runtime"
	"testing"
)

// A payload of any size is copied to a piece that has room for it and little more, and
// what was recycled has the size under which it is looked for.
func TestSizesOfPieces(t *testing.T) {
	var m memory
	last := 0
	for n := leastRecycled; n <= mostRecycled; n++ {
		number, size := sizeFor(n)
		again, same := sizeFor(size)
		if size < n || size > n+n/4 || number < last || number > last+1 || number >= len(m) || again != number || same != size {
			t.Fatalf("%d bytes: size %d of %d; that itself: size %d of %d", n, number, size, again, same)
		}
		last = number
	}
	if last != len(m)-1 {
		t.Errorf("%d sizes, and room for %d", last+1, len(m))
	}
}

// Pieces are used again, for the payload alone; what is no piece is not.
func TestPiecesAreUsedAgain(t *testing.T) {
	var m memory
	for n := leastRecycled; n <= mostRecycled; n += 10_007 {
		first := m.copy(bytes.Repeat([]byte("a"), n))
		m.recycle(first)
		m.recycle(make([]byte, n+1))
		second := m.copy(bytes.Repeat([]byte("b"), n-1))
		if len(second) != n-1 || bytes.Count(second, []byte("b")) != n-1 {
			t.Fatalf("%d bytes: the copy is another", n-1)
		}
	}
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	data := make([]byte, 64<<10)
	before := allocated()
	for range 100 {
		m.recycle(m.copy(data))
	}
	// With the race detector a pool forgets one in four.
	if n := allocated() - before; n > 50*64<<10 {
		t.Errorf("100 copies of 64 KiB took %d bytes", n)
	}
	for _, n := range []int{0, 1, leastRecycled - 1, mostRecycled + 1} {
		b := m.copy(make([]byte, n))
		if m.recycle(b); len(b) != n || b == nil {
			t.Errorf("a copy of %d bytes has %d", n, len(b))
		}
	}
}
