package socket

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// A sink takes bytes without waiting.
type sink interface {
	// writev writes what it can of bufs, in order, and returns how many bytes
	// that was. The error is errWouldBlock if it was less than all because there
	// is no room now.
	writev(bufs [][]byte) (int, error)
}

var errWouldBlock = errors.New("no room now")

// Bounds of what a pump writes at a time.
const (
	writeSize = 64 << 10  // about as much goes into one write, and so into one chunk
	plainSize = 512 << 10 // the same where there are no chunks: each write may have to wake its client
	turnSize  = 256 << 10 // after as much the next connection has its turn, whatever one write was
	mostBufs  = 512       // pieces of one write; systems take 1024
)

// A progress is what a pump came to.
type progress int

const (
	paused  progress = iota // nothing is due; the Source wakes the connection
	blocked                 // the sink has no room
	unready                 // there is more to do, after others had their turn
	ended                   // all is sent, the end too
	cut                     // the Source cannot go on, or has no farewell
	failed                  // the sink has failed
)

// A pump writes what a Source is due to a sink that does not wait, in chunks (RFC
// 9112, section 7.1): each write is one. It holds no byte of a frame. What a sink
// has not taken of a chunk that was announced is peeked at again, byte for byte
// the same; if it is gone, what comes instead takes its place in the chunk, since
// no client has been told what would be in it. Only the end cannot: a chunk that
// was announced and cannot be filled is cut. An answer that is plain has no chunks;
// it ends after the length that its head tells, and whatever ends before was cut.
type pump struct {
	source  Source
	private []byte // of our own, to be sent first: the head, a block, a chunk's edge
	left    int    // bytes of frames that belong to the chunk that is being sent
	last    bool   // behind private there is nothing more
	plain   bool   // the head tells the length of the answer: there are no chunks
	parting bool   // the farewell is due: after one more write, as soon as it can be sent
	parted  bool   // that write was made
	slow    bool   // the reader is too slow, and was sent its farewell
	filling bool   // what is left of the chunk cannot be sent any more: line feeds are
	moved   bool   // something was written since this was looked at
}

// scratch is memory of whoever pumps, reused for all connections.
type scratch struct {
	ranges frame.Ranges
	bufs   [][]byte
	head   [16]byte
	spread time.Duration // of the farewells
	sent   Sent          // by all of them
}

func newScratch() scratch { return scratch{bufs: make([][]byte, 0, mostBufs+2)} }

var (
	chunkEnd = []byte("\r\n")
	lastPart = []byte("0\r\n\r\n")

	lineFeeds = bytes.Repeat([]byte("\n"), 16<<10)
)

// begin sets what is sent first: the head of the answer, and a block.
func (p *pump) begin(head, block []byte) { p.private = p.appendBlock(head, block) }

// appendBlock appends a block as it is sent: as a chunk, if there are any.
func (p *pump) appendBlock(dst, block []byte) []byte {
	if p.plain {
		return append(dst, block...)
	}
	return appendChunk(dst, block)
}

// appendChunk appends a chunk. Nothing is no chunk: that would be the last one.
func appendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(strconv.AppendUint(dst, uint64(len(data)), 16), chunkEnd...)
	return append(append(dst, data...), chunkEnd...)
}

// between reports whether a block can be sent now.
func (p *pump) between() bool { return len(p.private) == 0 && p.left == 0 && p.source.Between() }

// send puts a block in, between two frames. Within a chunk that was announced for
// frames it takes their place: what they were is not known to the client. The rest is
// filled, because it may be long until there are frames for it, and clients hold back
// what is not a whole chunk: that of Go does.
func (p *pump) send(block []byte) {
	if p.left == 0 {
		p.private = p.appendBlock(nil, block)
		return
	}
	inside := min(p.left, len(block))
	p.private = append([]byte(nil), block[:inside]...)
	if p.left -= inside; p.left == 0 {
		p.private = appendChunk(append(p.private, chunkEnd...), block[inside:])
	}
	p.filling = p.left > 0
}

// run writes until there is nothing to write, no room, or enough for one turn.
func (p *pump) run(to sink, s *scratch) (progress, error) {
	for sent := 0; ; {
		n, state, err := p.step(to, s)
		if n > 0 {
			p.moved = true
			sent += n
		}
		switch {
		case err == errWouldBlock:
			return blocked, nil
		case err != nil:
			return failed, err
		case state != unready:
			return state, nil
		case sent >= turnSize:
			return unready, nil
		}
	}
}

// step makes one write, or none. It returns unready if there may be more to do.
func (p *pump) step(to sink, s *scratch) (int, progress, error) {
	if len(p.private) > 0 {
		n, err := to.writev(append(s.bufs[:0], p.private))
		if p.private = p.private[n:]; len(p.private) == 0 {
			p.private = nil // let the memory go
		}
		return n, unready, err
	}
	switch {
	case p.filling:
		n, err := p.fill(to, s)
		return n, unready, err
	case p.last:
		return 0, ended, nil
	case p.slow:
		p.private, p.last = lastPart, true // behind the farewell
		return 0, unready, nil
	}
	if p.left == 0 && p.source.TooSlow() {
		return 0, p.leave(), nil
	}
	switch p.source.Peek(&s.ranges, p.size()) {
	case Due:
		if p.parted && p.between() {
			return 0, p.part(s), nil
		}
		p.parted = p.parting
		n, err := p.write(to, s)
		return n, unready, err
	case Notice:
		p.send(p.source.Notice())
	case End:
		if p.left > 0 {
			return 0, cut, nil // a chunk that was announced cannot be filled
		}
		if p.plain {
			return 0, ended, nil
		}
		p.private, p.last = lastPart, true
	case Cut:
		return 0, cut, nil
	default:
		if p.parting {
			return 0, p.part(s), nil
		}
		return 0, paused, nil
	}
	return 0, unready, nil
}

// size is how much to peek at: the rest of a chunk, or what makes a good write. Who
// has parted is sent no frame more than the one that was begun.
func (p *pump) size() int {
	switch {
	case p.left > 0:
		return p.left
	case p.parted:
		return 1
	case p.plain:
		return plainSize
	}
	return writeSize
}

// part puts the farewell in, in place of what follows. There is none in the middle
// of a frame whose rest is long in coming, nor from a Source that has none, nor in an
// answer of a length that was told.
func (p *pump) part(s *scratch) progress {
	var block []byte
	if p.between() && !p.plain {
		block = p.source.Farewell(farewellDelay(s.spread))
	}
	s.ranges.Reset()
	if len(block) == 0 {
		return cut
	}
	p.private = append(appendChunk(nil, block), lastPart...)
	p.last = true
	return unready
}

// leave puts the farewell in for a reader that is too slow; behind it comes the end.
func (p *pump) leave() progress {
	p.slow = true
	block := p.source.Farewell(farewellDelay(slowSpread))
	if len(block) == 0 {
		return cut
	}
	p.send(block)
	return unready
}

// fill sends line feeds in place of what is left of a chunk.
func (p *pump) fill(to sink, s *scratch) (int, error) {
	n, err := to.writev(append(s.bufs[:0], lineFeeds[:min(p.left, len(lineFeeds))]))
	if p.left -= n; p.left == 0 {
		p.filling, p.private = false, chunkEnd
	}
	return n, err
}

// write makes one write of what was peeked at: the rest of a chunk, or a new one.
func (p *pump) write(to sink, s *scratch) (int, error) {
	bufs, head := append(s.bufs[:0], nil), s.head[:0]
	most := p.left
	if most == 0 {
		most = int(^uint(0) >> 1)
	}
	size := 0
	for _, b := range s.ranges.Bytes[:min(len(s.ranges.Bytes), mostBufs)] {
		if b = b[:min(len(b), most-size)]; len(b) == 0 {
			continue
		}
		bufs = append(bufs, b)
		size += len(b)
	}
	if size == 0 { // frames without bytes
		s.sent.Records += int64(s.ranges.Whole(0))
		p.source.Advance(&s.ranges, 0)
		return 0, nil
	}
	if p.left == 0 && !p.plain {
		p.left = size
		head = append(strconv.AppendUint(head, uint64(size), 16), chunkEnd...)
	}
	bufs[0] = head
	if size == p.left && !p.plain {
		bufs = append(bufs, chunkEnd)
	}
	s.bufs = bufs[:0]
	n, err := to.writev(bufs)
	clear(bufs) // no page is held
	p.wrote(s, n, head, size)
	return n, err
}

// wrote takes notice of n bytes that were taken of a head, size bytes of frames
// and, if these complete the chunk, its end.
func (p *pump) wrote(s *scratch, n int, head []byte, size int) {
	if n < len(head) {
		p.private = append([]byte(nil), head[n:]...)
		n = 0
	} else {
		n -= len(head)
	}
	taken := min(n, size)
	s.sent.Bytes += int64(taken)
	s.sent.Records += int64(s.ranges.Whole(taken))
	p.source.Advance(&s.ranges, taken)
	s.ranges.Reset()
	if p.plain {
		return
	}
	if p.left -= taken; p.left == 0 {
		p.private = chunkEnd[n-taken:]
		if len(p.private) == 0 {
			p.private = nil
		}
	}
}
