package render

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/leat-dev/leat"
)

// What is written is what is read, and shares no memory with it.
func FuzzRecord(f *testing.F) {
	f.Add("a/b", "", "", uint8(leat.KindText), uint64(1), uint64(2), int64(3), int64(4), []byte(nil), []byte("data"))
	f.Add("ü", "type", "key", uint8(leat.KindEnd), ^uint64(0), ^uint64(0), int64(-1), int64(1)<<62, []byte{0xe2, 0x82}, []byte{})
	f.Add(string(bytes.Repeat([]byte("n"), 512)), string(bytes.Repeat([]byte("t"), 300)), "k", uint8(2), uint64(0), uint64(0), int64(0), int64(0), []byte{0xc3}, []byte{0})
	f.Fuzz(func(t *testing.T, stream, typ, key string, kind uint8, epoch, seq uint64, micros, pos int64, carry, data []byte) {
		want := &leat.Record{
			Stream: stream, Type: typ, Key: key, Kind: leat.Kind(kind), Offset: leat.Offset{Epoch: epoch, Seq: seq},
			Time: time.UnixMicro(micros).UTC(), Pos: pos, Carry: carry, Data: data,
		}
		if len(carry) == 0 {
			want.Carry = nil
		}
		b := Record.Append([]byte("before"), want)
		got := ParseRecord(b[len("before"):])
		clear(b)
		if len(data) == 0 {
			want.Data, got.Data = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}
