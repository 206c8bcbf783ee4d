package render

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
)

// Record writes a record down as it is, for readers in this process: so they share the
// feeds and the pages of all others. ParseRecord reads it. It is seen by nobody else and
// may change.
var Record frame.Encoding = &encoding{"record", appendRecord}

// Records is the form of readers that get values and no bytes: it has blocks that
// nobody asks for.
var Records Form = records{raw{Record}}

// records is raw with the difference that its readers can be told.
type records struct{ raw }

func (records) Tells() bool { return true }

func appendRecord(dst []byte, r *leat.Record) []byte {
	dst = append(dst, byte(r.Kind))
	dst = binary.BigEndian.AppendUint64(dst, r.Offset.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, r.Offset.Seq)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Time.UnixMicro()))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Pos))
	for _, text := range [...]string{r.Stream, r.Type, r.Key} {
		dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(r.Carry))), r.Carry...)
	return append(dst, r.Data...)
}

// ParseRecord reads a frame of Record. What it returns shares no memory with it.
func ParseRecord(b []byte) *leat.Record {
	r := &leat.Record{Kind: leat.Kind(b[0])}
	number := func() uint64 { n := binary.BigEndian.Uint64(b); b = b[8:]; return n }
	b = b[1:]
	r.Offset = leat.Offset{Epoch: number(), Seq: number()}
	r.Time = time.UnixMicro(int64(number())).UTC()
	r.Pos = int64(number())
	piece := func() []byte {
		n, size := binary.Uvarint(b)
		p := b[size : size+int(n)]
		b = b[size+int(n):]
		return p
	}
	r.Stream, r.Type, r.Key = string(piece()), string(piece()), string(piece())
	r.Carry = bytes.Clone(piece())
	if len(r.Carry) == 0 {
		r.Carry = nil
	}
	r.Data = bytes.Clone(b)
	return r
}
