// Package render turns records into frames. A frame is a pure function of a
// record and an encoding; it is made once and shared by all feeds and readers
// that are due it. Frames live in pages under one bound of bytes.
//
// It knows nothing of connections.
package render

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/sse"
)

// encoding is a way to write records down, compared by identity.
type encoding struct {
	name   string
	append func(dst []byte, r *leat.Record) []byte
}

// The encodings.
var (
	// SSE writes a record as an event: its offset as id, its type as event,
	// its payload as data, in base64 if the record is binary.
	SSE frame.Encoding = &encoding{"sse", appendEvent}

	// SSEEnvelope writes a record as an event whose data is its envelope. It
	// has no event field, since the envelope has the type: so the onmessage
	// of an EventSource, which has no way to ask for every type, gets all.
	SSEEnvelope frame.Encoding = &encoding{"sse-envelope", appendEnvelopeEvent}

	// NDJSON writes a record as its envelope on a line.
	NDJSON frame.Encoding = &encoding{"ndjson", appendLine}

	// Bytes writes the payload of a record as it is, and nothing else.
	Bytes frame.Encoding = &encoding{"bytes", appendPayload}
)

func (e *encoding) String() string { return e.name }

func (e *encoding) Append(dst []byte, r *leat.Record) []byte { return e.append(dst, r) }

func appendEvent(dst []byte, r *leat.Record) []byte {
	if r.Kind != leat.KindBinary {
		return mustEvent(dst, r, r.Type, r.Data)
	}
	data := make([]byte, base64.StdEncoding.EncodedLen(len(r.Data)))
	base64.StdEncoding.Encode(data, r.Data)
	return mustEvent(dst, r, r.Type, data)
}

func appendEnvelopeEvent(dst []byte, r *leat.Record) []byte {
	return mustEvent(dst, r, "", AppendEnvelope(nil, r))
}

func appendLine(dst []byte, r *leat.Record) []byte { return append(AppendEnvelope(dst, r), '\n') }

func appendPayload(dst []byte, r *leat.Record) []byte { return append(dst, r.Data...) }

// AppendEnvelope appends the envelope of r, a JSON object on one line, to dst.
func AppendEnvelope(dst []byte, r *leat.Record) []byte {
	dst = append(appendID(dst, r.Offset), `,"topic":`...)
	dst = appendString(dst, r.Stream)
	if r.Type != "" {
		dst = append(dst, `,"type":`...)
		dst = appendString(dst, r.Type)
	}
	if r.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = appendString(dst, r.Key)
	}
	dst = append(dst, `,"time":"`...)
	dst = r.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	dst = append(dst, `","data":`...)
	switch {
	case r.Kind == leat.KindJSON:
		dst = append(dst, r.Data...)
	case r.Kind == leat.KindText && utf8.Valid(r.Data):
		dst = appendString(dst, string(r.Data))
	default:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, r.Data)
		dst = append(dst, `","encoding":"base64"`...)
	}
	return append(dst, '}')
}

// appendString appends s as a JSON string (RFC 8259, section 7). Line and
// paragraph separators stay as they are: they need no escape in JSON.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
		from = i + 1
	}
	return append(append(dst, s[from:]...), '"')
}

// mustEvent appends the event of r with the data given. It cannot be refused:
// an id is digits, and the journal has checked the type.
func mustEvent(dst []byte, r *leat.Record, typ string, data []byte) []byte {
	var id [40]byte
	dst, err := sse.AppendEvent(dst, r.Offset.AppendTo(id[:0]), typ, data)
	if err != nil {
		panic(err)
	}
	return dst
}
