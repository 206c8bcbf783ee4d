package journal

import (
	"maps"
	"slices"
	"time"

	"github.com/leat-dev/leat"
)

// keyOverhead is about what a key costs in memory beside its own bytes.
const keyOverhead = 128

// keys are those of the records of one stream in the last window of time. They
// are derived from the records and nothing else, so they come back with the
// data after a restart, and the store has nothing to prune.
type keys struct {
	marks map[string]mark

	// order has the keys of marks, oldest record first, so that what has left
	// the window is found without a search. Its first live element is at head.
	order []string
	head  int

	// through is the sequence up to which all records of the stream count.
	through uint64

	bytes int64
	peak  int // the most marks since the map was made: maps do not shrink
}

// A mark is where the record with a key is.
type mark struct {
	offset leat.Offset
	time   int64 // microseconds since 1970
}

func (m mark) when() time.Time { return time.UnixMicro(m.time) }

func newKeys(through uint64) *keys {
	return &keys{marks: make(map[string]mark), through: through}
}

// find returns the first record with that key whose time is since or later.
func (k *keys) find(key string, since time.Time) (mark, bool) {
	m, ok := k.marks[key]
	return m, ok && m.time >= since.UnixMicro()
}

// add notes a record, and lets go of those whose time is before since. Of two
// records with one key inside the window the first counts.
func (k *keys) add(r *leat.Record, since time.Time) {
	k.prune(since)
	if _, ok := k.marks[r.Key]; ok || r.Time.Before(since) {
		return
	}
	k.marks[r.Key] = mark{r.Offset, r.Time.UnixMicro()}
	k.order = append(k.order, r.Key)
	k.bytes += int64(len(r.Key)) + keyOverhead
	k.peak = max(k.peak, len(k.marks))
}

// prune removes the keys of records before since. Each key is looked at once
// in its life, so this costs no more than adding did.
func (k *keys) prune(since time.Time) {
	oldest := since.UnixMicro()
	for k.head < len(k.order) {
		key := k.order[k.head]
		if k.marks[key].time >= oldest {
			break
		}
		delete(k.marks, key)
		k.bytes -= int64(len(key)) + keyOverhead
		k.order[k.head] = ""
		k.head++
	}
	if k.head > len(k.order)/2 {
		n := copy(k.order, k.order[k.head:])
		clear(k.order[n:])
		k.order, k.head = k.order[:n], 0
	}
	if len(k.marks) < k.peak/4 {
		k.shrink()
	}
}

// shrink gives back the memory of a time with many more keys.
func (k *keys) shrink() {
	marks := make(map[string]mark, len(k.marks))
	maps.Copy(marks, k.marks)
	k.marks, k.peak = marks, len(marks)
	k.order, k.head = slices.Clone(k.order[k.head:]), 0
}
