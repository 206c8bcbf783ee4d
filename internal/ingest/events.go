package ingest

import (
	"bytes"
	"io"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// Events reads an event stream: each event is a record of a text or JSON
// stream. Its type is the record's Type, its data the Data, and an id the Key
// if the block of that very event has it, so that the records of a body that is
// sent again are recognised. Comments and retry are ignored, and so is a block
// without data. Stream is the caller's to set.
//
// The format makes U+FFFD of bytes that are not UTF-8, and ignores an id with a
// NUL. Here both are errors: nothing that a publisher sent is replaced or left
// away in silence.
//
// The work is linear in the bytes read, however they are cut. The memory is up
// to 64 KiB and a small multiple of the largest event.
type Events struct {
	in      reader
	body    Body
	parser  *sse.Parser
	block   block
	buf     []byte
	rest    []byte // the part of buf that has been read and not parsed
	size    int    // the length that buf is to have
	number  int    // of the last event
	stop    error  // what the reader ended with
	failed  error  // what Next ended with
	pending bool   // at the end there was something that is not taken
}

// NewEvents returns the events of a body.
func NewEvents(b Body) *Events {
	return &Events{
		in:   reader{from: b.Reader},
		body: b,
		// Data of MaxRecord bytes fits with any type and id that is allowed.
		parser: sse.NewParser(&sse.Options{MaxEventBytes: textLimit(b.MaxRecord, 1)}),
		block:  block{first: true},
		size:   minBuffer,
		failed: b.checkEncoding(),
	}
}

// Next returns the events that have arrived, one at least. It waits for bytes
// only while it has no event, so nobody waits for an event that was not sent.
//
// With an error the Group has what stood before it, often nothing. The error
// is io.EOF at the end of the body. Any other is a *leat.Error with the number
// of the event in the field "event". No event from there on is ever returned.
func (e *Events) Next() (Group, error) {
	var g Group
	for e.failed == nil {
		switch {
		case len(e.rest) > 0:
			if err := e.step(&g); err != nil {
				e.fail(AtEvent(err, e.number))
			}
		case len(g.Appends) > 0:
			return g, nil
		case e.stop == io.EOF:
			e.pending = e.parser.Pending()
			e.fail(io.EOF)
		case e.stop != nil:
			e.fail(AtEvent(e.in.fault(e.stop), e.number+1))
		default:
			e.read()
		}
	}
	return g, e.failed
}

// Pending reports, after io.EOF, whether the body ended inside a line or a
// block. As the format has it, that is not taken: an event ends with a blank
// line.
func (e *Events) Pending() bool { return e.pending }

// fail makes err the last answer and lets the memory go.
func (e *Events) fail(err error) {
	e.failed = err
	e.parser, e.buf, e.rest = nil, nil, nil
}

// read waits for more. How much it reads at once follows what comes.
func (e *Events) read() {
	if len(e.buf) != e.size {
		e.buf = make([]byte, e.size)
	}
	n, err := e.in.read(e.buf)
	e.rest, e.stop = e.buf[:n], err
	e.size = fitBuffer(e.size, n, len(e.buf))
}

// step takes the bytes up to the end of a line, or all there are, and adds the
// event that they complete to g. The error is about event number e.number.
func (e *Events) step(g *Group) error {
	part := e.rest
	if end := bytes.IndexAny(part, "\r\n"); end >= 0 {
		part = part[:end+1]
	}
	e.rest = e.rest[len(part):]
	e.block.add(part)
	ev, _, ok, err := e.parser.Parse(part)
	switch {
	case err != nil: // the only one there is
		e.number++
		return tooLarge("the event", e.body.MaxRecord)
	case ok:
		e.number++
		if err := e.take(ev, g); err != nil {
			return err
		}
	}
	if e.block.ended {
		e.block = block{cr: e.block.cr}
	}
	return nil
}

// take adds the event that the block which has just ended makes to g.
func (e *Events) take(ev sse.Event, g *Group) error {
	switch {
	case e.block.notText:
		return leat.Errorf(leat.CodeInvalidBody, "the event is not valid UTF-8").
			Advise("An event stream is sent in UTF-8. Send bytes that are no text to a stream of another type.")
	case e.block.nulInID:
		return leat.Errorf(leat.CodeInvalidKey, "the id of the event has the control character U+0000, and would be the key of the record").
			Advise("A key is UTF-8 text of at most 256 bytes without control characters, such as a UUID.")
	case len(ev.Data) > e.body.MaxRecord:
		return tooLarge("the event", e.body.MaxRecord)
	}
	a := e.body.append(ev.Data)
	a.Type = ev.Type
	if e.block.hasID {
		a.Key = ev.ID
	}
	g.add(a, e.number)
	return nil
}

// AtEvent returns err as a *leat.Error that has the number of an event in its
// field "event". It leaves err, which others may share, as it is.
func AtEvent(err error, number int) error { return at(err, "event", number) }
