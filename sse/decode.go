package sse

import (
	"io"
	"iter"
	"time"
)

const (
	minRead = 4 << 10  // the first buffer: enough for a quiet stream
	maxRead = 64 << 10 // the last, reached while reads fill the buffer

	// maxEmptyReads is how many reads in a row may bring neither bytes nor an
	// error.
	maxEmptyReads = 100
)

// A Decoder reads events from an event stream.
//
// It reads as much as the reader gives at a time, but never reads while it has
// a whole event to hand over. It does not close the reader.
//
// A Decoder is not safe for concurrent use. To stop one that waits in a read,
// make the read return: cancel the request or close the body.
type Decoder struct {
	parser  Parser
	r       io.Reader
	buf     []byte
	chunk   []byte // the part of buf that has been read and not parsed
	readErr error  // what the last read returned, due once chunk is parsed
}

// NewDecoder returns a Decoder for the stream that r is at the start of. A nil o
// means the defaults. It allocates its buffer at the first read.
func NewDecoder(r io.Reader, o *Options) *Decoder {
	d := &Decoder{r: r}
	d.parser = *NewParser(o)
	return d
}

// Next returns the next event, which then belongs to the caller. It waits for
// the reader only if no whole event has been read yet.
//
// At the end of the stream the error is io.EOF. An error of the reader is
// returned as it is, after the events before it; both discard what is pending.
// A *[TooLargeError] says that an event exceeds the limit. After an error Next
// returns the same one again, until Reset.
func (d *Decoder) Next() (Event, error) {
	for {
		ev, rest, ok, err := d.parser.Parse(d.chunk)
		d.chunk = rest
		if ok {
			return ev, nil
		}
		if err != nil {
			return Event{}, err
		}
		if d.readErr != nil {
			return Event{}, d.readErr
		}
		d.read()
	}
}

// read makes one read that brings bytes or an error.
func (d *Decoder) read() {
	if d.buf == nil {
		d.buf = make([]byte, minRead)
	}
	for range maxEmptyReads {
		n, err := d.r.Read(d.buf)
		d.chunk, d.readErr = d.buf[:n], err
		if n == len(d.buf) && n < maxRead {
			// chunk keeps the old one until it is parsed.
			d.buf = make([]byte, 4*n)
		}
		if n > 0 || err != nil {
			return
		}
	}
	d.readErr = io.ErrNoProgress
}

// Events returns an iterator over the events that Next would return. It ends
// without an error at the end of the stream; any other error is its last pair,
// with a zero Event. Leaving the loop early loses nothing: Next, or another
// loop, goes on with the next event.
func (d *Decoder) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := d.Next()
			if err == io.EOF {
				return
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// LastEventID returns the last event ID string: what a client sends as
// Last-Event-ID when it reconnects. It is that of [Options] until the stream
// sets another, and stays over Reset. A block that has an id and no data
// changes it too, though there is no event to tell; an event cut off by the end
// of the stream does not.
func (d *Decoder) LastEventID() string { return d.parser.LastEventID() }

// Retry returns the reconnection time that the stream has asked for last, at
// most [MaxRetry], and whether it has asked for one. It stays over Reset.
func (d *Decoder) Retry() (t time.Duration, ok bool) { return d.parser.Retry() }

// Pending reports whether the bytes read so far end inside a line or an event.
// After io.EOF it says whether something was thrown away; see [Parser.Pending].
func (d *Decoder) Pending() bool { return d.parser.Pending() || len(d.chunk) > 0 }

// Reset makes d read a new stream from its start, one that continues the last,
// as after a reconnect. It discards what is pending and an error, and keeps the
// options, the last event ID, the reconnection time and the buffers.
func (d *Decoder) Reset(r io.Reader) {
	d.parser.Reset()
	d.r, d.chunk, d.readErr = r, nil, nil
}
