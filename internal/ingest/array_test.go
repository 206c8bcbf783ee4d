package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

const jsonType = "application/json"

// array is Array with limits that are far away.
func array(text string) ([]journal.Append, error) {
	return Array(Body{Reader: iotest.HalfReader(strings.NewReader(text)), ContentType: jsonType, MaxRecord: 100, MaxBody: 1000})
}

// datas returns the data of appends, and fails if anything else is set that
// the caller did not give.
func datas(t *testing.T, as []journal.Append) []string {
	t.Helper()
	var out []string
	for _, a := range as {
		if a.Form != journal.FormBody || a.ContentType != jsonType || a.Stream+a.Type+a.Key != "" {
			t.Errorf("got %+v", a)
		}
		out = append(out, string(a.Data))
	}
	return out
}

// An array gives one record per element, flattened one level; anything else is
// one record.
func TestArray(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{`[]`, nil},
		{" [ \n ] ", nil},
		{`[1]`, []string{"1"}},
		{`[[1,2],[3]]`, []string{"[1,2]", "[3]"}},
		{`[[]]`, []string{"[]"}},
		{` [ 1 , "a,]" , { "x" : [ 1 , 2 ] } , null ] `, []string{"1", `"a,]"`, `{ "x" : [ 1 , 2 ] }`, "null"}},
		// Nothing goes through any: numbers, members and escapes stay as they are.
		{`[1.50e+3,100000000000000000001,-0]`, []string{"1.50e+3", "100000000000000000001", "-0"}},
		{`[{"a":1,"a":2,"\u0061":3}]`, []string{`{"a":1,"a":2,"\u0061":3}`}},
		{`["\ud800","\/","<"]`, []string{`"\ud800"`, `"\/"`, `"<"`}},
		{" {\"a\" : [1]}\r\n", []string{`{"a" : [1]}`}},
		{"\t17", []string{"17"}},
		{`"[1,2]"`, []string{`"[1,2]"`}},
		{"null", []string{"null"}},
	} {
		as, err := array(test.text)
		if got := datas(t, as); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, %v", test.text, got, err)
		}
	}
}

// An error names the byte that is wrong.
func TestArrayErrors(t *testing.T) {
	for _, test := range []struct {
		before, wrong string // text up to the wrong byte, and on from it
	}{
		{"", "x"},
		{"[1,", "]"},
		{`[1 `, `2]`},
		{`[{"a":0`, `1}]`},
		{"[1]", "[2]"},
		{"[1", "}"},
		{"17 ", "18"},
		{"\n\n[tr", "e]"},
		{"[\"a\"", "\x00]"},
		{`["`, "\xff\"]"},
		{`["é`, "\xc3\"]"},
		{"", "\uFEFF[]"}, // JSON is sent without a BOM
		{strings.Repeat("[", 50) + "1,", "]"},
	} {
		_, err := array(test.before + test.wrong)
		e := wantCode(t, err, leat.CodeInvalidBody)
		if e.Fields["at"] != len(test.before)+1 {
			t.Errorf("%q: wrong at byte %v, want %d", test.before+test.wrong, e.Fields["at"], len(test.before)+1)
		}
	}
	for _, text := range []string{"", " ", "[", "[1", "[1,", `{"a":`, `["a`, "[tru", "-"} {
		_, err := array(text)
		e := wantCode(t, err, leat.CodeInvalidBody)
		if e.Fields["at"] != len(text) || !strings.Contains(e.Detail, "cut short") {
			t.Errorf("%q: %v at %v", text, err, e.Fields["at"])
		}
	}
}

// The body as a whole is at most MaxBody, each element at most MaxRecord.
func TestArrayLimits(t *testing.T) {
	body := func(text string) Body {
		return Body{Reader: strings.NewReader(text), MaxRecord: 10, MaxBody: 40}
	}
	ten, eleven := `"12345678"`, `"123456789"`
	full := "[" + ten + " , " + ten + " ,1]" // 26 bytes
	full += strings.Repeat(" ", 40-len(full))
	if as, err := Array(body(full)); err != nil || len(as) != 3 {
		t.Errorf("%d elements, %v", len(as), err)
	}
	in := &counted{r: strings.NewReader(full + "  ")}
	b := body("")
	b.Reader = in
	_, err := Array(b)
	e := wantCode(t, err, leat.CodeTooLarge)
	if e.Fields["limit"] != 40 || in.n != 41 || strings.Contains(e.Advice, "max-record") {
		t.Errorf("%v: limit %v, read %d bytes", err, e.Fields["limit"], in.n)
	}
	b = body("")
	b.Length = 41
	_, err = Array(b)
	wantCode(t, err, leat.CodeTooLarge)

	_, err = Array(body("[1, " + eleven + "]"))
	e = wantCode(t, err, leat.CodeTooLarge)
	if e.Fields["limit"] != 10 || e.Fields["at"] != 5 || !strings.HasPrefix(e.Detail, "element 2 ") {
		t.Errorf("%v: %v", err, e.Fields)
	}
	if as, err := Array(body("  " + ten + "  ")); err != nil || len(as) != 1 {
		t.Errorf("one record at its limit: %v", err)
	}
	_, err = Array(body(" " + eleven))
	if e = wantCode(t, err, leat.CodeTooLarge); e.Fields["at"] != 2 {
		t.Errorf("%v: %v", err, e.Fields)
	}

	// Without MaxBody the body is as a record.
	b = body("[" + ten + "]")
	b.MaxBody = 0
	_, err = Array(b)
	if e := wantCode(t, err, leat.CodeTooLarge); e.Fields["limit"] != 10 {
		t.Errorf("%v: %v", err, e.Fields)
	}
}

// Of a body that stops half-way nothing is taken, and the error says what
// arrived.
func TestArrayStops(t *testing.T) {
	for _, test := range []struct {
		err  error
		code leat.Code
	}{{io.ErrUnexpectedEOF, leat.CodeInvalidBody}, {os.ErrDeadlineExceeded, leat.CodeBodyTimeout}} {
		as, err := Array(Body{Reader: broken("[1,2]", test.err), MaxRecord: 10})
		e := wantCode(t, err, test.code)
		if len(as) != 0 || e.Fields["received"] != int64(5) || !errors.Is(err, test.err) {
			t.Errorf("%d records, %v, %v", len(as), err, e.Fields)
		}
	}
}

// What elements cost is one slice, of the length that is needed.
func TestArrayMemory(t *testing.T) {
	text := "[" + strings.Repeat("1,", 9999) + "1]"
	as, err := Array(Body{Reader: strings.NewReader(text), MaxRecord: 100, MaxBody: 1 << 20})
	if err != nil || len(as) != 10000 || cap(as) != len(as) {
		t.Fatalf("%d elements in %d, %v", len(as), cap(as), err)
	}
	// An append to one does not reach into the next.
	if a := as[0].Data; cap(a) != 1 {
		t.Errorf("an element of %d byte can grow to %d", len(a), cap(a))
	}
}

// FuzzArray: whatever the body and however it is cut, the records are those
// that encoding/json finds, byte for byte.
func FuzzArray(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "[[1,2],[3]]", ` [ 1 , "a,]\"" , { "x" : [ 1 , 2 ] } ] `, "[1,]", "17", `{"a":[]}`, "[\"\xff\"]", `["\ud800",1e999]`, "[1][2]", "[tru",
	} {
		f.Add([]byte(seed), []byte{1, 3, 0})
	}
	f.Fuzz(func(t *testing.T, text, cuts []byte) {
		as, err := Array(Body{Reader: &pieces{text, cuts, io.EOF}, ContentType: jsonType, MaxRecord: 1 << 20})
		var one json.RawMessage
		if valid := json.Unmarshal(text, &one) == nil && invalidUTF8(text) < 0; valid != (err == nil) {
			t.Fatalf("%q is valid: %v, and Array says %v", text, valid, err)
		}
		if err != nil {
			// The byte that is named is the first that is wrong: what stands
			// before it is cut short, unless it is right by itself.
			at := wantCode(t, err, leat.CodeInvalidBody).Fields["at"].(int)
			if utf8.Valid(text) && !json.Valid(text[:max(at-1, 0)]) && !cutShort(text[:max(at-1, 0)]) {
				t.Fatalf("%q: %v, and it was wrong before", text, err)
			}
			return
		}
		want := []json.RawMessage{bytes.Trim(one, jsonSpace)}
		if want[0][0] == '[' {
			json.Unmarshal(text, &want)
		}
		got := datas(t, as)
		if len(got) != len(want) {
			t.Fatalf("%q: got %q, want %q", text, got, want)
		}
		for i := range got {
			if got[i] != string(want[i]) {
				t.Fatalf("%q: got %q, want %q", text, got, want)
			}
		}
	})
}
