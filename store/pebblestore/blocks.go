package pebblestore

import (
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// block is the unit of what is written past the page cache: in the file, in memory, and
// in length. It is a multiple of what any disk asks for.
const block = 4 << 10

// blocksSize is how much a log holds back at most until it is synced.
const blocksSize = 256 << 10

// A blocks is the end of a log, as whole blocks. Its last one is written with zeros
// behind what it has, and again when it has more: of what a sync has made durable
// nothing changes, so that a write that the power cuts short, which leaves each sector
// as it was or as it is to be, takes none of it back.
type blocks struct {
	at    int64  // in the file: where buf begins, which is at a block
	buf   []byte // what was added; but for the last block it goes once it is written
	fresh bool   // some of buf was not written yet
	tail  [block]byte
}

func newBlocks() *blocks { return &blocks{buf: aligned(make([]byte, blocksSize+block))[:0]} }

// aligned returns the part of b, which is one block less, that begins at a block.
func aligned(b []byte) []byte {
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (block - 1)
	n := len(b) - block
	return b[skip : skip+n : skip+n]
}

// add adds bytes. flush is called when there is no room for more.
func (b *blocks) add(p []byte, flush func() error) error {
	for len(p) > 0 {
		n := copy(b.buf[len(b.buf):cap(b.buf)], p)
		b.buf, b.fresh, p = b.buf[:len(b.buf)+n], true, p[n:]
		if len(b.buf) == cap(b.buf) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what was added.
func (b *blocks) flush(f vfs.File) error {
	if !b.fresh {
		return nil
	}
	n := len(b.buf)
	end := (n + block - 1) &^ (block - 1)
	clear(b.buf[n:end])
	whole := n &^ (block - 1)
	tail := append(b.tail[:0], b.buf[whole:]...) // a vfs.File may change what it is given
	if _, err := f.WriteAt(b.buf[:end], b.at); err != nil {
		return err
	}
	b.at += int64(whole)
	b.buf, b.fresh = append(b.buf[:0], tail...), false
	return nil
}
