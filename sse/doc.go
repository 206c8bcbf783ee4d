// Package sse encodes and decodes text/event-stream, the wire format of
// Server-Sent Events, and does nothing else: no HTTP, no reconnecting, no
// goroutines, no dependencies but the standard library.
//
// The format is that of the WHATWG HTML Standard, sections 9.2.5 and 9.2.6
// (https://html.spec.whatwg.org/multipage/server-sent-events.html); every rule
// there has a test here that quotes it.
//
// # Writing
//
// [AppendEvent], [AppendRetry] and [AppendComment] append to a slice of the
// caller's, in the manner of strconv.AppendInt, and allocate only when that
// slice is too small. Each appends one complete block, blank line included, so
// blocks can be written, cached and joined in any order. What the format cannot
// carry is refused with an error and never rewritten.
//
// Three things do not come back as they were sent, because the format has no
// way to say them:
//
//   - CR and CRLF inside data are line ends like LF, and are decoded as LF;
//   - bytes that are not UTF-8 are decoded as U+FFFD (send base64 instead);
//   - an event without an id is decoded with the id of the event before it.
//
// # Reading
//
// A [Decoder] reads from an [io.Reader] and hands over each event as soon as its
// blank line has arrived, by iterator or one call at a time. A [Parser] is the
// same thing for callers who have the bytes already: they push chunks, cut
// anywhere, and take the events out. Both take time linear in the bytes however
// these are cut, and hold no more than a small multiple of
// [Options.MaxEventBytes].
//
// A blank line without data before it fires nothing, but a new id in the same
// block takes effect: see [Decoder.LastEventID]. What is left at the end of a
// stream without its blank line is thrown away, as the standard demands: see
// [Decoder.Pending].
//
// In one place the decoder departs from the letter of the standard. Read
// literally, the first blank line after a reconnect would set the last event ID
// to the empty string; like the browsers, this package keeps it until the
// stream sets another.
package sse
