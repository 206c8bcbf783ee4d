// Package frame holds what the stages render, live and socket pass on to each
// other: the bytes of records in one encoding, in pages that many readers
// share.
package frame

import (
	"sync/atomic"

	"github.com/leat-dev/leat"
)

// An Encoding is a way to write records down: a pure function, so that a
// frame can be made again byte for byte. Encodings are compared with ==.
type Encoding interface {
	// String returns the name, unique among the encodings.
	String() string

	// Append appends the frame of r to dst and returns the extended slice.
	Append(dst []byte, r *leat.Record) []byte
}

// A Page is a piece of memory with frames in it. What has been written to it
// never changes. It can be evicted at any time: then frames in it have no
// bytes any more and are rendered again, byte for byte, from the store.
type Page struct {
	bytes atomic.Pointer[[]byte]

	// used says that a frame was read since the cache last looked.
	used atomic.Bool

	// Of a page whose memory is borrowed.
	giveBack func([]byte) // nil: it is not
	borrowed []byte       // owned by the last user
	users    atomic.Int32 // the page itself until it is evicted, and each Ranges with a piece of it
}

// NewPage returns a page over b. The part of b that frames have been made of
// must not change again; the rest may still be written by the owner.
func NewPage(b []byte) *Page {
	p := &Page{}
	p.bytes.Store(&b)
	return p
}

// NewBorrowed is NewPage over memory that is used for something else once it is given
// back: when the page was evicted and no Ranges has a piece of it. Without a giveBack it
// is nobody's.
func NewBorrowed(b []byte, giveBack func([]byte)) *Page {
	p := NewPage(b)
	if giveBack != nil {
		p.borrowed, p.giveBack = b, giveBack
		p.users.Store(1)
	}
	return p
}

// Evict lets the memory go. Who has a slice of it keeps that slice: of borrowed memory
// until its Ranges is reset.
func (p *Page) Evict() {
	if p.bytes.Swap(nil) != nil && p.giveBack != nil {
		p.leave()
	}
}

// enter makes the caller a user of borrowed memory until it leaves. It reports whether
// that is there.
func (p *Page) enter() bool {
	for {
		n := p.users.Load()
		if n == 0 || p.users.CompareAndSwap(n, n+1) {
			return n > 0
		}
	}
}

// leave ends a use, and gives the memory back if it was the last.
func (p *Page) leave() {
	if p.users.Add(-1) == 0 {
		b := p.borrowed
		p.borrowed = nil
		p.giveBack(b)
	}
}

// TakeUsed reports whether a frame of p was read since the last call.
func (p *Page) TakeUsed() bool { return p.used.Swap(false) }

// Frame returns the frame of n bytes at off, for the record with sequence seq.
func (p *Page) Frame(seq uint64, off, n int) Frame {
	return Frame{Seq: seq, page: p, off: uint32(off), n: uint32(n)}
}

// A Frame is the bytes of one record in one encoding.
type Frame struct {
	Seq    uint64 // of the record
	page   *Page
	off, n uint32 // n with the bit first
}

// first is the bit of Frame.n that marks the beginning of a stream: no frame is
// that long.
const first = 1 << 31

// Beginning returns f, marked as that of a record at the beginning of its stream's
// content. A name whose stream is made anew has more than one of these.
func (f Frame) Beginning() Frame {
	f.n |= first
	return f
}

// IsBeginning reports whether f is marked.
func (f Frame) IsBeginning() bool { return f.n&first != 0 }

// Size is the memory that one Frame takes in a feed, in bytes.
const Size = 24

// Len returns the number of bytes.
func (f Frame) Len() int { return int(f.n &^ first) }

// Evicted reports whether the bytes are gone.
func (f Frame) Evicted() bool { return f.page.bytes.Load() == nil }

// Bytes returns the bytes, which are immutable, or nil if they are gone. Borrowed memory
// is not given back after that.
func (f Frame) Bytes() []byte {
	b := f.memory()
	if b == nil || f.page.giveBack != nil && !f.page.enter() {
		return nil
	}
	end := f.off + uint32(f.Len())
	return b[f.off:end:end]
}

// memory returns all of the page that f is in, nil if it was evicted.
func (f Frame) memory() []byte {
	b := f.page.bytes.Load()
	if b == nil {
		return nil
	}
	if !f.page.used.Load() { // do not write to a shared cache line for nothing
		f.page.used.Store(true)
	}
	return *b
}

// after reports whether f lies directly behind g in the same page.
func (f Frame) after(g Frame) bool { return f.page == g.page && f.off == g.off+uint32(g.Len()) }

// A Ranges is what one write takes: pieces of pages, in order. Frames that
// are neighbours in memory are one piece. It is scratch memory of a writer,
// reused from write to write, and belongs to one goroutine.
type Ranges struct {
	// Bytes are the pieces. They are immutable.
	Bytes [][]byte

	frames   []Frame
	skip     int  // bytes of the first frame that were sent before
	size     int  // bytes of the frames, without these
	borrowed bool // some pages are, and r is a user of these
}

// Keep returns the pieces, which stay as they are when r is reset.
func (r *Ranges) Keep() [][]byte {
	r.borrowed = false
	return r.Bytes
}

// Reset empties r and drops its references into pages.
func (r *Ranges) Reset() {
	if r.borrowed {
		r.borrowed = false
		for i, f := range r.frames {
			if f.page.giveBack != nil && anotherPage(r.frames, i) {
				f.page.leave()
			}
		}
	}
	clear(r.Bytes)
	clear(r.frames)
	r.Bytes, r.frames, r.skip, r.size = r.Bytes[:0], r.frames[:0], 0, 0
}

// Len returns the number of bytes.
func (r *Ranges) Len() int {
	n := 0
	for _, b := range r.Bytes {
		n += len(b)
	}
	return n
}

// Fill resets r and puts into it frames, in order, the first without its
// first skip bytes, until they are all in, max bytes are reached (at least
// one frame is put in, whole, however long), or one is evicted. The beginning of
// a stream comes first or not at all. It reports whether there are any.
func (r *Ranges) Fill(frames []Frame, skip, max int) bool {
	r.Reset()
	r.skip = skip
	size := -skip
	start := uint32(0) // of the last piece, in its page
	for i, f := range frames {
		memory := f.memory()
		if memory == nil || i > 0 && (size+f.Len() > max || f.IsBeginning()) {
			break
		}
		if f.page.giveBack != nil && anotherPage(frames, i) {
			if !f.page.enter() {
				break
			}
			r.borrowed = true
		}
		size += f.Len()
		r.frames = append(r.frames, f)
		end := f.off + uint32(f.Len())
		switch {
		case i > 0 && f.after(frames[i-1]):
			r.Bytes[len(r.Bytes)-1] = memory[start:end:end]
		case i == 0:
			start = f.off + uint32(skip)
			r.Bytes = append(r.Bytes, memory[start:end:end])
		default:
			start = f.off
			r.Bytes = append(r.Bytes, memory[start:end:end])
		}
	}
	r.size = size
	return len(r.frames) > 0
}

// anotherPage reports whether the page of the i-th frame is not that of the one before.
func anotherPage(frames []Frame, i int) bool { return i == 0 || frames[i].page != frames[i-1].page }

// Beginning reports whether r begins with the beginning of a stream.
func (r *Ranges) Beginning() bool {
	return r.skip == 0 && len(r.frames) > 0 && r.frames[0].IsBeginning()
}

// Written tells how far n bytes of r bring a reader: last is the sequence of
// the last frame that is now sent whole, 0 if none is; sent is the number of
// bytes of the frame after that, with sequence next, that have been sent.
func (r *Ranges) Written(n int) (last, next uint64, sent int) {
	n += r.skip
	for _, f := range r.frames {
		if n < f.Len() {
			if n == 0 {
				return last, 0, 0
			}
			return last, f.Seq, n
		}
		n -= f.Len()
		last = f.Seq
	}
	return last, 0, 0
}

// Whole returns how many frames are sent whole once n bytes of r are.
func (r *Ranges) Whole(n int) int {
	if n == r.size {
		return len(r.frames)
	}
	n += r.skip
	for i, f := range r.frames {
		if n -= f.Len(); n < 0 {
			return i
		}
	}
	return len(r.frames)
}
