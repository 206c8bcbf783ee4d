package pebblestore

import (
	"math/bits"
	"slices"
	"sync"
)

// The payloads whose memory is used again: smaller ones are not worth it, and larger
// ones are rare.
const (
	leastRecycled = 1 << leastOrder
	mostRecycled  = 1 << mostOrder
	leastOrder    = 14
	mostOrder     = 20
)

// A memory has pieces that large payloads were copied to and that nobody looks at any
// more. A new piece would be cleared first, would be in no processor's cache, and would
// have to be found again by the garbage collector: for one who reads on and on that is a
// quarter of all the work. There are four sizes from each power of two to the next. What
// is not used again soon goes when the collector comes.
type memory [4*(mostOrder-leastOrder) + 1]sync.Pool // of *[]byte

// sizeFor returns the least size of pieces that n bytes fit into, and its number.
func sizeFor(n int) (number, size int) {
	order := bits.Len(uint(n-1)) - 3
	quarters := (n-1)>>order + 1 // 5 to 8
	return 4*(order+3-leastOrder) + quarters - 8, quarters << order
}

// copy returns a copy of a payload, which may be given to recycle.
func (m *memory) copy(data []byte) []byte {
	if len(data) < leastRecycled || len(data) > mostRecycled {
		return slices.Clone(data)
	}
	number, size := sizeFor(len(data))
	if piece, ok := m[number].Get().(*[]byte); ok {
		return append((*piece)[:0], data...)
	}
	return append(make([]byte, 0, size), data...)
}

// recycle takes back what copy has returned.
func (m *memory) recycle(data []byte) {
	if cap(data) < leastRecycled || cap(data) > mostRecycled {
		return
	}
	if number, size := sizeFor(cap(data)); size == cap(data) {
		m[number].Put(&data)
	}
}
