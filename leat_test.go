package leat_test

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// "End returns … r.Pos + len(r.Data), and r.Pos for a record of KindEnd, which
// has no content."
func TestRecordEnd(t *testing.T) {
	for _, test := range []struct {
		record leat.Record
		want   int64
	}{
		{leat.Record{}, 0},
		{leat.Record{Pos: 7}, 7},
		{leat.Record{Pos: 1 << 40, Data: []byte("abc")}, 1<<40 + 3},
		{leat.Record{Kind: leat.KindText, Pos: 7, Carry: []byte("\xc3"), Data: []byte("\xa9")}, 8},
		{leat.Record{Kind: leat.KindJSON, Data: []byte("{}")}, 2},
		{leat.Record{Kind: leat.KindEnd, Pos: 7, Data: []byte("a reason")}, 7},
		{leat.Record{Kind: leat.KindEnd, Pos: 7}, 7},
	} {
		if got := test.record.End(); got != test.want {
			t.Errorf("%+v ends at %d, want %d", test.record, got, test.want)
		}
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[leat.Kind]string{
		leat.KindBinary: "binary", leat.KindText: "text", leat.KindJSON: "json", leat.KindEnd: "end", 200: "binary",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is %q, want %q", kind, got, want)
		}
	}
	// "Stores write these numbers to disk: they never change their meaning."
	if leat.KindBinary != 0 || leat.KindText != 1 || leat.KindJSON != 2 || leat.KindEnd != 3 {
		t.Error("the numbers of the kinds have changed")
	}
}

// End states are stored and sent: they never change. "Gone reports whether an
// end in this state leaves nothing to read."
func TestEndStates(t *testing.T) {
	for state, want := range map[leat.EndState]struct {
		text string
		gone bool
	}{
		leat.EndComplete:  {"complete", false},
		leat.EndAborted:   {"aborted", false},
		leat.EndError:     {"error", false},
		leat.EndTruncated: {"truncated", false},
		leat.EndDeleted:   {"deleted", true},
		leat.EndExpired:   {"expired", true},
		"":                {"", false},
	} {
		if string(state) != want.text || state.Gone() != want.gone {
			t.Errorf("%q, gone %v, want %q, %v", state, state.Gone(), want.text, want.gone)
		}
	}
}

// beginnings has what characters begin with in UTF-8 and do not end with.
func beginnings() map[string]bool {
	all := make(map[string]bool)
	for r := rune(utf8.RuneSelf); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) {
			c := string(r)
			for n := 1; n < len(c); n++ {
				all[c[:n]] = true
			}
		}
	}
	return all
}

// "Unfinished returns how many bytes at the end of text are the beginning of a
// character in UTF-8 that more bytes could finish": looked up for all texts of
// two bytes, and for those of three and four in which bytes of all kinds meet.
func TestUnfinished(t *testing.T) {
	begin := beginnings()
	check := func(text []byte) {
		t.Helper()
		want := 0
		for n := 1; n <= min(leat.MaxCarry, len(text)); n++ {
			if begin[string(text[len(text)-n:])] {
				want = n
			}
		}
		if got := leat.Unfinished(text); got != want {
			t.Fatalf("%q ends with %d unfinished bytes, want %d", text, got, want)
		}
	}
	check(nil)
	for i := range 1 << 16 {
		check([]byte{byte(i >> 8)})
		check([]byte{byte(i >> 8), byte(i)})
	}
	const kinds = "\x00A\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"
	for i := range len(kinds) * len(kinds) * len(kinds) * len(kinds) {
		text := make([]byte, 4)
		for j := range text {
			text[j] = kinds[i%len(kinds)]
			i /= len(kinds)
		}
		check(text[:3])
		check(text)
	}
}

// cut makes records of a text, as whoever appends it does: each has what the
// one before has not finished. An end before the one before it makes none.
func cut(text []byte, ends ...int) []leat.Record {
	var records []leat.Record
	var carry []byte
	pos := 0
	for _, end := range append(ends, len(text)) {
		if end < pos || end > len(text) {
			continue
		}
		r := leat.Record{Kind: leat.KindText, Pos: int64(pos), Carry: carry, Data: text[pos:end]}
		all := append(bytes.Clone(carry), r.Data...)
		carry = all[len(all)-leat.Unfinished(all):]
		records = append(records, r)
		pos = end
	}
	return records
}

// checkTexts checks that "the texts of all records together are the text of
// the stream, wherever it was cut", and that no cut makes a text invalid.
func checkTexts(t *testing.T, text []byte, records []leat.Record) {
	t.Helper()
	var together []byte
	for _, r := range records {
		if len(r.Carry) > leat.MaxCarry {
			t.Fatalf("%+v carries too much", r)
		}
		part := r.Text()
		if utf8.Valid(text) && !utf8.Valid(part) {
			t.Fatalf("the text of %+v is %q", r, part)
		}
		together = append(together, part...)
	}
	if want := text[:len(text)-leat.Unfinished(text)]; !bytes.Equal(together, want) {
		t.Fatalf("the texts are %q, want %q", together, want)
	}
}

// A text of characters of 1 to 4 bytes, cut in two places in every way, and
// into single bytes.
func TestTextCutAnywhere(t *testing.T) {
	for _, text := range []string{
		"", "plain", "aé€😀z", "😀😀", "é\U0010ffff\u0800\uffff\u007f\u0080", "\ufffd", // the character itself is one like others
		"a\xffb\xc3", "\xe2\x82A\xf0\x9f\x98", "\x80\x80\x80\x80\xc3\xa9", "\xf5\x80é\xed\xa0\x80€", // not UTF-8 everywhere
	} {
		b := []byte(text)
		var each []int
		for i := range len(b) + 1 {
			each = append(each, i)
			for j := i; j <= len(b); j++ {
				checkTexts(t, b, cut(b, i, j))
			}
		}
		checkTexts(t, b, cut(b, each...))
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("aé€😀z"), uint(3), uint(7), uint(9))
	f.Add([]byte("\xf0\x9f\x98\x80\xf0\x9f"), uint(1), uint(2), uint(3))
	f.Fuzz(func(t *testing.T, text []byte, a, b, c uint) {
		n := uint(len(text) + 1)
		checkTexts(t, text, cut(text, int(a%n), int(b%n), int(c%n)))
	})
}

// Nobody's memory is written to, although the slices have room.
func TestTextCopies(t *testing.T) {
	carries, data := []byte("\xf0\x9fXXXX"), []byte("\x98\x80YYYY")
	r := leat.Record{Carry: carries[:2], Data: data[:2]}
	if got := r.Text(); string(got) != "😀" {
		t.Errorf("the text is %q", got)
	}
	if string(carries) != "\xf0\x9fXXXX" || string(data) != "\x98\x80YYYY" {
		t.Errorf("the memory has become %q and %q", carries, data)
	}
}
