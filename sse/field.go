package sse

import (
	"bytes"
	"time"
	"unicode/utf8"
	"unsafe"
)

// field interprets one whole line that is not blank.
func (p *Parser) field(line []byte) {
	switch line[0] {
	case 'd':
		if v, ok := cutField(line, "data"); ok {
			p.addData(v)
			return
		}
	case 'e':
		if v, ok := cutField(line, "event"); ok {
			p.setType(v)
			return
		}
	case 'i':
		if v, ok := cutField(line, "id"); ok {
			p.setID(v)
			return
		}
	case 'r':
		if v, ok := cutField(line, "retry"); ok {
			p.setRetry(v)
			return
		}
	case ':':
		p.comment(dropSpace(line[1:]))
		return
	}
	// "Otherwise: The field is ignored." But not its size.
	p.fits(len(line) - maxPrefix)
}

// addData is "append the field value to the data buffer, then append a single
// U+000A LINE FEED (LF) character", with the LF put before the next value
// instead: "if the data buffer's last character is a U+000A LINE FEED (LF)
// character, then remove the last character" is then done already.
func (p *Parser) addData(value []byte) {
	p.beginData()
	if p.fits(len(value)) {
		p.data = append(p.data, value...)
		p.endData()
	}
}

func (p *Parser) beginData() {
	if p.hasData {
		p.data = append(p.data, '\n')
	}
	p.hasData = true
	p.started = true
	p.value = len(p.data)
}

// endData completes the value that is the end of p.data.
func (p *Parser) endData() {
	p.inData = false
	if v := p.data[p.value:]; !utf8.Valid(v) {
		p.data = appendUTF8(p.data[:p.value], bytes.Clone(v))
		p.fits(0)
	}
}

// setType is "set the event type buffer to field value".
func (p *Parser) setType(value []byte) {
	p.started = true
	if value = p.decode(value); p.fits(len(value)) {
		p.typ = append(p.typ[:0], value...)
	}
}

// setID is "if the field value does not contain U+0000 NULL, then set the last
// event ID buffer to the field value. Otherwise, ignore the field."
func (p *Parser) setID(value []byte) {
	p.started = true
	if value = p.decode(value); p.fits(len(value)) && bytes.IndexByte(value, 0) < 0 {
		p.id = append(p.id[:0], value...)
		p.hasID = true
	}
}

// setRetry is "if the field value consists of only ASCII digits, then interpret
// the field value as an integer in base ten, and set the event stream's
// reconnection time to that integer. Otherwise, ignore the field."
func (p *Parser) setRetry(value []byte) {
	if !p.fits(len(value)) || len(value) == 0 {
		return
	}
	const most = int64(MaxRetry / time.Millisecond)
	var ms int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return
		}
		ms = min(10*ms+int64(c-'0'), most)
	}
	p.retry, p.hasRetry = time.Duration(ms)*time.Millisecond, true
	if p.opts.OnRetry != nil {
		p.opts.OnRetry(p.retry)
	}
}

func (p *Parser) comment(text []byte) {
	if p.fits(len(text)) && p.opts.OnComment != nil {
		p.opts.OnComment(p.decode(text))
	}
}

// decode returns value as valid UTF-8, without a copy if it is that already.
func (p *Parser) decode(value []byte) []byte {
	if utf8.Valid(value) {
		return value
	}
	return appendUTF8(nil, value)
}

// dispatch does what a blank line asks for, in the order of the standard, and
// reports whether that has made an event.
func (p *Parser) dispatch(ev *Event) bool {
	newID := p.hasID && string(p.id) != p.lastID
	if p.hasData {
		ev.Type = p.names.get(p.typ)
		ev.Data = p.takeData(newID)
	} else if newID {
		p.lastID = string(p.id)
	}
	ev.ID = p.lastID

	ok := p.hasData
	p.typ = recycle(p.typ)
	p.id = recycle(p.id)
	p.hasData, p.hasID, p.started = false, false, false
	return ok
}

// shareBytes is the most data that is put in one allocation with a new id: who
// keeps only the id then keeps no more than this besides.
const shareBytes = 1 << 10

// takeData returns the data for the caller to own and, if newID, makes p.id the
// last event ID. Both together cost one allocation in the ordinary case.
func (p *Parser) takeData(newID bool) []byte {
	n := len(p.data)
	if newID && n <= shareBytes && len(p.id) <= shareBytes && len(p.id) > 0 {
		b := make([]byte, len(p.id)+n)
		i := copy(b, p.id)
		copy(b[i:], p.data)
		// A string must never change. Nobody can write to b[:i]: this function
		// returns only what is behind it, and a slice cannot be extended to the
		// front.
		p.lastID = unsafe.String(&b[0], i)
		p.data = p.data[:0]
		return b[i:]
	}
	if newID {
		p.lastID = string(p.id)
	}
	data := p.data[:n:n]
	if cap(p.data) > keepBytes {
		p.data = nil // given away, not copied
		return data
	}
	p.data = p.data[:0]
	return append(make([]byte, 0, n), data...)
}

// A nameCache holds the event types seen last, of which a stream has few, so
// that they are not allocated again for every event.
type nameCache struct {
	names [8]string
	next  int // the one to replace next
}

// maxName keeps what the cache can hold on to small.
const maxName = 64

func (c *nameCache) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	for _, s := range &c.names {
		if s == string(b) {
			return s
		}
	}
	s := string(b)
	if len(s) <= maxName {
		c.names[c.next] = s
		c.next = (c.next + 1) % len(c.names)
	}
	return s
}
