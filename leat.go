// Package leat holds the words that every part of Leat shares: [Record],
// [Offset], stream names, [Pattern], [Filter] and [Error]. It has no
// behaviour of a server or a client and imports only the standard library.
//
// A leat is a channel that carries a stream to where it does work. The
// server is in package server, the wire format of Server-Sent Events in
// package sse, the contract of a storage driver in package store.
package leat

import (
	"time"
	"unicode/utf8"
)

// A Record is one appended message.
//
// Records are passed by value. Whoever receives one may keep it but must not
// change the bytes of Data: stores, caches and other readers share them.
type Record struct {
	// Stream is the name of the stream the record was appended to.
	Stream string

	// Offset is the record's place in the log. It is unique in a store and
	// grows in log order, but successive records need not have successive
	// sequences.
	Offset Offset

	// Time is when the store took the record, with the precision of a
	// microsecond. It never decreases in log order.
	Time time.Time

	// Kind says how Data reads. It follows from the content type of the
	// stream and is stored with each record, so that the bytes a reader is
	// sent are a function of the record alone.
	Kind Kind

	// Type is the event type, the `event` field of Server-Sent Events. It
	// is empty when the publisher gave none.
	Type string

	// Key is the publisher's own name for the record, used to recognise a
	// repeated publish. It is empty when the publisher gave none.
	Key string

	// Pos is the position, in bytes, of the first byte of Data in the
	// stream's content: the sum of the lengths of all records that were
	// ever appended to the stream before this one.
	Pos int64

	// Carry are the first bytes of an unfinished character that the record
	// before this one ended with, at most 3. It is empty except in a text that
	// was cut in the middle of a character. See Text.
	Carry []byte

	// Data is the payload.
	Data []byte
}

// End returns the position of the byte after the record in the stream's
// content: r.Pos + len(r.Data), and r.Pos for a record of [KindEnd], which has
// no content.
func (r *Record) End() int64 {
	if r.Kind == KindEnd {
		return r.Pos
	}
	return r.Pos + int64(len(r.Data))
}

// Text returns the payload of a text record as whole characters: Carry and
// Data, without an unfinished character at the end, which is the Carry of the
// record that comes next. So the texts of all records together are the text of
// the stream, wherever it was cut. The caller must not change it.
func (r *Record) Text() []byte {
	text := r.Data
	if len(r.Carry) > 0 {
		text = append(r.Carry[:len(r.Carry):len(r.Carry)], r.Data...)
	}
	return text[:len(text)-Unfinished(text)]
}

// Unfinished returns how many bytes at the end of text are the beginning of a
// character in UTF-8 that more bytes could finish: 0 to 3.
func Unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		switch c := text[len(text)-n]; {
		case c < utf8.RuneSelf:
			return 0
		case utf8.RuneStart(c):
			if utf8.FullRune(text[len(text)-n:]) {
				return 0 // a whole character, or one that nothing can finish
			}
			return n
		}
	}
	return 0
}

// A Kind says how the payload of a record reads.
type Kind uint8

// The kinds of payload. The zero value is KindBinary: nothing is promised.
// Stores write these numbers to disk: they never change their meaning.
const (
	KindBinary Kind = 0 // any bytes
	KindText   Kind = 1 // UTF-8 text
	KindJSON   Kind = 2 // one JSON text in UTF-8, without insignificant white space

	// KindEnd is the end of the stream: an entry of the log that no content
	// belongs to. Its Type is an [EndState], its Data the reason, a text that
	// may be empty. Nothing is appended to the stream after it.
	KindEnd Kind = 3
)

// String returns "binary", "text", "json" or "end".
func (k Kind) String() string {
	switch k {
	case KindText:
		return "text"
	case KindJSON:
		return "json"
	case KindEnd:
		return "end"
	default:
		return "binary"
	}
}

// An EndState says how a stream ended.
type EndState string

// The end states. Publishers end a stream as complete, aborted or error; the
// others are the server's.
const (
	EndComplete  EndState = "complete"  // all was appended
	EndAborted   EndState = "aborted"   // the publisher gave up
	EndError     EndState = "error"     // the publisher failed; the reason says how
	EndTruncated EndState = "truncated" // the publisher's connection broke before it was done
	EndDeleted   EndState = "deleted"   // the stream was deleted
	EndExpired   EndState = "expired"   // the stream was deleted because its time had come
)

// Gone reports whether an end in this state leaves nothing to read.
func (e EndState) Gone() bool { return e == EndDeleted || e == EndExpired }
