package leat_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
)

func TestOffsetString(t *testing.T) {
	for _, test := range []struct {
		offset leat.Offset
		want   string
	}{
		{leat.Offset{}, "0000000000000000_0000000000000000"},
		{leat.Offset{Epoch: 1763711400123, Seq: 42}, "0001763711400123_0000000000000042"},
		{leat.Offset{Epoch: leat.MaxSeq, Seq: leat.MaxSeq}, "9999999999999999_9999999999999999"},
		// Beyond what can be parsed, but not cut: nobody takes it for another.
		{leat.Offset{Epoch: leat.MaxSeq + 1, Seq: math.MaxUint64}, "10000000000000000_18446744073709551615"},
	} {
		if got := test.offset.String(); got != test.want {
			t.Errorf("%#v is %q, want %q", test.offset, got, test.want)
		}
		if got := string(test.offset.AppendTo([]byte("id: "))); got != "id: "+test.want {
			t.Errorf("appended to something, %#v is %q", test.offset, got)
		}
	}
}

// "The two numbers are read as numbers, so leading zeros may be missing; each
// has 1 to 16 digits and nothing else is allowed."
func TestParseOffset(t *testing.T) {
	for text, want := range map[string]leat.Offset{
		"0_0":                               {},
		"1_2":                               {Epoch: 1, Seq: 2},
		"01_0002":                           {Epoch: 1, Seq: 2},
		"9999999999999999_9999999999999999": {Epoch: leat.MaxSeq, Seq: leat.MaxSeq},
		"0001763711400123_0000000000000042": {Epoch: 1763711400123, Seq: 42},
	} {
		got, err := leat.ParseOffset(text)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "_", "1", "1_", "_1", "1_2_3", "1__2", "-1_2", "+1_2", "1_+2", " 1_2", "1_2 ", "1_2\n", "1_2\x00", "0x1_2", "1.0_2",
		"1-2", "now", "-1", "٣_٤", "1_2é", "00000000000000001_1", "1_00000000000000001", "18446744073709551615_1",
		strings.Repeat("1", 1000), strings.Repeat("_", 1000),
	} {
		got, err := leat.ParseOffset(text)
		if leat.CodeOf(err) != leat.CodeInvalidOffset || got != (leat.Offset{}) {
			t.Errorf("%q is %v, %v, want an error", text, got, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("the error of a text of %d bytes has %d", len(text), len(err.Error()))
		}
	}
}

// "It sorts as text", and Compare is the order of the text forms.
func TestOffsetOrder(t *testing.T) {
	var offsets []leat.Offset
	for _, epoch := range []uint64{0, 1, 9, 10, 1763711400123, leat.MaxSeq} {
		for _, seq := range []uint64{0, 1, 9, 10, 99, 100, 1 << 40, leat.MaxSeq} {
			offsets = append(offsets, leat.Offset{Epoch: epoch, Seq: seq})
		}
	}
	for _, a := range offsets {
		for _, b := range offsets {
			if got, want := a.Compare(b), strings.Compare(a.String(), b.String()); got != want {
				t.Errorf("%v compared with %v is %d, their texts %d", a, b, got, want)
			}
		}
		if a.IsStart() != (a.Seq == 0) {
			t.Errorf("%v is the start: %v", a, a.IsStart())
		}
	}
	if !slices.IsSortedFunc(offsets, leat.Offset.Compare) {
		t.Error("epochs and sequences in order are not in order")
	}
}

func TestOffsetInJSON(t *testing.T) {
	type event struct {
		ID leat.Offset `json:"id"`
	}
	const text = `{"id":"0000000000000007_0000000000000008"}`
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.ID != (leat.Offset{Epoch: 7, Seq: 8}) {
		t.Errorf("read %v, %v", e, err)
	}
	if got, err := json.Marshal(e); err != nil || string(got) != text {
		t.Errorf("written as %s, %v", got, err)
	}
	before := e
	if err := json.Unmarshal([]byte(`{"id":"7"}`), &e); leat.CodeOf(err) != leat.CodeInvalidOffset || e != before {
		t.Errorf("an invalid id is read as %v, %v", e, err)
	}
}

// Whatever can be parsed has one text form, which parses to the same offset,
// is safe where ids go, and differs from the input by leading zeros only.
func FuzzParseOffset(f *testing.F) {
	for _, text := range []string{
		"0001763711400123_0000000000000042", "0_0", "1_2", "9999999999999999_9999999999999999", "1__2", "-1_2", "",
		"99999999999999990_1", "１_２",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := leat.ParseOffset(text)
		if err != nil {
			if leat.CodeOf(err) != leat.CodeInvalidOffset {
				t.Fatalf("the error %v has code %s", err, leat.CodeOf(err))
			}
			return
		}
		canonical := o.String()
		if again, err := leat.ParseOffset(canonical); err != nil || again != o {
			t.Fatalf("%q is %#v, and its text %q is %#v, %v", text, o, canonical, again, err)
		}
		if len(canonical) != 33 || strings.Trim(canonical, "0123456789_") != "" {
			t.Fatalf("%q is written as %q", text, canonical)
		}
		if bare(text) != bare(canonical) {
			t.Fatalf("%q was read as %q", text, canonical)
		}
	})
}

// bare is an offset's text without leading zeros.
func bare(text string) string {
	epoch, seq, _ := strings.Cut(text, "_")
	return strings.TrimLeft(epoch, "0") + "_" + strings.TrimLeft(seq, "0")
}

func BenchmarkOffset(b *testing.B) {
	o := leat.Offset{Epoch: 1763711400123456, Seq: 123456789}
	text := o.String()
	b.Run("AppendTo", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 64)
		for b.Loop() {
			buf = o.AppendTo(buf[:0])
		}
	})
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := leat.ParseOffset(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
