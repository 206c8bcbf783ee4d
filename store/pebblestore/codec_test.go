package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/leat-dev/leat"
)

// Encode then decode is identity, for each kind of value.
func FuzzRow(f *testing.F) {
	f.Add(uint64(1), uint64(2), "text/plain", int64(3), int64(-4), true)
	f.Add(uint64(0), uint64(1<<53), "", int64(0), int64(0), false)
	f.Fuzz(func(t *testing.T, a, b uint64, text string, c, d int64, due bool) {
		if !due {
			d = 0
		}
		in := row{a, b, text, a + 1, c, b + 1, a ^ b, c + 1, c + 2, c + 3, c + 4, d, due}
		out, err := decodeRow(appendRow(nil, &in))
		if err != nil || out != in {
			t.Errorf("%+v became %+v, %v", in, out, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(int64(1), byte(2), "type", "key", int64(3), []byte("data"))
	f.Add(int64(-1), byte(0), "", "", int64(0), []byte(nil))
	f.Fuzz(func(t *testing.T, micros int64, kind byte, typ, key string, pos int64, data []byte) {
		in := leat.Record{Kind: leat.Kind(kind), Type: typ, Key: key, Pos: pos, Data: data}
		value := append(appendRecord(nil, &in, micros), data...)
		var out leat.Record
		if err := decodeRecord(value, &out); err != nil {
			t.Fatal(err)
		}
		if n, extra, err := recordSize(value); n != int64(len(data)) || extra != int64(len(typ)+len(key)) || err != nil {
			t.Errorf("recordSize: %d, %d, %v", n, extra, err)
		}
		if !out.Time.Equal(timeOf(micros)) || !bytes.Equal(out.Data, data) {
			t.Errorf("%v of %v became %v", in, micros, out)
		}
		out.Time, out.Data = in.Time, in.Data
		if !reflect.DeepEqual(in, out) {
			t.Errorf("%v became %v", in, out)
		}
	})
}

func FuzzSmallValues(f *testing.F) {
	f.Add(uint64(1), uint64(2), int64(3), "name", true, []byte("state"))
	f.Add(uint64(0), uint64(0), int64(0), "", false, []byte{})
	f.Fuzz(func(t *testing.T, a, b uint64, micros int64, name string, yes bool, state []byte) {
		e, err := decodeEntry(appendEntry(nil, a, micros, name, int(b>>1)))
		if err != nil || e.id != a || e.micros != micros || string(e.name) != name || e.size != b>>1 {
			t.Errorf("entry: %+v, %v", e, err)
		}
		r, err := decodeRemoval(appendRemoval(nil, removal{name, a, yes}))
		if err != nil || r != (removal{name, a, yes}) {
			t.Errorf("removal: %+v, %v", r, err)
		}
		n, err := decodeCounter(appendCounter(nil, a))
		if err != nil || n != a {
			t.Errorf("counter: %d, %v", n, err)
		}
		s, err := decodeState(appendState(nil, state))
		if err != nil || !bytes.Equal(s, state) || s == nil {
			t.Errorf("state: %q, %v", s, err)
		}
	})
}

// Any bytes are decoded without a panic, and an unknown field changes nothing.
func FuzzDecode(f *testing.F) {
	rec := leat.Record{Type: "t", Key: "k", Pos: 7, Data: []byte("d")}
	f.Add(appendRow(nil, &row{id: 1, version: 2, contentType: "x", due: 3, hasDue: true}))
	f.Add(append(appendRecord(nil, &rec, 5), rec.Data...))
	f.Add([]byte{valueVersion, 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decodeRow(value)
		rec := leat.Record{}
		recErr := decodeRecord(value, &rec)
		_, _ = decodeEntry(value)
		_, _ = decodeRemoval(value)
		_, _ = decodeCounter(value)
		_, _ = decodeState(value)
		for _, unknown := range [][]byte{
			appendUint(nil, 99, 7), appendText(nil, 98, "later"), appendText(nil, 1<<40, value),
			append(binary.AppendUvarint(nil, 97<<3|wireFixed8), "12345678"...), append(binary.AppendUvarint(nil, 1<<3|wireFixed4), "1234"...),
		} {
			if err == nil {
				if again, err := decodeRow(append(append([]byte(nil), value...), unknown...)); again != r || err != nil {
					t.Errorf("with an unknown field %+v became %+v, %v", r, again, err)
				}
			}
			if recErr == nil {
				again := leat.Record{}
				if err := decodeRecord(append(append([]byte(nil), value...), unknown...), &again); !reflect.DeepEqual(rec, again) || err != nil {
					t.Errorf("with an unknown field %+v became %+v, %v", rec, again, err)
				}
			}
		}
	})
}

// A reader that meets a higher version byte stops and says so.
func TestNewerValues(t *testing.T) {
	value := appendRow(nil, &row{id: 1})
	value[0]++
	if _, err := decodeRow(value); !errors.Is(err, errNewer) {
		t.Errorf("a newer value: %v", err)
	}
	if _, err := decodeRow(nil); !errors.Is(err, errDamaged) {
		t.Errorf("no value: %v", err)
	}
}

// Keys sort by their parts, and successor is the first key behind a prefix.
func TestKeys(t *testing.T) {
	for _, ordered := range [][][]byte{
		{dueKey(nil, -5, "z"), dueKey(nil, -4, "a"), dueKey(nil, 0, ""), dueKey(nil, 1, "a"), dueKey(nil, 1, "b")},
		{recordKey(nil, 1, 1<<40), recordKey(nil, 2, 0), recordKey(nil, 2, 255), recordKey(nil, 2, 256)},
		{removalKey(nil, 1, 9), removalKey(nil, 2, 1), removalKey(nil, 2, 3)},
		{rowKey(nil, "a"), rowKey(nil, "a/b"), rowKey(nil, "a0"), successor(nil, rowKey(nil, "a")), rowKey(nil, "b/c")},
		{{1, 0xff}, {1, 0xff, 0xff}, successor(nil, []byte{1, 0xff, 0xff}), {2, 0}},
	} {
		for i := 1; i < len(ordered); i++ {
			if bytes.Compare(ordered[i-1], ordered[i]) >= 0 {
				t.Errorf("%q does not sort before %q", ordered[i-1], ordered[i])
			}
		}
	}
	if k := recordKey(nil, 7, 9); recordSeq(k) != 9 || numberAt(k, 1) != 7 {
		t.Errorf("%q", k)
	}
	if k := indexKey(nil, 11); indexSeq(k) != 11 {
		t.Errorf("%q", k)
	}
}
