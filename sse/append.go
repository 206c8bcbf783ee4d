package sse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"
)

// The values that the format cannot carry. Nothing has been appended when one
// of these is returned.
var (
	// ErrInvalidID is returned for an id that contains CR, LF or NUL. A line
	// end would let it forge fields; with a NUL decoders ignore it.
	ErrInvalidID = errors.New("sse: id contains CR, LF or NUL")

	// ErrInvalidType is returned for an event type that contains CR, LF or NUL.
	// A NUL would be legal; it is refused because no honest type has one and
	// many clients cut strings at it.
	ErrInvalidType = errors.New("sse: event type contains CR, LF or NUL")

	// ErrInvalidRetry is returned for a reconnection time that is negative or
	// longer than MaxRetry.
	ErrInvalidRetry = errors.New("sse: retry is negative or longer than 24 hours")
)

// AppendEvent appends one event to dst and returns the extended slice: the
// fields id, event and data, in this order, and a blank line. It is safe for
// concurrent use on different slices, keeps none of its arguments, and
// allocates only if dst has no room. dst must not overlap with data or id.
//
// An empty id appends no id field: the reader keeps the id it had. An empty typ
// appends no event field: the reader takes [DefaultType]. An id or typ that
// contains CR, LF or NUL is refused with [ErrInvalidID] or [ErrInvalidType],
// and dst is returned as it was.
//
// The data is split at each CR, LF and CRLF into one data field per line, so no
// content can end the event or forge a field. It comes back with LF in the
// place of each; everything else, a leading space, a trailing line end and
// empty data included, comes back as it was if it is valid UTF-8. AppendEvent
// does not check that.
//
// Browsers call onmessage for empty data too, if typ is empty.
func AppendEvent[ID ~string | ~[]byte](dst []byte, id ID, typ string, data []byte) ([]byte, error) {
	// The compiler does not copy a string to make this slice, because
	// appendEvent does not change it; and this function is inlined.
	return appendEvent(dst, []byte(id), typ, data)
}

func appendEvent(dst, id []byte, typ string, data []byte) ([]byte, error) {
	// One growth for all, but for data of several lines.
	b := slices.Grow(dst, len("id: \nevent: \ndata: \n\n")+len(id)+len(typ)+len(data))
	if len(id) > 0 {
		b = append(b, "id: "...)
		n := len(b)
		b = b[:n+len(id)]
		if !copyValue(b[n:], id) {
			return dst, ErrInvalidID
		}
		b = append(b, '\n')
	}
	if typ != "" {
		b = append(b, "event: "...)
		n := len(b)
		b = b[:n+len(typ)]
		if !copyValue(b[n:], []byte(typ)) {
			return dst, ErrInvalidType
		}
		b = append(b, '\n')
	}
	n := len(b)
	b = append(b, "data: "...)
	b = append(b, data...)
	if bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0 {
		b = appendLines(b[:n], data)
		return append(b, '\n'), nil
	}
	return append(b, "\n\n"...), nil
}

// AppendRetry appends a block that sets the reader's reconnection time, and
// returns the extended slice. The format counts whole milliseconds; d is
// rounded up to the next, so that a short time never becomes none. A d that is
// negative or longer than [MaxRetry] is refused with [ErrInvalidRetry], and dst
// is returned as it was.
//
// A time of zero asks readers to come back at once. Well-behaved servers add
// jitter to d, lest all readers return in the same instant.
func AppendRetry(dst []byte, d time.Duration) ([]byte, error) {
	if d < 0 || d > MaxRetry {
		return dst, ErrInvalidRetry
	}
	ms := (d + time.Millisecond - 1) / time.Millisecond
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, int64(ms), 10)
	return append(dst, "\n\n"...), nil
}

// AppendComment appends a comment and a blank line, and returns the extended
// slice. Browsers ignore comments and do not show them to pages; they are sent
// to keep proxies from closing a quiet connection, which the standard advises
// "every 15 seconds or so". An empty text gives the shortest: ":\n\n".
//
// The text is split at each CR, LF and CRLF into one comment line per line, so
// that it cannot forge anything.
func AppendComment(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, ":\n\n"...)
	}
	dst = append(dst, ": "...)
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n' && i > 0 && text[i-1] == '\r':
			// The other half of a CRLF.
		case c == '\n' || c == '\r':
			dst = append(dst, "\n: "...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, "\n\n"...)
}

// appendLines appends a data field for each line of data. Data that ends with a
// line end has an empty last line.
func appendLines(b, data []byte) []byte {
	for {
		b = append(b, "data: "...)
		i, _ := indexEOL(data)
		if i < 0 {
			b = append(b, data...)
			return append(b, '\n')
		}
		b = append(b, data[:i]...)
		b = append(b, '\n')
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
}

// copyValue copies value to dst, which is as long, and reports false if it
// contains CR, LF or NUL.
//
// It is one pass, eight bytes at a time, because ids and types are too short for
// three calls of bytes.IndexByte to pay. The pass looks for any byte below 0x0e,
// of which honest values have none; only then is it looked at which.
func copyValue(dst, value []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := len(value)
	dst = dst[:n]
	if n < 8 {
		copy(dst, value)
		return !hasForbidden(dst)
	}
	var low uint64 // a high bit for a byte below 0x0e
	for i := 0; i < n-8; i += 8 {
		x := binary.LittleEndian.Uint64(value[i:])
		binary.LittleEndian.PutUint64(dst[i:], x)
		low |= (x - 0x0e*ones) &^ x
	}
	x := binary.LittleEndian.Uint64(value[n-8:]) // overlaps those before
	binary.LittleEndian.PutUint64(dst[n-8:], x)
	low |= (x - 0x0e*ones) &^ x
	return low&highs == 0 || !hasForbidden(dst)
}

func hasForbidden(b []byte) bool {
	for _, c := range b {
		if c == '\n' || c == '\r' || c == 0 {
			return true
		}
	}
	return false
}
