package sse

import (
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
	// One growth for all but data of several lines.
	b := slices.Grow(dst, len("id: \nevent: \ndata: \n\n")+len(id)+len(typ)+len(data))
	var ok bool
	if len(id) > 0 {
		if b, ok = appendField(b, "id: ", id); !ok {
			return dst, ErrInvalidID
		}
	}
	if len(typ) > 0 {
		if b, ok = appendField(b, "event: ", typ); !ok {
			return dst, ErrInvalidType
		}
	}
	b = appendLines(b, "data: ", data)
	return append(b, '\n'), nil
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
	dst = appendLines(dst, ": ", []byte(text))
	return append(dst, '\n')
}

// appendLines appends prefix, line and LF for each line of text. Text that ends
// with a line end has an empty last line.
func appendLines(b []byte, prefix string, text []byte) []byte {
	for {
		b = append(b, prefix...)
		i, _ := indexEOL(text)
		if i < 0 {
			b = append(b, text...)
			return append(b, '\n')
		}
		b = append(b, text[:i]...)
		b = append(b, '\n')
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}

// appendField appends prefix, value and LF to b, which has room for them. It
// reports false if value contains CR, LF or NUL.
//
// Copying and checking is one pass, eight bytes at a time: ids and types are too
// short for three calls of bytes.IndexByte to pay. The pass looks for any byte
// below 0x0e, of which honest values have none; only then is it looked at which.
func appendField[V ~string | ~[]byte](b []byte, prefix string, value V) ([]byte, bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	b = append(b, prefix...)
	n := len(value)
	to := b[len(b) : len(b)+n]
	low := uint64(highs) // a high bit for each byte that is below 0x0e
	if n >= 8 {
		low = 0
		for i := 0; ; i += 8 {
			i = min(i, n-8) // the last eight overlap those before
			x := binary.LittleEndian.Uint64([]byte(value[i : i+8]))
			binary.LittleEndian.PutUint64(to[i:i+8], x)
			low |= (x - 0x0e*ones) &^ x
			if i == n-8 {
				break
			}
		}
	} else {
		copy(to, value)
	}
	if low&highs != 0 && slices.ContainsFunc(to, isForbidden) {
		return b, false
	}
	return append(b[:len(b)+n], '\n'), true
}

func isForbidden(c byte) bool { return c == '\n' || c == '\r' || c == 0 }
