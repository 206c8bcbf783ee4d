package sse_test

import (
	"strings"
	"time"
)

// reference interprets a whole stream as sections 9.2.5 and 9.2.6 of the HTML
// Standard are written, one sentence after the other, without a thought for
// speed. It shares no code with the package. It departs from the text in two
// places, both of which the package documents: the last event ID buffer begins
// with lastID, not empty, and the reconnection time stops at 24 hours.
func reference(stream []byte, lastID string) trace {
	// "When a stream is parsed, a data buffer, an event type buffer, and a last
	// event ID buffer must be associated with it. They must be initialized to
	// the empty string."
	p := literal{id: lastID}
	p.lastID = lastID

	// "Streams must be decoded using the UTF-8 decode algorithm." It "strips one
	// leading UTF-8 Byte Order Mark (BOM), if any."
	text := decodeUTF8(strings.TrimPrefix(string(stream), "\xEF\xBB\xBF"))
	for {
		line, rest, ended := cutLine(text)
		if !ended {
			break
		}
		text = rest
		p.line(line)
	}
	// "Once the end of the file is reached, any pending data must be discarded."
	p.pending = p.unfinished || text != ""
	return p.trace
}

// literal has the buffers of the standard.
type literal struct {
	trace
	data, eventType, id string
	unfinished          bool // for Pending: something that matters came since the last blank line
}

func (p *literal) line(line string) {
	switch colon := strings.Index(line, ":"); {
	case line == "":
		// "If the line is empty (a blank line): Dispatch the event, as defined
		// below."
		p.dispatch()
	case colon == 0:
		// "If the line starts with a U+003A COLON character (:): Ignore the
		// line." Shown to the caller here, as a sign of life.
		p.addComment(strings.TrimPrefix(line[1:], " "))
	case colon > 0:
		// "Collect the characters on the line before the first U+003A COLON
		// character (:), and let field be that string." "Collect the
		// characters on the line after the first U+003A COLON character (:),
		// and let value be that string. If value starts with a U+0020 SPACE
		// character, remove it from value."
		p.field(line[:colon], strings.TrimPrefix(line[colon+1:], " "))
	default:
		// "Process the field using the steps described below, using the whole
		// line as the field name, and the empty string as the field value."
		p.field(line, "")
	}
}

func (p *literal) field(name, value string) {
	// "Field names must be compared literally, with no case folding performed."
	switch name {
	case "event":
		// "Set the event type buffer to field value."
		p.eventType, p.unfinished = value, true
	case "data":
		// "Append the field value to the data buffer, then append a single
		// U+000A LINE FEED (LF) character to the data buffer."
		p.data, p.unfinished = p.data+value+"\n", true
	case "id":
		// "If the field value does not contain U+0000 NULL, then set the last
		// event ID buffer to the field value. Otherwise, ignore the field."
		p.unfinished = true
		if !strings.Contains(value, "\x00") {
			p.id = value
		}
	case "retry":
		// "If the field value consists of only ASCII digits, then interpret
		// the field value as an integer in base ten, and set the event
		// stream's reconnection time to that integer. Otherwise, ignore the
		// field." An empty value has no integer.
		if value != "" && strings.Trim(value, "0123456789") == "" {
			p.addRetry(clampedMillis(value))
		}
	}
	// "Otherwise: The field is ignored."
}

func (p *literal) dispatch() {
	// "Set the last event ID string of the event source to the value of the last
	// event ID buffer. The buffer does not get reset".
	p.lastID, p.unfinished = p.id, false
	// "If the data buffer is an empty string, set the data buffer and the event
	// type buffer to the empty string and return."
	if p.data != "" {
		// "If the data buffer's last character is a U+000A LINE FEED (LF)
		// character, then remove the last character from the data buffer."
		p.addEvent(p.lastID, p.eventType, strings.TrimSuffix(p.data, "\n"))
	}
	// "Set the data buffer and the event type buffer to the empty string."
	p.data, p.eventType = "", ""
}

// cutLine cuts the first line off text, "with a U+000D CARRIAGE RETURN U+000A
// LINE FEED (CRLF) character pair, a single U+000A LINE FEED (LF) character not
// preceded by a U+000D CARRIAGE RETURN (CR) character, and a single U+000D
// CARRIAGE RETURN (CR) character not followed by a U+000A LINE FEED (LF)
// character being the ways in which a line can end."
func cutLine(text string) (line, rest string, ended bool) {
	for i := range len(text) {
		switch {
		case text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n':
			return text[:i], text[i+2:], true
		case text[i] == '\r', text[i] == '\n':
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// clampedMillis reads digits as milliseconds, at most 24 hours, by counting
// digits: no arithmetic that could overflow.
func clampedMillis(digits string) time.Duration {
	digits = strings.TrimLeft(digits, "0")
	if len(digits) > len("86400000") {
		return 24 * time.Hour
	}
	d, err := time.ParseDuration("0" + digits + "ms")
	if err != nil {
		panic(err)
	}
	return min(d, 24*time.Hour)
}

// decodeUTF8 is the UTF-8 decoder of the Encoding Standard, section 8.1.1, with
// its variables under their names and the error mode "replacement".
func decodeUTF8(s string) string {
	var out strings.Builder
	var codePoint rune
	seen, needed := 0, 0
	lower, upper := byte(0x80), byte(0xBF)
	for i := 0; i < len(s); i++ {
		b := s[i]
		if needed == 0 {
			switch {
			case b <= 0x7F:
				out.WriteByte(b)
			case b >= 0xC2 && b <= 0xDF:
				needed, codePoint = 1, rune(b&0x1F)
			case b >= 0xE0 && b <= 0xEF:
				if b == 0xE0 {
					lower = 0xA0
				}
				if b == 0xED {
					upper = 0x9F
				}
				needed, codePoint = 2, rune(b&0xF)
			case b >= 0xF0 && b <= 0xF4:
				if b == 0xF0 {
					lower = 0x90
				}
				if b == 0xF4 {
					upper = 0x8F
				}
				needed, codePoint = 3, rune(b&0x7)
			default:
				out.WriteRune(0xFFFD)
			}
			continue
		}
		if b < lower || b > upper {
			codePoint, needed, seen, lower, upper = 0, 0, 0, 0x80, 0xBF
			out.WriteRune(0xFFFD)
			i-- // "Restore byte to ioQueue."
			continue
		}
		lower, upper = 0x80, 0xBF
		codePoint = codePoint<<6 | rune(b&0x3F)
		if seen++; seen == needed {
			out.WriteRune(codePoint)
			codePoint, needed, seen = 0, 0, 0
		}
	}
	if needed != 0 {
		out.WriteRune(0xFFFD) // "If byte is end-of-queue and UTF-8 bytes needed is not 0"
	}
	return out.String()
}
