package sse

import "time"

const (
	// keepBytes is the largest buffer kept for the next event. A larger one is
	// let go, so that one huge event does not cost memory for the rest of the
	// stream.
	keepBytes = 64 << 10

	// maxPrefix is the longest part of a line that is not value, where a field
	// is known.
	maxPrefix = len("event: ")

	bom = "\uFEFF"
)

// A Parser decodes an event stream from chunks that the caller pushes. It reads
// nothing and starts nothing. The zero value is ready to use and has the
// default options.
//
// A Parser is not safe for concurrent use. The usual loop is
//
//	for len(chunk) > 0 {
//		var ev sse.Event
//		var ok bool
//		ev, chunk, ok, err = p.Parse(chunk)
//		if err != nil {
//			return err
//		}
//		if ok {
//			handle(ev)
//		}
//	}
type Parser struct {
	// Set at construction.
	opts Options

	// Where in the stream the next byte falls; forgotten by Reset.
	err     error  // sticky: a *TooLargeError
	bom     int    // bytes of a BOM at the start that have matched; -1 once past the start
	sawCR   bool   // the last line ended with CR: an LF now belongs to it
	inData  bool   // the line being read is a data field, its value goes straight to data
	started bool   // the block has a data, event or id field
	line    []byte // the line being read, without its end; empty if inData

	// The buffers of the standard, for the block being read; forgotten by Reset.
	data    []byte // the data fields joined by LF: the standard's buffer without its last LF
	hasData bool   // that buffer is not empty: there was a data field
	value   int    // inData: where in data the value being read starts
	typ     []byte
	id      []byte
	hasID   bool // the block has set id

	// What outlives a stream.
	lastID   string
	retry    time.Duration
	hasRetry bool
	names    nameCache

	// looked counts the bytes searched for line ends, so that a test can tell
	// linear from quadratic.
	looked int64
}

// NewParser returns a Parser for the start of a stream. A nil o means the
// defaults.
func NewParser(o *Options) *Parser {
	p := new(Parser)
	if o != nil {
		p.opts = *o
		p.lastID = o.LastEventID
	}
	return p
}

// Parse takes bytes from chunk, which goes on where the last one ended, up to
// the end of the next event. If there is one it returns it, the rest of the
// chunk and ok = true; the caller goes on with the rest, now or later. If there
// is none, all of the chunk has been taken, and rest is empty. Parse keeps no
// reference to chunk, and an event none to it either.
//
// The only error is a *[TooLargeError], returned again by each later call until
// Reset. Every sequence of bytes is a valid stream.
//
// A line that ends with CR ends at once, without a wait for the LF that may
// follow, and so does the event whose blank line it is.
func (p *Parser) Parse(chunk []byte) (ev Event, rest []byte, ok bool, err error) {
	if p.bom >= 0 {
		chunk = p.skipBOM(chunk)
	}
	for p.err == nil {
		if p.sawCR && len(chunk) > 0 {
			p.sawCR = false
			if chunk[0] == '\n' {
				chunk = chunk[1:]
			}
		}
		n, looked := indexEOL(chunk)
		p.looked += int64(looked)
		if n < 0 {
			p.hold(chunk)
			break
		}
		line := chunk[:n]
		p.sawCR = chunk[n] == '\r'
		chunk = chunk[n+1:]

		switch {
		case p.inData:
			p.hold(line)
			p.endData()
		case len(p.line) > 0:
			p.endLine(line)
		case len(line) > 0:
			p.field(line)
		case p.dispatch(&ev):
			return ev, chunk, true, nil
		}
	}
	return Event{}, nil, false, p.err
}

// skipBOM returns chunk without the part of it that belongs to a BOM at the
// very start of the stream. "The UTF-8 decode algorithm strips one leading
// UTF-8 Byte Order Mark (BOM), if any."
func (p *Parser) skipBOM(chunk []byte) []byte {
	for len(chunk) > 0 && p.bom >= 0 {
		if chunk[0] != bom[p.bom] {
			// Not a BOM after all: what looked like one begins the first line.
			p.line = append(p.line, bom[:p.bom]...)
			p.bom = -1
			break
		}
		chunk = chunk[1:]
		if p.bom++; p.bom == len(bom) {
			p.bom = -1
		}
	}
	return chunk
}

// hold keeps a part of a line that has not ended. The value of a data field,
// the only one expected to be long, is added to the data at once, so that it is
// copied and held once.
func (p *Parser) hold(part []byte) {
	const known = len("data: ") // bytes that tell a data field and where its value starts
	if !p.inData && len(p.line) < known {
		n := min(known-len(p.line), len(part))
		p.line = append(p.line, part[:n]...)
		part = part[n:]
		if len(p.line) < known {
			return
		}
		if v, ok := cutField(p.line, "data"); ok {
			p.inData = true
			p.beginData()
			p.data = append(p.data, v...)
			p.line = p.line[:0]
		}
	}
	if p.inData {
		if p.fits(len(part)) {
			p.data = append(p.data, part...)
		}
	} else if p.fits(len(p.line) + len(part) - maxPrefix) {
		p.line = append(p.line, part...)
	}
}

// endLine interprets the line that is held, now that its last part is here.
func (p *Parser) endLine(part []byte) {
	if !p.fits(len(p.line) + len(part) - maxPrefix) {
		return
	}
	p.line = append(p.line, part...)
	p.field(p.line)
	p.line = recycle(p.line)
}

// fits reports whether n more bytes keep the event within the limit, and ends
// the stream if not. What it counts does not depend on how the stream is cut.
func (p *Parser) fits(n int) bool {
	limit := p.opts.MaxEventBytes
	if limit == 0 {
		limit = DefaultMaxEventBytes
	}
	if limit < 0 || len(p.data)+len(p.typ)+n <= limit {
		return true
	}
	p.err = &TooLargeError{Limit: limit}
	return false
}

// LastEventID returns the last event ID string: what a client sends as
// Last-Event-ID when it reconnects, and the ID of the event dispatched last
// unless a block without data has changed it since. The id of an event that has
// not been dispatched is not in it.
func (p *Parser) LastEventID() string { return p.lastID }

// Retry returns the reconnection time that the stream has asked for last, at
// most [MaxRetry], and whether it has asked for one. It takes effect at the end
// of its line, not with the event around it.
func (p *Parser) Retry() (d time.Duration, ok bool) { return p.retry, p.hasRetry }

// Pending reports whether the stream, if it ended here, would end inside a line
// or an event, which would be thrown away. "Once the end of the file is
// reached, any pending data must be discarded." For a client this is ordinary;
// who must not lose an event asks here whether the body was cut short.
func (p *Parser) Pending() bool {
	return p.started || p.inData || len(p.line) > 0 || p.bom > 0
}

// Reset prepares p for the start of a new stream that continues the last one,
// as after a reconnect: it discards what is pending and an error, and keeps the
// options, the last event ID and the reconnection time.
func (p *Parser) Reset() {
	*p = Parser{
		opts:     p.opts,
		line:     recycle(p.line),
		data:     recycle(p.data),
		typ:      recycle(p.typ),
		id:       recycle(p.id),
		lastID:   p.lastID,
		retry:    p.retry,
		hasRetry: p.hasRetry,
		names:    p.names,
	}
}

// recycle returns b empty, for use again, or nil if it is too large to keep.
func recycle(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}
