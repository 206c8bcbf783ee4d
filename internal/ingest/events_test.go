package ingest

import (
	"bytes"
	"errors"
	"fmt"
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

const textType = "text/plain"

func events(r io.Reader, limit int) *Events {
	return NewEvents(Body{Reader: r, ContentType: textType, MaxRecord: limit})
}

// eventOf is what an event is to become.
func eventOf(typ, key, data string) journal.Append {
	return journal.Append{Form: journal.FormBody, ContentType: textType, Type: typ, Key: key, Data: []byte(data)}
}

func TestEvents(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []journal.Append
	}{
		{"nothing", "", nil},
		{"data", "data: x\n\n", []journal.Append{eventOf("", "", "x")}},
		{"all fields", "event: price\nid: 7\ndata: a\ndata: b\nretry: 10\n: a comment\nother: z\n\n", []journal.Append{eventOf("price", "7", "a\nb")}},
		{"the type is that of its block", "event: a\ndata: 1\n\ndata: 2\n\n", []journal.Append{eventOf("a", "", "1"), eventOf("", "", "2")}},
		{"empty data is an event", "data\n\n", []journal.Append{eventOf("", "", "")}},
		{"line ends", "id: 1\r\ndata: a\r\n\r\nid: 2\rdata: b\r\rid: 3\ndata: c\n\n", []journal.Append{eventOf("", "1", "a"), eventOf("", "2", "b"), eventOf("", "3", "c")}},
		{"JSON", `data: {"a" : 1}` + "\n\n", []journal.Append{eventOf("", "", `{"a" : 1}`)}},
		{"BOM", "\uFEFFid: 1\ndata: a\n\n\uFEFFid: 2\ndata: b\n\n", []journal.Append{eventOf("", "1", "a"), eventOf("", "", "b")}},
		{"BOM and nothing", "\uFEFF\ndata: a\n\n", []journal.Append{eventOf("", "", "a")}},

		// An id is a key in the very block that has it, and nowhere else.
		{"id stays", "id: 1\ndata: a\n\ndata: b\n\n", []journal.Append{eventOf("", "1", "a"), eventOf("", "", "b")}},
		{"the same id", "id: 1\ndata: a\n\nid: 1\ndata: b\n\n", []journal.Append{eventOf("", "1", "a"), eventOf("", "1", "b")}},
		{"id of a block without data", "id: 1\n\ndata: b\n\n", []journal.Append{eventOf("", "", "b")}},
		{"the same, with CR", "id: 1\r\rdata: b\r\r", []journal.Append{eventOf("", "", "b")}},
		{"the same, with CRLF", "id: 1\r\n\r\ndata: b\r\n\r\n", []journal.Append{eventOf("", "", "b")}},
		{"the last id counts", "id: 1\nid: 2\ndata: a\n\n", []journal.Append{eventOf("", "2", "a")}},
		{"an empty id is none", "id: 1\nid\ndata: a\n\nid:\ndata: b\n\n", []journal.Append{eventOf("", "", "a"), eventOf("", "", "b")}},
		{"id without a space", "id:1\ndata: a\n\n", []journal.Append{eventOf("", "1", "a")}},
		{"no id", "id2: 1\nidx\n id: 3\nID: 4\ndata: a\n\n", []journal.Append{eventOf("", "", "a")}},

		// An incomplete last block is not taken.
		{"no blank line", "data: a\n\nid: 2\ndata: b\n", []journal.Append{eventOf("", "", "a")}},
		{"no line end", "data: a\n\ndata: b", []journal.Append{eventOf("", "", "a")}},
		{"an incomplete block is not looked at", "data: a\n\ndata: \xff", []journal.Append{eventOf("", "", "a")}},

		{"what is ignored is not looked at", ": \xff\nid: \x00\n\ndata: b\n\n", []journal.Append{eventOf("", "", "b")}},
		{"NUL in data", "data: a\x00\nid: 1\n\n", []journal.Append{eventOf("", "1", "a\x00")}},
		{"U+FFFD as it is", "data: \uFFFD\n\n", []journal.Append{eventOf("", "", "\uFFFD")}},
	} {
		for _, cut := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			e := events(cut(strings.NewReader(test.text)), 100)
			as, numbers, err := all(e)
			if err != io.EOF || !slices.EqualFunc(as, test.want, same) {
				t.Errorf("%s: got %+v, %v", test.name, as, err)
			}
			for i, n := range numbers {
				if n != i+1 {
					t.Errorf("%s: got the numbers %v", test.name, numbers)
				}
			}
			if pending := strings.HasPrefix(test.name, "no ") && test.name != "no id" || strings.HasPrefix(test.name, "an incomplete"); e.Pending() != pending {
				t.Errorf("%s: pending is %v", test.name, e.Pending())
			}
		}
	}
}

// An error names the number of the event; what stood before is there.
func TestEventsErrors(t *testing.T) {
	good := "data: x\n\n"
	for _, test := range []struct {
		name   string
		body   io.Reader
		code   leat.Code
		before int
		fields map[string]any
	}{
		{"no UTF-8", strings.NewReader(good + "data: \xff\n\n" + good), leat.CodeInvalidBody, 1, nil},
		{"no UTF-8 in an id", strings.NewReader(good + "id: \xc3\ndata: y\n\n"), leat.CodeInvalidBody, 1, nil},
		{"a character over two lines", strings.NewReader("data: \xc3\ndata: \xa9\n\n"), leat.CodeInvalidBody, 0, nil},
		{"NUL in an id", strings.NewReader("id: 1\n\n" + good + "id: a\x00\ndata: y\n\n"), leat.CodeInvalidKey, 1, nil},
		{"too large", strings.NewReader(good + good + "data: 12345678901\n\n"), leat.CodeTooLarge, 2, map[string]any{"limit": 10}},
		{"half-way", broken(good+"data: y\n", io.ErrUnexpectedEOF), leat.CodeInvalidBody, 1, map[string]any{"received": int64(17)}},
		{"between", broken(good, io.ErrUnexpectedEOF), leat.CodeInvalidBody, 1, map[string]any{"received": int64(9)}},
		{"slow", broken(good, os.ErrDeadlineExceeded), leat.CodeBodyTimeout, 1, map[string]any{"received": int64(9)}},
	} {
		as, _, err := all(events(test.body, 10))
		e := wantCode(t, err, test.code)
		if len(as) != test.before || e.Fields["event"] != test.before+1 {
			t.Errorf("%s: %d events, then event %v is wrong", test.name, len(as), e.Fields["event"])
		}
		for name, want := range test.fields {
			if e.Fields[name] != want {
				t.Errorf("%s: %s is %v, want %v", test.name, name, e.Fields[name], want)
			}
		}
	}
	shared := leat.Errorf(leat.CodeConflict, "x")
	if e := leat.AsError(AtEvent(shared, 7)); e.Fields["event"] != 7 || shared.Fields != nil {
		t.Errorf("got %v, and the shared one has %v", e.Fields, shared.Fields)
	}
}

// A record at its limit can be sent, whatever its type and key.
func TestEventsLimit(t *testing.T) {
	word := strings.Repeat("é", journal.MaxType/2)
	for n, ok := range map[int]bool{1000: true, 1001: false} {
		text := "event: " + word + "\ndata: " + strings.Repeat("x", n) + "\nid: " + word + "\n\n"
		as, _, err := all(events(iotest.HalfReader(strings.NewReader(text)), 1000))
		if ok != (err == io.EOF && len(as) == 1) || !ok && leat.CodeOf(err) != leat.CodeTooLarge {
			t.Errorf("%d bytes: %d events, %v", n, len(as), err)
		}
	}
	// One that never ends is given up.
	for _, begin := range []string{"data: ", ":", "id: ", "x"} {
		in := &counted{r: io.MultiReader(strings.NewReader(begin), endless{})}
		_, err := events(in, 1000).Next()
		wantCode(t, err, leat.CodeTooLarge)
		if in.n > 1000+maxHead+maxBuffer {
			t.Errorf("%q: read %d bytes", begin, in.n)
		}
	}
	// A journal without a limit gives the largest int.
	if as, _, err := all(events(strings.NewReader("data: x\n\n"), int(^uint(0)>>1))); err != io.EOF || len(as) != 1 {
		t.Error(len(as), err)
	}
}

// An event is handed over as soon as its blank line has arrived, with those
// that have arrived with it and no other.
func TestEventsDoNotWait(t *testing.T) {
	in := &script{parts: []string{"data: 1\n\n", "data: 2\n", "\ndata: 3\r\rda", "ta: 4\r\n\r", "\n"}}
	e := events(in, 100)
	for _, test := range []struct {
		numbers []int
		left    int
	}{{[]int{1}, 4}, {[]int{2, 3}, 2}, {[]int{4}, 1}} {
		g, err := e.Next()
		if err != nil || !slices.Equal(g.Numbers, test.numbers) || len(in.parts) != test.left {
			t.Fatalf("got the events %v, %v, with %d parts left to read; want %v, %d", g.Numbers, err, len(in.parts), test.numbers, test.left)
		}
	}
	if _, err := e.Next(); err != io.EOF || e.Pending() {
		t.Error(err, e.Pending())
	}
}

// FuzzEvents: whatever the bytes and however they are cut, the events are
// those of the plainest reading of the format.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		"", "data: x\n\n", "event: a\nid: 1\ndata: a\r\ndata:b\r\n\r\nid: 1\n\ndata: b\r\r", "\uFEFFid:1\ndata\n\n", "id: \x00\ndata: x\n\n",
		"data: \xc3\n\ndata: y\n\n", ": \xff\n\ndata: é\n\n", "id: 1\nid\ndata: y\n\nretry: 7\ndata: z\n", "\xef\xbb\ndata: é\n\n",
	} {
		f.Add([]byte(seed), []byte{1, 3, 0}, false)
	}
	f.Fuzz(func(t *testing.T, text, cuts []byte, cut bool) {
		end := io.EOF
		if cut {
			end = io.ErrUnexpectedEOF
		}
		got, numbers, err := all(events(&pieces{text, cuts, end}, 1<<20))
		want, wantCode := modelEvents(text, end)
		if code := leat.CodeOf(err); err == io.EOF && wantCode != "" || err != io.EOF && code != wantCode {
			t.Fatalf("%q cut %v: got %v, want %q", text, cuts, err, wantCode)
		}
		if !slices.EqualFunc(got, want, same) || len(numbers) != len(got) {
			t.Fatalf("%q cut %v:\n got %+v\nwant %+v", text, cuts, got, want)
		}
		if e := (*leat.Error)(nil); errors.As(err, &e) && e.Fields["event"] != len(want)+1 {
			t.Fatalf("%q: %v at %v", text, err, e.Fields["event"])
		}

		// With a limit that is met, the cuts change nothing either.
		const limit = 3
		whole, _, wholeErr := all(events(bytes.NewReader(text), limit))
		parts, _, partsErr := all(events(&pieces{text, cuts, io.EOF}, limit))
		if !slices.EqualFunc(whole, parts, same) || fmt.Sprint(wholeErr) != fmt.Sprint(partsErr) {
			t.Fatalf("%q cut %v: %+v, %v became %+v, %v", text, cuts, whole, wholeErr, parts, partsErr)
		}
	})
}

// modelEvents is Events in the plainest way, without limits.
func modelEvents(text []byte, end error) (as []journal.Append, code leat.Code) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	lines := strings.SplitAfter(string(text), "\n")
	var block string
	for _, line := range lines[:len(lines)-1] { // the last has no end
		if block += line; line != "\n" {
			continue
		}
		a, ok, code := modelEvent(block)
		switch block = ""; {
		case code != "":
			return as, code
		case ok:
			as = append(as, a)
		}
	}
	if end != io.EOF {
		return as, leat.CodeInvalidBody
	}
	return as, ""
}

func modelEvent(block string) (a journal.Append, ok bool, code leat.Code) {
	a = eventOf("", "", "")
	var data []string
	for line := range strings.SplitSeq(block, "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data = append(data, value)
		case "event":
			a.Type = value
		case "id":
			if a.Key = value; strings.Contains(value, "\x00") {
				code = leat.CodeInvalidKey
			}
		}
	}
	if !utf8.ValidString(block) {
		code = leat.CodeInvalidBody
	}
	if data == nil {
		return a, false, ""
	}
	a.Data = []byte(strings.Join(data, "\n"))
	return a, true, code
}

func BenchmarkEvents(b *testing.B) {
	block := []byte("id: 0190b5c0-8d64-7c4e-9f00-3f1c2d4e5a6b\nevent: price\n" + `data: {"symbol":"LEAT","price":7.25,"size":100}` + "\n\n")
	text := bytes.Repeat(block, 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if as, _, err := all(events(bytes.NewReader(text), 1<<20)); err != io.EOF || len(as) != 1000 {
			b.Fatal(len(as), err)
		}
	}
}
