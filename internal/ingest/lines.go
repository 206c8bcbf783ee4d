package ingest

import (
	"bytes"
	"io"
	"maps"
	"math"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// Lines reads records, one on each line: envelopes or JSON texts. A line ends
// with LF and with nothing else; a CR before it is dropped. Lines of white
// space are skipped, but counted. The last line needs no LF if the body ends
// cleanly after it. Of a body that stops half-way, a line without LF is not
// taken.
//
// The work is linear in the bytes read, however they are cut. The memory is
// up to 64 KiB, or twice the longest line.
type Lines struct {
	in     reader
	limit  int                                       // of a line, in bytes, without its end; at most math.MaxInt-2
	decode func(line []byte) (journal.Append, error) // keeps no part of line
	buf    []byte
	begin  int   // buf[begin:] is not yet consumed
	looked int   // how much of that is known to have no LF
	size   int   // the capacity that buf is to have
	number int   // of the last line consumed
	stop   error // what the reader ended with
	failed error // what Next ended with
}

// The capacity that the buffer has for lines that are not longer.
const (
	minBuffer = 4 << 10
	maxBuffer = 64 << 10
)

// fitBuffer returns the capacity for the next read, when one into free bytes
// has brought n.
func fitBuffer(size, n, free int) int {
	switch {
	case n == free:
		return min(2*size, maxBuffer)
	case n < free/4:
		return minBuffer
	}
	return size
}

// NewLines returns the lines of a body that has an envelope on each.
func NewLines(b Body) *Lines {
	return newLines(b, envelopeLimit(b.MaxRecord), decode)
}

func newLines(b Body, limit int, decode func([]byte) (journal.Append, error)) *Lines {
	return &Lines{
		in:     reader{from: b.Reader},
		limit:  min(limit, math.MaxInt-2), // room to count one more byte, and a CR
		decode: decode,
		size:   minBuffer,
		failed: b.checkEncoding(),
	}
}

// A Group is what the lines or events hold that had arrived when it was taken.
type Group struct {
	// Appends are in the order of the lines or events.
	Appends []journal.Append

	// Numbers has the number of each append's line or event, counted from 1.
	Numbers []int
}

func (g *Group) add(a journal.Append, number int) {
	g.Appends = append(g.Appends, a)
	g.Numbers = append(g.Numbers, number)
}

// Next returns the lines that have arrived, one at least. It waits for bytes
// only while it has no line, so nobody waits for a line that was not sent.
//
// With an error the Group has what stood before it, often nothing. The error
// is io.EOF at the end of the body. Any other is a *leat.Error with the number
// of the line in the field "line". No line from there on is ever returned.
func (l *Lines) Next() (Group, error) {
	var g Group
	for l.failed == nil {
		line, ok := l.line()
		switch {
		case ok:
			if err := l.take(line, &g); err != nil {
				l.fail(AtLine(err, l.number))
			}
		case len(l.buf)-l.begin > l.limit+1: // with the CR
			l.number++
			l.fail(AtLine(tooLarge("the line", l.limit), l.number))
		case len(g.Appends) > 0:
			return g, nil
		case l.stop == io.EOF:
			l.fail(io.EOF)
		case l.stop != nil:
			l.fail(AtLine(l.in.fault(l.stop), l.number+1))
		default:
			l.read()
		}
	}
	return g, l.failed
}

// fail makes err the last answer and lets the memory go.
func (l *Lines) fail(err error) {
	l.failed = err
	l.buf, l.begin, l.looked = nil, 0, 0
}

// line returns the next line if all of it is there. It is valid until read.
func (l *Lines) line() ([]byte, bool) {
	rest := l.buf[l.begin:]
	end := bytes.IndexByte(rest[l.looked:], '\n')
	if end >= 0 {
		end += l.looked
		l.begin++
	} else {
		l.looked = len(rest)
		if l.stop != io.EOF || len(rest) == 0 {
			return nil, false
		}
		end = len(rest)
	}
	l.begin += end
	l.looked = 0
	l.number++
	return bytes.TrimSuffix(rest[:end], []byte{'\r'}), true
}

// read waits for more. The buffer grows while each read fills it, and shrinks
// when little comes, so that a quiet connection costs little.
func (l *Lines) read() {
	rest := l.buf[l.begin:]
	switch {
	case len(rest) <= l.begin && cap(l.buf) != l.size && len(rest) < l.size:
		l.buf = append(make([]byte, 0, l.size), rest...)
		l.begin = 0
	case len(rest) <= l.begin: // so each byte consumed moves one at most
		l.buf = l.buf[:copy(l.buf[:cap(l.buf)], rest)]
		l.begin = 0
	case len(l.buf) == cap(l.buf):
		l.buf = append(make([]byte, 0, 2*cap(l.buf)), rest...)
		l.begin = 0
	}
	free := cap(l.buf) - len(l.buf)
	n, err := l.in.read(l.buf[len(l.buf):cap(l.buf)])
	l.buf = l.buf[:len(l.buf)+n]
	l.stop = err
	l.size = fitBuffer(l.size, n, free)
}

// take decodes a line and adds what it holds to g.
func (l *Lines) take(line []byte, g *Group) error {
	if len(line) > l.limit {
		return tooLarge("the line", l.limit)
	}
	if len(bytes.Trim(line, " \t\r")) == 0 {
		return nil
	}
	a, err := l.decode(line)
	if err == nil {
		g.add(a, l.number)
	}
	return err
}

// AtLine returns err as a *leat.Error that has the number of a line in its
// field "line". It leaves err, which others may share, as it is.
func AtLine(err error, number int) error { return at(err, "line", number) }

func at(err error, field string, number int) error {
	e := *leat.AsError(err)
	e.Fields = maps.Clone(e.Fields)
	return e.With(field, number)
}
