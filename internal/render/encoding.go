// Package render turns records into frames. A frame is a pure function of a
// record and an encoding; it is made once and shared by all feeds and readers
// that are due it. Frames live in pages under one bound of bytes.
//
// It knows nothing of connections.
package render

import (
	"encoding/base64"
	"strings"
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
	// its payload as data, in base64 if the record is binary. The end of a
	// stream is an event of our own.
	SSE frame.Encoding = &encoding{"sse", appendEvent}

	// SSEEnvelope writes a record as an event whose data is its envelope. It
	// has no event field, since the envelope has the type: so the onmessage
	// of an EventSource, which has no way to ask for every type, gets all. The
	// end of a stream is as in SSE.
	SSEEnvelope frame.Encoding = &encoding{"sse-envelope", appendEnvelopeEvent}

	// NDJSON writes a record as its envelope on a line, and the end of a
	// stream as an object with the member end.
	NDJSON frame.Encoding = &encoding{"ndjson", appendLine}

	// Bytes writes the payload of a record as it is, and nothing else: the end
	// of a stream is no bytes.
	Bytes frame.Encoding = &encoding{"bytes", appendPayload}

	// Elements writes a payload, which is a JSON text, as an element of an
	// array, with a comma in front of it. The end of a stream is no bytes.
	Elements frame.Encoding = &encoding{"elements", appendElement}
)

func (e *encoding) String() string { return e.name }

func (e *encoding) Append(dst []byte, r *leat.Record) []byte { return e.append(dst, r) }

func appendEvent(dst []byte, r *leat.Record) []byte {
	switch r.Kind {
	case leat.KindEnd:
		return mustEvent(dst, r, typeEnd, appendEnd(nil, r))
	case leat.KindText:
		return mustEvent(dst, r, r.Type, r.Text())
	case leat.KindJSON:
		return mustEvent(dst, r, r.Type, r.Data)
	}
	data := make([]byte, base64.StdEncoding.EncodedLen(len(r.Data)))
	base64.StdEncoding.Encode(data, r.Data)
	return mustEvent(dst, r, r.Type, data)
}

func appendEnvelopeEvent(dst []byte, r *leat.Record) []byte {
	if r.Kind == leat.KindEnd {
		return appendEvent(dst, r)
	}
	return mustEvent(dst, r, "", AppendEnvelope(nil, r))
}

func appendLine(dst []byte, r *leat.Record) []byte {
	if r.Kind != leat.KindEnd {
		return append(AppendEnvelope(dst, r), '\n')
	}
	dst = append(appendID(dst, r.Offset), `,"end":`...)
	return append(appendEnd(dst, r), "}\n"...)
}

func appendElement(dst []byte, r *leat.Record) []byte {
	if r.Kind == leat.KindEnd {
		return dst
	}
	return append(append(dst, ','), r.Data...)
}

func appendPayload(dst []byte, r *leat.Record) []byte {
	if r.Kind == leat.KindEnd {
		return dst
	}
	return append(dst, r.Data...)
}

// appendEnd appends how a stream ended as a JSON object on one line.
func appendEnd(dst []byte, r *leat.Record) []byte {
	dst = AppendString(append(dst, `{"topic":`...), r.Stream)
	dst = AppendString(append(dst, `,"state":`...), r.Type)
	if len(r.Data) > 0 {
		dst = AppendString(append(dst, `,"reason":`...), strings.ToValidUTF8(string(r.Data), "\uFFFD"))
	}
	return append(dst, '}')
}

// AppendEnvelope appends the envelope of r, a JSON object on one line, to dst.
// The end of a stream has none. A text is its whole characters; one that is no
// UTF-8 even so comes as its exact bytes.
func AppendEnvelope(dst []byte, r *leat.Record) []byte {
	dst = append(appendID(dst, r.Offset), `,"topic":`...)
	dst = AppendString(dst, r.Stream)
	if r.Type != "" {
		dst = append(dst, `,"type":`...)
		dst = AppendString(dst, r.Type)
	}
	if r.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = AppendString(dst, r.Key)
	}
	dst = append(dst, `,"time":"`...)
	dst = r.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	dst = append(dst, `","data":`...)
	return append(appendData(dst, r), '}')
}

// appendData appends the payload of r as the value of the member data, with the
// member encoding if it needs one.
func appendData(dst []byte, r *leat.Record) []byte {
	switch r.Kind {
	case leat.KindJSON:
		return append(dst, r.Data...)
	case leat.KindText:
		if text := r.Text(); utf8.Valid(text) {
			return AppendString(dst, string(text))
		}
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), r.Data)
	return append(dst, `","encoding":"base64"`...)
}

// AppendString appends s as a JSON string (RFC 8259, section 7). Line and
// paragraph separators stay as they are: they need no escape in JSON.
func AppendString(dst []byte, s string) []byte {
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
