// Package ingest makes appends of request bodies. It bounds what it reads,
// says exactly what was wrong with it, and stores nothing; what a stream takes
// is for the journal to say.
//
// Some bodies say themselves which topic they are for: [Form] and [Envelope]
// are one record, [NewLines] is an envelope on each line. Of the others the
// caller knows the stream, and sets it: [Record] is one record, [Array] one for
// each element of a JSON array, [NewValues] one for each line of JSON,
// [NewEvents] one for each event of an event stream, and [NewChunks] cuts bytes
// where they come to a halt.
//
// Record and Array read the body to its end. The rest hand over what has
// arrived and never wait for more while they have something, but for Chunks,
// which gathers bytes for a moment. All say in the field "received" of their
// error how much arrived of a body that stopped half-way. The work is linear in
// the bytes read, and what comes out does not depend on how they were cut, but
// for the moment at which Chunks cuts.
package ingest

import (
	"bytes"
	"errors"
	"io"
	"math"
	"mime"
	"os"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// A Body is a request's body and what the head of the request says of it.
type Body struct {
	// Reader is read to its end, or to the first error. An error other than
	// io.EOF means that the body is not complete.
	Reader io.Reader

	// ContentType and Encoding are the fields Content-Type and
	// Content-Encoding, empty if there are none. Array, NewValues, NewEvents
	// and NewChunks give their appends the ContentType as it is: where the
	// body is written in another type than the stream has, such as lines for
	// a stream of application/json, it must be that of the stream.
	ContentType string
	Encoding    string

	// Length is the number of bytes that were announced. 0 and negative mean
	// that it is not known.
	Length int64

	// MaxRecord is the largest payload, in bytes, from Journal.MaxRecord. It
	// is at least 1.
	MaxRecord int

	// MaxBody is the largest body that Array takes, in bytes. 0 and negative
	// mean MaxRecord.
	MaxBody int
}

// A Shape is how appends are written down in a body that names its topics
// itself.
type Shape int

// The shapes.
const (
	ShapeForm     Shape = iota // one record, of the fields of a form
	ShapeEnvelope              // one record, of an envelope
	ShapeLines                 // an envelope on each line
)

const formType = "application/x-www-form-urlencoded"

// ShapeOf returns the shape that a content type stands for. The error has
// leat.CodeNoTopic for a content type that has no place for a topic.
func ShapeOf(contentType string) (Shape, error) {
	essence, params, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return 0, leat.Errorf(leat.CodeMediaType, "%q is not a content type", contentType).
			Advise("Send one such as application/json.")
	}
	shape := ShapeForm
	switch essence {
	case formType:
	case "application/json":
		shape = ShapeEnvelope
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		shape = ShapeLines
	default:
		return 0, leat.Errorf(leat.CodeNoTopic, "nothing says which topic the body is for").
			Advise(`Name it in the URL, /events?topic=orders/42, or send an envelope such as {"topic":"orders/42","data":1} with Content-Type: application/json.`)
	}
	switch charset := params["charset"]; strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return shape, nil
	default:
		return 0, leat.Errorf(leat.CodeMediaType, "text in the charset %q is not taken", charset).Advise("Send it in UTF-8.")
	}
}

// Record returns the body as one record. Stream, Type and Key are the
// caller's to set.
func Record(b Body) (journal.Append, error) {
	if err := b.checkEncoding(); err != nil {
		return journal.Append{}, err
	}
	data, err := b.readAll(b.MaxRecord, tooLarge)
	if err != nil {
		return journal.Append{}, err
	}
	return journal.Append{Form: journal.FormBody, ContentType: OwnType(b.ContentType), Data: data}, nil
}

// OwnType returns the content type of a body of which something else says which stream
// it is for. What curl -d sends, a form type that stands for nothing then, counts as text.
func OwnType(contentType string) string {
	// The type of nearly every body is another, and not parsed.
	if essence, _, _ := strings.Cut(contentType, ";"); !strings.EqualFold(strings.TrimSpace(essence), formType) {
		return contentType
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType
	}
	return mime.FormatMediaType("text/plain", params)
}

// checkEncoding refuses what would have to be decompressed.
func (b *Body) checkEncoding() error {
	if b.Encoding == "" || strings.EqualFold(b.Encoding, "identity") {
		return nil
	}
	return leat.Errorf(leat.CodeMediaType, "a body with Content-Encoding: %s is not taken", b.Encoding).
		Advise("Send it without compression and without Content-Encoding.")
}

// readAll reads a body of at most limit bytes, and makes the error for a
// longer one with over. It reads one more byte at the most, and what it returns
// takes little more memory than it has bytes, since a store may keep it.
func (b *Body) readAll(limit int, over func(what string, limit int) *leat.Error) ([]byte, error) {
	if b.Length > int64(limit) {
		return nil, over("the body", limit)
	}
	most := limit
	if most < math.MaxInt {
		most++ // so that a body that is too long shows
	}
	first := 512
	if b.Length > 0 {
		first = int(min(b.Length+1, 64<<10)) // it was announced, which is no proof
	}
	buf := make([]byte, 0, min(first, most))
	in := reader{from: b.Reader}
	for {
		n, err := in.read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return nil, over("the body", limit)
		case err == io.EOF:
			if len(buf) < cap(buf)/8*7 {
				buf = bytes.Clone(buf)
			}
			return buf, nil
		case err != nil:
			return nil, in.fault(err)
		}
		if len(buf) == cap(buf) {
			size := min(2*len(buf), most)
			if size < len(buf) {
				size = most // 2*len has overflown
			}
			buf = append(make([]byte, 0, size), buf...)
		}
	}
}

// A reader counts what it reads, and does not go round for ever with one that
// returns nothing.
type reader struct {
	from   io.Reader
	count  int64
	advice string // for a body that stops half-way, empty for sending it again
}

func (r *reader) read(p []byte) (n int, err error) {
	for range 100 {
		n, err = r.from.Read(p)
		r.count += int64(n)
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// fault returns the error for a body that ended before its end.
func (r *reader) fault(err error) error {
	if e := (*leat.Error)(nil); errors.As(err, &e) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return leat.Errorf(leat.CodeBodyTimeout, "the body came too slowly: %d bytes of it arrived in time: %w", r.count, err).
			Advise("Send it faster, or in smaller pieces, or start the server with a longer --body-timeout.").
			With("received", r.count)
	}
	advice := r.advice
	if advice == "" {
		advice = "Send it again, with the same key if it has one."
	}
	return leat.Errorf(leat.CodeInvalidBody, "the body stopped half-way, after %d bytes: %w", r.count, err).
		Advise(advice).
		With("received", r.count)
}

func tooLarge(what string, limit int) *leat.Error {
	return leat.Errorf(leat.CodeTooLarge, "%s has more than %d bytes", what, limit).
		Advise("Send smaller records, or start the server with a larger --max-record.").
		With("limit", limit)
}
