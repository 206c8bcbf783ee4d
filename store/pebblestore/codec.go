package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/leat-dev/leat"
)

// Values begin with a version byte. After it come fields: a varint of
// number<<3|wire, then a varint, or a length as a varint and that many bytes,
// or 4 or 8 bytes. A field that is zero or empty is left out. So a field can
// be added and an older reader skips it; what an older reader must not skip
// gets a higher version byte.
const valueVersion = 1

const (
	wireVarint = 0
	wireFixed8 = 1
	wireBytes  = 2
	wireFixed4 = 5
)

var (
	errDamaged = errors.New("a stored value is damaged")
	errNewer   = errors.New("a stored value was written by a newer version of Leat")
)

func appendUint(dst []byte, number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, number<<3|wireVarint)
	return binary.AppendUvarint(dst, v)
}

func appendText[T string | []byte](dst []byte, number uint64, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	return append(appendLength(dst, number, len(v)), v...)
}

// appendLength appends a field of bytes without the bytes.
func appendLength(dst []byte, number uint64, n int) []byte {
	dst = binary.AppendUvarint(dst, number<<3|wireBytes)
	return binary.AppendUvarint(dst, uint64(n))
}

// A field is one field of a value: u for numbers, b for bytes. b points into
// the value.
type field struct {
	number uint64
	u      uint64
	b      []byte
}

// A fields reads the fields of a value. Its err is for the end of the loop:
//
//	for f := (fields{rest: value}); f.next(); { … f.number … }
type fields struct {
	field
	rest []byte
	err  error
}

// readFields returns the fields of a value.
func readFields(value []byte) fields {
	switch {
	case len(value) == 0:
		return fields{err: errDamaged}
	case value[0] > valueVersion:
		return fields{err: fmt.Errorf("%w (value version %d)", errNewer, value[0])}
	}
	return fields{rest: value[1:]}
}

// next reads the next field into f and reports whether there was one. Fields
// of wire types that nothing here uses are skipped like unknown numbers.
func (f *fields) next() bool {
	for f.err == nil && len(f.rest) > 0 {
		tag := f.varint()
		f.number, f.u, f.b = tag>>3, 0, nil
		switch tag & 7 {
		case wireVarint:
			f.u = f.varint()
			if f.err == nil {
				return true
			}
		case wireBytes:
			f.b = f.take(f.varint())
			if f.err == nil {
				return true
			}
		case wireFixed8:
			f.take(8)
		case wireFixed4:
			f.take(4)
		default:
			f.err = errDamaged
		}
	}
	return false
}

func (f *fields) varint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.err = errDamaged
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) take(n uint64) []byte {
	if f.err != nil || n > uint64(len(f.rest)) {
		f.err = errDamaged
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// appendRow appends the value of a stream row. 13 fields; see decodeRow.
func appendRow(dst []byte, r *row) []byte {
	dst = append(dst, valueVersion)
	dst = appendUint(dst, 1, r.id)
	dst = appendUint(dst, 2, r.version)
	dst = appendText(dst, 3, r.contentType)
	dst = appendUint(dst, 4, r.last)
	dst = appendUint(dst, 5, uint64(r.lastTime))
	dst = appendUint(dst, 6, r.trimmed)
	dst = appendUint(dst, 7, r.trimOrder)
	dst = appendUint(dst, 8, uint64(r.records))
	dst = appendUint(dst, 9, uint64(r.bytes))
	dst = appendUint(dst, 10, uint64(r.end))
	if r.hasDue {
		// Written even if it is zero, which is a time like any other.
		dst = binary.AppendUvarint(dst, 11<<3|wireVarint)
		dst = binary.AppendUvarint(dst, uint64(r.due))
	}
	return appendUint(dst, 12, uint64(r.extra))
}

func decodeRow(value []byte) (row, error) {
	var r row
	f := readFields(value)
	for f.next() {
		switch f.number {
		case 1:
			r.id = f.u
		case 2:
			r.version = f.u
		case 3:
			r.contentType = string(f.b)
		case 4:
			r.last = f.u
		case 5:
			r.lastTime = int64(f.u)
		case 6:
			r.trimmed = f.u
		case 7:
			r.trimOrder = f.u
		case 8:
			r.records = int64(f.u)
		case 9:
			r.bytes = int64(f.u)
		case 10:
			r.end = int64(f.u)
		case 11:
			r.due, r.hasDue = int64(f.u), true
		case 12:
			r.extra = int64(f.u)
		}
	}
	return r, f.err
}

// appendRecord appends the value of a record up to its data, which is the
// last field: the caller copies r.Data behind it, straight into the batch.
func appendRecord(dst []byte, r *leat.Record, micros int64) []byte {
	dst = append(dst, valueVersion)
	dst = appendUint(dst, 1, uint64(micros))
	dst = appendUint(dst, 2, uint64(r.Kind))
	dst = appendText(dst, 3, r.Type)
	dst = appendText(dst, 4, r.Key)
	dst = appendUint(dst, 5, uint64(r.Pos))
	if len(r.Data) > 0 {
		dst = appendLength(dst, 6, len(r.Data))
	}
	return dst
}

// decodeRecord reads the value of a record into r, all but its name and
// offset. r.Data points into value.
func decodeRecord(value []byte, r *leat.Record) error {
	var micros int64
	r.Data = []byte{}
	f := readFields(value)
	for f.next() {
		switch f.number {
		case 1:
			micros = int64(f.u)
		case 2:
			if f.u > math.MaxUint8 {
				return errDamaged
			}
			r.Kind = leat.Kind(f.u)
		case 3:
			r.Type = string(f.b)
		case 4:
			r.Key = string(f.b)
		case 5:
			r.Pos = int64(f.u)
		case 6:
			r.Data = f.b
		}
	}
	r.Time = timeOf(micros)
	return f.err
}

// recordSize returns how many bytes a record adds to the bytes and the extra
// of its stream's row.
func recordSize(value []byte) (bytes, extra int64, err error) {
	f := readFields(value)
	for f.next() {
		switch f.number {
		case 3, 4:
			extra += int64(len(f.b))
		case 6:
			bytes = int64(len(f.b))
		}
	}
	return bytes, extra, f.err
}

// An entry of the log index says which stream a sequence belongs to. size,
// the number of payload bytes, lets a reader choose a window of about the
// right size before it fetches the records.
type entry struct {
	id     uint64
	micros int64
	name   []byte // points into the value
	size   uint64
}

func appendEntry(dst []byte, id uint64, micros int64, name string, size int) []byte {
	dst = append(dst, valueVersion)
	dst = appendUint(dst, 1, id)
	dst = appendUint(dst, 2, uint64(micros))
	dst = appendText(dst, 3, name)
	return appendUint(dst, 4, uint64(size))
}

func decodeEntry(value []byte) (entry, error) {
	var e entry
	f := readFields(value)
	for f.next() {
		switch f.number {
		case 1:
			e.id = f.u
		case 2:
			e.micros = int64(f.u)
		case 3:
			e.name = f.b
		case 4:
			e.size = f.u
		}
	}
	return e, f.err
}

// A removal says that a stream lost records.
type removal struct {
	name    string
	order   uint64
	dropped bool
}

func appendRemoval(dst []byte, r removal) []byte {
	dst = append(dst, valueVersion)
	dst = appendText(dst, 1, r.name)
	dst = appendUint(dst, 2, r.order)
	if r.dropped {
		dst = appendUint(dst, 3, 1)
	}
	return dst
}

func decodeRemoval(value []byte) (removal, error) {
	var r removal
	f := readFields(value)
	for f.next() {
		switch f.number {
		case 1:
			r.name = string(f.b)
		case 2:
			r.order = f.u
		case 3:
			r.dropped = f.u != 0
		}
	}
	return r, f.err
}

// appendCounter and decodeCounter are for values that are one number.
func appendCounter(dst []byte, n uint64) []byte {
	return appendUint(append(dst, valueVersion), 1, n)
}

func decodeCounter(value []byte) (uint64, error) {
	var n uint64
	f := readFields(value)
	for f.next() {
		if f.number == 1 {
			n = f.u
		}
	}
	return n, f.err
}

// appendHead and decodeHead are for the value of keyHead: the last sequence,
// and what the records of all streams take. known is false if the size is not
// there, as in a store that was last written by something that did not count.
func appendHead(dst []byte, head uint64, size int64) []byte {
	dst = binary.AppendUvarint(appendCounter(dst, head), 2<<3|wireVarint)
	return binary.AppendUvarint(dst, uint64(size)) // written even if it is zero
}

func decodeHead(value []byte) (head uint64, size int64, known bool, err error) {
	f := readFields(value)
	for f.next() {
		switch f.number {
		case 1:
			head = f.u
		case 2:
			size, known = int64(f.u), true
		}
	}
	return head, size, known, f.err
}

// appendState and decodeState are for a value of a stream's keyed state.
func appendState(dst, value []byte) []byte {
	return appendText(append(dst, valueVersion), 1, value)
}

func decodeState(value []byte) ([]byte, error) {
	b := []byte{}
	f := readFields(value)
	for f.next() {
		if f.number == 1 {
			b = f.b
		}
	}
	return b, f.err
}
