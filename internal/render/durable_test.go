package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// decodeControl reads the data of a control event and refuses what is no member of it.
func decodeControl(t *testing.T, data []byte) (c struct {
	StreamNextOffset, StreamCursor, LeatEnd, LeatReason string
	UpToDate, StreamClosed                              bool
}) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return c
}

// A frame is an event with data, which says the same as the record, and the control
// event of that place, whatever the record has.
func FuzzDurable(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, stream, typ, key string, kind uint8, data []byte, micro int64) {
		r, ok := fuzzRecord(stream, typ, key, kind, data, micro)
		if !ok {
			return
		}
		for _, form := range []*Durable{{}, {Latest: true}, {Floor: 1 << 40}} {
			frame := form.Encoding().Append([]byte(": x\n"), r)
			d := sse.NewDecoder(bytes.NewReader(frame), nil)
			ev, err := d.Next()
			if err != nil || ev.Type != "data" || ev.ID != r.Offset.String() {
				t.Fatalf("%q: %+v, %v", frame, ev, err)
			}
			want := string(r.Data)
			switch r.Kind {
			case leat.KindJSON:
				want = "[" + want + "]"
			case leat.KindText:
				want = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(r.Text()))
			default:
				want = base64.StdEncoding.EncodeToString(r.Data)
			}
			if !utf8.ValidString(want) { // what comes of bytes that are no text is the codec's to say
				plain, err := sse.NewDecoder(strings.NewReader("data: "+strings.ReplaceAll(want, "\n", "\ndata: ")+"\n\n"), nil).Next()
				if err != nil {
					t.Fatal(err)
				}
				want = string(plain.Data)
			}
			if got := string(ev.Data); got != want {
				t.Errorf("%q of %q, want %q", got, r.Data, want)
			}
			ev, err = d.Next()
			if err != nil || ev.Type != "control" || ev.ID != r.Offset.String() || !bytes.Contains(frame, []byte("\nevent: control\ndata:{")) {
				t.Fatalf("%q: %+v, %v", frame, ev, err)
			}
			c := decodeControl(t, ev.Data)
			if c.StreamNextOffset != r.Offset.String() || c.UpToDate != form.Latest || c.StreamClosed || c.StreamCursor != fmt.Sprint(max(Interval(r.Time), form.Floor)) {
				t.Errorf("%s", ev.Data)
			}
			if _, err := d.Next(); err == nil {
				t.Errorf("%q: more than two events", frame)
			}
		}
	})
}

func TestDurableEnd(t *testing.T) {
	for _, state := range []leat.EndState{leat.EndComplete, leat.EndAborted, leat.EndError, leat.EndTruncated} {
		r := &leat.Record{Stream: "a", Kind: leat.KindEnd, Type: string(state), Data: []byte("why\n\xff"), Offset: here}
		frame := (&Durable{}).Encoding().Append(nil, r)
		ev, err := sse.NewDecoder(bytes.NewReader(frame), nil).Next()
		if err != nil || ev.Type != "control" || ev.ID != id {
			t.Fatalf("%q: %+v, %v", frame, ev, err)
		}
		c := decodeControl(t, ev.Data)
		end := string(state)
		if state == leat.EndComplete {
			end = ""
		}
		if !c.StreamClosed || !c.UpToDate || c.StreamCursor != "" || c.LeatEnd != end || c.LeatReason != "why\n\uFFFD" {
			t.Errorf("%s: %s", state, ev.Data)
		}
	}
	for _, state := range []leat.EndState{leat.EndDeleted, leat.EndExpired} {
		if got := (&Durable{}).Encoding().Append(nil, &leat.Record{Kind: leat.KindEnd, Type: string(state)}); len(got) > 0 {
			t.Errorf("%s: %q", state, got)
		}
	}
}

// "Interval number floor((now − 2024-10-09T00:00:00Z) / 20 s)."
func TestInterval(t *testing.T) {
	for text, want := range map[string]uint64{
		"2024-10-08T00:00:00Z": 0, "2024-10-09T00:00:00Z": 0, "2024-10-09T00:00:19.999Z": 0, "2024-10-09T00:00:20Z": 1, "2026-11-26T00:00:00Z": 778 * 24 * 180,
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if got := Interval(at); err != nil || got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// Encodings that a client chooses a part of do not keep pages for ever.
func TestOpenPagesAreBounded(t *testing.T) {
	c := NewCache(1 << 20)
	for floor := range uint64(1000) {
		enc := (&Durable{Floor: floor}).Encoding()
		if f := c.Tail(enc, record(floor+1, "x"), 1); string(f.Bytes()) != string(enc.Append(nil, record(floor+1, "x"))) {
			t.Fatalf("frame %d is %q", floor, f.Bytes())
		}
		if len(c.open) > maxOpen {
			t.Fatalf("%d pages are open", len(c.open))
		}
	}
	if most := int64(1<<20 + maxOpen*tailPage); c.Used() > most {
		t.Errorf("%d bytes are held, at most %d may be", c.Used(), most)
	}
}
