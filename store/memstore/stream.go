package memstore

import (
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A stream is what the store knows of one stream. All of it is guarded by the
// store's mu.
type stream struct {
	name        string
	contentType string
	id          uint64
	version     uint64
	last        uint64 // the newest record's sequence
	lastTime    int64
	end         int64  // after the newest record's last byte
	appended    int64  // payload bytes, of all records ever
	count       int64  // records that are there
	due         int64  // microseconds since 1970; never is 0
	gone        uint64 // records up to here are removed, everything if dropped
	lost        *lost  // what Removed tells, nil for nothing
	records     ordered[*entry]
	state       state
}

func newStream(name, contentType string, id uint64) *stream {
	return &stream{
		// The name may be a piece of a request; the content type is the same
		// for very many streams.
		name:        strings.Clone(name),
		contentType: unique.Make(contentType).Value(),
		id:          id,
	}
}

func (st *stream) before(other *stream) bool { return st.name < other.name }

// info is the stream's Info, without state.
func (st *stream) info() store.Info {
	in := store.Info{
		Name: st.name, ID: st.id, Version: st.version, ContentType: st.contentType,
		Last: st.last, Trimmed: st.gone, Records: st.count, End: st.end,
	}
	if first, ok := st.records.get(pos{}); ok {
		in.Bytes = st.appended - first.appended
	}
	if st.last > 0 {
		in.LastTime = fromMicro(st.lastTime)
	}
	if st.due != 0 {
		in.Due = fromMicro(st.due)
	}
	return in
}

// after returns the place of the first record after a sequence.
func (st *stream) after(seq uint64) pos { return after(&st.records, seq) }

// seek returns the first record that ends after a byte of the content, nil if
// there is none, and how many it looked at.
func (st *stream) seek(at int64) (first *entry, looked int) {
	first, _ = st.records.get(st.records.seek(func(e *entry) bool {
		looked++
		return e.end() <= at
	}))
	return first, looked
}

// An entry is one record, in the log and in its stream. It is immutable, and
// at 112 bytes a third smaller than a leat.Record that shares the name and
// the epoch.
type entry struct {
	stream   *stream
	seq      uint64
	time     int64 // microseconds since 1970
	appended int64 // payload bytes of the stream before this record
	pos      int64
	data     []byte
	typ, key string
	kind     leat.Kind
	carried  uint8 // how much of carry there is
	carry    [leat.MaxCarry]byte
}

func (e *entry) before(other *entry) bool { return e.seq < other.seq }

// removed holds for an entry that is only waiting to be taken off the log.
func (e *entry) removed() bool { return e.seq <= e.stream.gone }

// end is the position after e in the stream's content. See leat.Record.End.
func (e *entry) end() int64 {
	if e.kind == leat.KindEnd {
		return e.pos
	}
	return e.pos + int64(len(e.data))
}

// size is what e counts towards Options.MaxBytes, and in Size.
func (e *entry) size() int64 { return size(len(e.data), len(e.typ), len(e.key), int(e.carried)) }

func size(data, typ, key, carry int) int64 { return int64(data + typ + key + carry + 130) }

func (s *Store) record(e *entry) leat.Record {
	r := leat.Record{
		Stream: e.stream.name,
		Offset: leat.Offset{Epoch: s.epochs[0].Epoch, Seq: e.seq},
		Time:   fromMicro(e.time),
		Kind:   e.kind,
		Type:   e.typ,
		Key:    e.key,
		Pos:    e.pos,
		Data:   e.data,
	}
	if e.carried > 0 {
		// A copy, so that keeping a record does not keep its stream.
		r.Carry = slices.Clip(append([]byte(nil), e.carry[:e.carried]...))
	}
	return r
}

// after returns the place of the first entry after a sequence.
func after(list *ordered[*entry], seq uint64) pos {
	return list.seek(func(e *entry) bool { return e.seq <= seq })
}

func fromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }

// A dueTime is the due time of a stream, in the order of Due.
type dueTime struct {
	at     int64
	stream *stream
}

func (d dueTime) before(other dueTime) bool {
	if d.at != other.at {
		return d.at < other.at
	}
	return d.stream.name < other.stream.name
}

// A state is the small keyed state of a stream: a list while it is short,
// which it mostly is and which takes a tenth of the memory, then a map.
type state struct {
	few  []store.Entry
	many map[string][]byte
}

const fewEntries = 12

func (s *state) get(key string) ([]byte, bool) {
	if s.many != nil {
		v, ok := s.many[key]
		return v, ok
	}
	for _, e := range s.few {
		if e.Key == key {
			return e.Value, true
		}
	}
	return nil, false
}

// set sets a key or, if the value is nil, removes it. The value is copied: it
// may be a piece of something larger, and the caller's to change.
func (s *state) set(e store.Entry) {
	var value []byte
	if e.Value != nil {
		value = slices.Clip(append([]byte{}, e.Value...))
	}
	if s.many != nil {
		s.setMany(e.Key, value)
		return
	}
	i := slices.IndexFunc(s.few, func(old store.Entry) bool { return old.Key == e.Key })
	switch {
	case i >= 0 && value == nil:
		s.few = slices.Delete(s.few, i, i+1)
	case i >= 0:
		s.few[i].Value = value
	case value == nil:
	case len(s.few) < fewEntries:
		s.few = append(s.few, store.Entry{Key: strings.Clone(e.Key), Value: value})
	default:
		s.many = make(map[string][]byte)
		for _, old := range s.few {
			s.many[old.Key] = old.Value
		}
		s.few = nil
		s.setMany(e.Key, value)
	}
}

func (s *state) setMany(key string, value []byte) {
	if value == nil {
		delete(s.many, key)
		return
	}
	s.many[strings.Clone(key)] = value
}

// keys returns up to limit keys that begin with prefix and sort after the one
// given. It looks at all there are: who lists keys lists many.
func (s *state) keys(prefix, after string, limit int) []string {
	var keys []string
	add := func(key string) {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	for _, e := range s.few {
		add(e.Key)
	}
	for key := range s.many {
		add(key)
	}
	slices.Sort(keys)
	return slices.Clip(keys[:min(len(keys), limit)])
}
