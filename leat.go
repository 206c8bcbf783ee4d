// Package leat holds the words that every part of Leat shares: [Record],
// [Offset], stream names, [Pattern], [Filter] and [Error]. It has no
// behaviour of a server or a client and imports only the standard library.
//
// A leat is a channel that carries a stream to where it does work. The
// server is in package server, the wire format of Server-Sent Events in
// package sse, the contract of a storage driver in package store.
package leat

import "time"

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

	// Data is the payload.
	Data []byte
}

// End returns the position of the byte after the record, r.Pos + len(r.Data).
func (r *Record) End() int64 { return r.Pos + int64(len(r.Data)) }

// A Kind says how the payload of a record reads.
type Kind uint8

// The kinds of payload. The zero value is KindBinary: nothing is promised.
// Stores write these numbers to disk: they never change their meaning.
const (
	KindBinary Kind = 0 // any bytes
	KindText   Kind = 1 // UTF-8 text
	KindJSON   Kind = 2 // one JSON text in UTF-8, without insignificant white space
)

// String returns "binary", "text" or "json".
func (k Kind) String() string {
	switch k {
	case KindText:
		return "text"
	case KindJSON:
		return "json"
	default:
		return "binary"
	}
}
