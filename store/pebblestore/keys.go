package pebblestore

import "encoding/binary"

// The first byte of a key says what it is. The rest is described in
// docs/adr/0003-layout.md; integers are 8 bytes, big endian, so that keys of
// one kind sort by number.
const (
	kindMeta    = 'm' // m what                 format, order, head
	kindEpoch   = 'e' // e epoch                First
	kindRow     = 's' // s name                 stream row
	kindState   = 'k' // k id key               small keyed state
	kindRecord  = 'r' // r id seq               record
	kindIndex   = 'l' // l seq                  log index
	kindRemoval = 't' // t through id           removal
	kindDue     = 'd' // d due name             nothing
)

// The keys of kind kindMeta. head is the last sequence that was ever
// assigned: it follows from no other key once a stream whose Tx had no
// records is dropped, or the end of the log is trimmed. Beside it stands what
// all records take, which would otherwise be the sum over all rows.
var (
	keyFormat = []byte("mformat")
	keyOrder  = []byte("morder")
	keyHead   = []byte("mhead")
)

func appendNumber(dst []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(dst, n) }

func numberAt(key []byte, at int) uint64 { return binary.BigEndian.Uint64(key[at : at+8]) }

func epochKey(dst []byte, epoch uint64) []byte {
	return appendNumber(append(dst[:0], kindEpoch), epoch)
}

func rowKey(dst []byte, name string) []byte {
	return append(append(dst[:0], kindRow), name...)
}

// stateKey returns the key of one value of a stream's state. With an empty
// key it is the lower bound of all of them.
func stateKey(dst []byte, id uint64, key string) []byte {
	return append(appendNumber(append(dst[:0], kindState), id), key...)
}

func recordKey(dst []byte, id, seq uint64) []byte {
	return appendNumber(appendNumber(append(dst[:0], kindRecord), id), seq)
}

func indexKey(dst []byte, seq uint64) []byte {
	return appendNumber(append(dst[:0], kindIndex), seq)
}

func removalKey(dst []byte, through, id uint64) []byte {
	return appendNumber(appendNumber(append(dst[:0], kindRemoval), through), id)
}

// dueKey returns the key of a stream that is due at a time in microseconds.
// Flipping the sign bit makes times before 1970 sort first.
func dueKey(dst []byte, due int64, name string) []byte {
	return append(appendNumber(append(dst[:0], kindDue), uint64(due)^1<<63), name...)
}

// recordSeq returns the sequence in a key of kind kindRecord.
func recordSeq(key []byte) uint64 { return numberAt(key, 9) }

// indexSeq returns the sequence in a key of kind kindIndex.
func indexSeq(key []byte) uint64 { return numberAt(key, 1) }

// successor returns the first key behind all keys that begin with prefix.
func successor(dst, prefix []byte) []byte {
	dst = append(dst[:0], prefix...)
	for len(dst) > 0 {
		last := len(dst) - 1
		dst[last]++
		if dst[last] != 0 {
			return dst
		}
		dst = dst[:last] // 0xff was the largest byte: carry
	}
	return dst
}
