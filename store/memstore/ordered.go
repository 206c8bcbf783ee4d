package memstore

import (
	"slices"
	"sort"
)

// chunkSize is the most items in one chunk of an ordered: 4 KiB of pointers.
const chunkSize = 512

// An ordered is a sorted set in chunks. Inserting and deleting move at most
// one chunk's items, and a set of few items is hardly larger than a slice:
// there is one in every stream. Its zero value is empty.
type ordered[T item[T]] struct {
	chunks [][]T // none is empty
}

// An item of an ordered says which of two comes first. No two are equal.
type item[T any] interface {
	comparable
	before(T) bool
}

// A pos is a place in an ordered, valid until that changes.
type pos struct{ chunk, i int }

// seek returns the place of the first item that isBefore does not hold for.
// It holds for a first part of the set and for no other item.
func (o *ordered[T]) seek(isBefore func(T) bool) pos {
	c := sort.Search(len(o.chunks), func(c int) bool {
		chunk := o.chunks[c]
		return !isBefore(chunk[len(chunk)-1])
	})
	if c == len(o.chunks) {
		return pos{c, 0}
	}
	chunk := o.chunks[c]
	return pos{c, sort.Search(len(chunk), func(i int) bool { return !isBefore(chunk[i]) })}
}

// get returns the item at p, and false at the end.
func (o *ordered[T]) get(p pos) (T, bool) {
	if p.chunk >= len(o.chunks) {
		var none T
		return none, false
	}
	return o.chunks[p.chunk][p.i], true
}

// next returns the place after p, which is not the end.
func (o *ordered[T]) next(p pos) pos {
	if p.i+1 < len(o.chunks[p.chunk]) {
		return pos{p.chunk, p.i + 1}
	}
	return pos{p.chunk + 1, 0}
}

// previous returns the place before p, and false if p is the first.
func (o *ordered[T]) previous(p pos) (pos, bool) {
	switch {
	case p.i > 0:
		return pos{p.chunk, p.i - 1}, true
	case p.chunk > 0:
		return pos{p.chunk - 1, len(o.chunks[p.chunk-1]) - 1}, true
	}
	return p, false
}

// push adds x behind all others.
func (o *ordered[T]) push(x T) {
	last := len(o.chunks) - 1
	switch {
	case last < 0:
		o.chunks = [][]T{{x}}
	case len(o.chunks[last]) < chunkSize:
		o.chunks[last] = append(o.chunks[last], x)
	default:
		o.chunks = append(o.chunks, append(make([]T, 0, chunkSize), x))
	}
}

// insert adds x at its place.
func (o *ordered[T]) insert(x T) {
	p := o.seek(func(y T) bool { return y.before(x) })
	if p.chunk == len(o.chunks) {
		o.push(x)
		return
	}
	chunk := slices.Insert(o.chunks[p.chunk], p.i, x)
	if len(chunk) > chunkSize {
		right := slices.Clone(chunk[chunkSize/2:])
		clear(chunk[chunkSize/2:])
		chunk = chunk[:chunkSize/2]
		o.chunks = slices.Insert(o.chunks, p.chunk+1, right)
	}
	o.chunks[p.chunk] = chunk
}

// delete removes items that are in the set, given in order.
func (o *ordered[T]) delete(xs ...T) {
	for len(xs) > 0 {
		p := o.seek(func(y T) bool { return y.before(xs[0]) })
		chunk := o.chunks[p.chunk]
		kept := chunk[:p.i]
		for _, x := range chunk[p.i:] {
			if len(xs) > 0 && x == xs[0] {
				xs = xs[1:]
				continue
			}
			kept = append(kept, x)
		}
		o.replace(p.chunk, kept)
	}
}

// replace puts what is kept of a chunk, in the same memory, into its place.
func (o *ordered[T]) replace(c int, kept []T) {
	clear(kept[len(kept):len(o.chunks[c])])
	switch {
	case len(kept) == 0:
		o.chunks = slices.Delete(o.chunks, c, c+1)
	case len(kept) < cap(kept)/4:
		o.chunks[c] = slices.Clone(kept)
	default:
		o.chunks[c] = kept
	}
}

// cut removes all items before p and returns them. They share no memory with
// those that stay, so that neither keeps the other from being freed.
func (o *ordered[T]) cut(p pos) [][]T {
	gone := slices.Clone(o.chunks[:p.chunk])
	rest := slices.Clone(o.chunks[p.chunk:])
	if p.i > 0 {
		gone = append(gone, slices.Clone(rest[0][:p.i]))
		rest[0] = slices.Clone(rest[0][p.i:])
	}
	o.chunks = rest
	return gone
}
