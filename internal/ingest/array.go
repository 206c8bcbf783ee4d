package ingest

import (
	"bytes"
	"fmt"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// Array returns the records of a body that is one JSON text, for a JSON
// stream: of an array one for each element, of anything else one. Arrays in
// the array are elements: [[1,2],[3]] is two records, and [] is none. Stream
// is the caller's to set.
//
// An element is handed over byte for byte, without the white space around it.
// Errors have the number of the byte that is wrong, counted from 1, in the
// field "at".
func Array(b Body) ([]journal.Append, error) {
	if err := b.checkEncoding(); err != nil {
		return nil, err
	}
	limit := b.MaxBody
	if limit <= 0 {
		limit = b.MaxRecord
	}
	text, err := b.readAll(limit, arrayTooLarge)
	if err != nil {
		return nil, err
	}
	if err := checkJSON("the body", text); err != nil {
		return nil, err
	}
	s := scanner{text: text}
	if s.next() != '[' {
		record := bytes.TrimRight(text[s.pos:], jsonSpace)
		if len(record) > b.MaxRecord {
			return nil, tooLarge("the record", b.MaxRecord).With("at", s.pos+1)
		}
		return []journal.Append{b.append(record)}, nil
	}
	return b.elements(s)
}

// elements returns the records of the array that s is at. They share the
// memory of the body: the journal makes a compact copy of each for the store.
func (b *Body) elements(s scanner) ([]journal.Append, error) {
	count, look := 0, s
	for range look.elements() {
		count++
	}
	// Counted before: an append takes fifty times the memory of the two bytes
	// that a short element has, and a slice that grows up to twice that.
	as := make([]journal.Append, 0, count)
	for begin, element := range s.elements() {
		if len(element) > b.MaxRecord {
			return nil, tooLarge(fmt.Sprintf("element %d", len(as)+1), b.MaxRecord).With("at", begin+1)
		}
		as = append(as, b.append(element[:len(element):len(element)]))
	}
	return as, nil
}

// append returns the append of a record of a stream that the caller knows.
func (b *Body) append(data []byte) journal.Append {
	return journal.Append{Form: journal.FormBody, ContentType: b.ContentType, Data: data}
}

func arrayTooLarge(what string, limit int) *leat.Error {
	return leat.Errorf(leat.CodeTooLarge, "%s has more than %d bytes", what, limit).
		Advise("Send fewer elements at a time, or each on a line of its own with Content-Type: application/x-ndjson.").
		With("limit", limit)
}
