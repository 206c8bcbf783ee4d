package ingest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

func values(r io.Reader, limit int) *Lines {
	return NewValues(Body{Reader: r, ContentType: jsonType, MaxRecord: limit})
}

// Each line is one JSON text, byte for byte; blank lines are skipped but
// counted.
func TestValues(t *testing.T) {
	text := "1.50\n" +
		"\n \t\r\n" +
		` {"a" : 1,"a":2} ` + "\r\n" +
		"\"\u2028\"\n" +
		"[1,2]"
	want := []string{"1.50", `{"a" : 1,"a":2}`, "\"\u2028\"", "[1,2]"}
	for _, cut := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
		as, numbers, err := all(values(cut(strings.NewReader(text)), 100))
		if got := datas(t, as); err != io.EOF || !slices.Equal(got, want) || !slices.Equal(numbers, []int{1, 4, 5, 6}) {
			t.Errorf("got %q on the lines %v, %v", got, numbers, err)
		}
	}
}

func TestValuesErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		body   io.Reader
		code   leat.Code
		before int
		line   int
		fields map[string]any
	}{
		{"syntax", strings.NewReader("1\n\n[2,]\n3\n"), leat.CodeInvalidBody, 1, 3, map[string]any{"at": 4}},
		{"two texts", strings.NewReader("1 2\n"), leat.CodeInvalidBody, 0, 1, map[string]any{"at": 3}},
		{"cut short", strings.NewReader("1\n[2"), leat.CodeInvalidBody, 1, 2, map[string]any{"at": 2}},
		{"no UTF-8", strings.NewReader("1\n\"\xff\"\n"), leat.CodeInvalidBody, 1, 2, map[string]any{"at": 2}},
		{"too long", strings.NewReader("1\n2\n" + strings.Repeat("3", 11)), leat.CodeTooLarge, 2, 3, map[string]any{"limit": 10}},
		// 12 is a JSON text, but nothing says that this is all of it.
		{"half-way", broken("1\n12", io.ErrUnexpectedEOF), leat.CodeInvalidBody, 1, 2, map[string]any{"received": int64(4)}},
		{"slow", broken("1\n12", os.ErrDeadlineExceeded), leat.CodeBodyTimeout, 1, 2, map[string]any{"received": int64(4)}},
	} {
		as, _, err := all(values(test.body, 10))
		e := wantCode(t, err, test.code)
		if len(as) != test.before || e.Fields["line"] != test.line {
			t.Errorf("%s: %d lines, then line %v is wrong", test.name, len(as), e.Fields["line"])
		}
		for name, want := range test.fields {
			if e.Fields[name] != want {
				t.Errorf("%s: %s is %v, want %v", test.name, name, e.Fields[name], want)
			}
		}
	}
	// A journal without a limit gives the largest int.
	if as, _, err := all(values(strings.NewReader("1\n"), int(^uint(0)>>1))); err != io.EOF || len(as) != 1 {
		t.Error(len(as), err)
	}
}

// Line 1 is handed over before line 2 has arrived.
func TestValuesDoNotWait(t *testing.T) {
	in := &script{parts: []string{"1\n", "2", "2\n3\n4", "\n"}}
	l := values(in, 100)
	for _, want := range [][]int{{1}, {2, 3}, {4}} {
		g, err := l.Next()
		if err != nil || !slices.Equal(g.Numbers, want) {
			t.Fatalf("got the lines %v, %v, want %v", g.Numbers, err, want)
		}
		if rest := len(in.parts); rest != map[int]int{1: 3, 2: 1, 4: 0}[want[0]] {
			t.Errorf("after line %d there are %d parts left to read", want[0], rest)
		}
	}
	if _, err := l.Next(); err != io.EOF {
		t.Error(err)
	}
}

// script reads one part after the other.
type script struct{ parts []string }

func (s *script) Read(p []byte) (int, error) {
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; s.parts[0] == "" {
		s.parts = s.parts[1:]
	}
	return n, nil
}

// What was handed over is not touched again.
func TestValuesKeepTheirData(t *testing.T) {
	text := []byte(strings.Repeat("1111111\n", 2000) + strings.Repeat("2222222\n", 2000))
	as, _, err := all(values(&pieces{text, []byte{200, 7}, io.EOF}, 100))
	if err != io.EOF || len(as) != 4000 {
		t.Fatal(len(as), err)
	}
	for i, a := range as {
		if want := strings.Repeat(string('1'+rune(i/2000)), 7); string(a.Data) != want {
			t.Fatalf("line %d has become %q", i+1, a.Data)
		}
	}
}

// FuzzValues: whatever the bytes and however they are cut, the lines are those
// of a split at LF.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"", "\n", "1", "1\n\r\n{\"a\" : 2} \r\n[", "\"\xe2\x80\xa8\"\n", "\"\xff\"\n", "1 2\n"} {
		f.Add([]byte(seed), []byte{1, 3, 0}, false)
	}
	f.Fuzz(func(t *testing.T, text, cuts []byte, cut bool) {
		end := io.EOF
		if cut {
			end = io.ErrUnexpectedEOF
		}
		const limit = 100
		got, numbers, err := all(values(&pieces{text, cuts, end}, limit))
		want, wantNumbers, wantErr := model(text, end, limit, func(line []byte) (journal.Append, error) {
			as, err := Array(Body{Reader: bytes.NewReader(append([]byte("["), append(line, ']')...)), ContentType: jsonType, MaxRecord: 2 * limit})
			if err == nil && len(as) != 1 {
				err = leat.Errorf(leat.CodeInvalidBody, "")
			}
			if err != nil {
				return journal.Append{}, err
			}
			return as[0], nil
		})
		if leat.CodeOf(err) != leat.CodeOf(wantErr) || !slices.Equal(numbers, wantNumbers) || !slices.EqualFunc(got, want, same) {
			t.Fatalf("%q cut %v:\n got %v %v\nwant %v %v", text, cuts, numbers, err, wantNumbers, wantErr)
		}
		if e := (*leat.Error)(nil); cut && errors.Is(err, end) && errors.As(err, &e) && e.Fields["received"] != int64(len(text)) {
			t.Fatalf("received %v of %d bytes", e.Fields["received"], len(text))
		}
	})
}
