package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/leat-dev/leat"
)

// pieces returns a reader that brings text in pieces of size bytes, and the
// first of them of first bytes.
func pieces(text string, first, size int) io.Reader {
	return &piecesReader{text, min(first, len(text)), size}
}

type piecesReader struct {
	text        string
	first, size int
}

func (p *piecesReader) Read(b []byte) (int, error) {
	n := p.size
	if p.first > 0 {
		n, p.first = p.first, 0
	}
	if p.text == "" {
		return 0, io.EOF
	}
	n = copy(b, p.text[:min(n, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

// all returns what next returns until it fails, and why it did.
func all(next func() ([]byte, error)) (texts []string, err error) {
	for {
		text, err := next()
		if err == nil || err == io.EOF && len(text) > 0 {
			texts = append(texts, string(text))
		}
		if err != nil {
			return texts, err
		}
	}
}

// Texts are the same however the body is cut.
func TestTextsAtEveryCut(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		next       func(*texts) ([]byte, error)
	}{
		{"lines", "\uFEFF{\"a\":\"€\"}\r\n\n[1]\n\r\n2\r\n\"x\"", (*texts).line},
		{"sequence", "\x1e{\"a\":\n\"€\"}\n\x1e\x1e1\n\x1e\"x\"\n", (*texts).sequenceText},
		{"array", "\uFEFF [ {\"a\":\"]\\\\\\\"[€\"} , [[],{}] ,-1.5e3,true, \"\" ]\r\n", (*texts).element},
		{"cut array", "[1,{\"a\"", (*texts).element},
		{"array of none", "[]", (*texts).element},
	} {
		want, wantErr := all(func() ([]byte, error) { return nil, io.EOF })
		for first := 0; first <= len(tc.body); first++ {
			for _, size := range []int{1, 2, len(tc.body)} {
				r := newTexts(pieces(tc.body, first, size), -1)
				got, err := all(func() ([]byte, error) { return tc.next(r) })
				if first == 0 && size == 1 {
					want, wantErr = got, err
				}
				if !reflect.DeepEqual(got, want) || err != wantErr {
					t.Fatalf("%s, cut at %d and each %d: got %q, %v, want %q, %v", tc.name, first, size, got, err, want, wantErr)
				}
			}
		}
		t.Logf("%s: %q, %v", tc.name, want, wantErr)
	}
}

// However long a text is and in whatever pieces it comes, each byte is looked at
// about once; and one long text does not cost memory for ever.
func TestTextsAreLinear(t *testing.T) {
	const n = 1 << 20
	long := `"` + strings.Repeat("x", n) + `"`
	for name, tc := range map[string]struct {
		body string
		next func(*texts) ([]byte, error)
	}{
		"one line":         {long + "\n1\n", (*texts).line},
		"many lines":       {strings.Repeat(strings.Repeat("1", 2999)+"\n", n/3000), (*texts).line},
		"one element":      {"[" + long + ",1]", (*texts).element},
		"many elements":    {"[" + strings.Repeat("123, ", n/5) + "1]", (*texts).element},
		"one of sequence":  {"\x1e" + long + "\n\x1e1\n", (*texts).sequenceText},
		"many of sequence": {strings.Repeat("\x1e123\n", n/5), (*texts).sequenceText},
	} {
		r := newTexts(pieces(tc.body, 0, 1000), -1)
		if _, err := all(func() ([]byte, error) { return tc.next(r) }); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if r.looked > 4*len(tc.body) {
			t.Errorf("%s: looked at %d bytes of %d", name, r.looked, len(tc.body))
		}
		if !strings.HasPrefix(name, "one") && cap(r.buf) > keepTexts {
			t.Errorf("%s: holds %d bytes", name, cap(r.buf))
		}
	}
}

// Errors of the reader come after what arrived before them.
func TestTextsReaderFails(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		next func(*texts) ([]byte, error)
	}{
		"lines":    {"1\n2\n3", (*texts).line},
		"sequence": {"\x1e1\x1e2\x1e3", (*texts).sequenceText},
		"array":    {"[1,2,3", (*texts).element},
	} {
		r := newTexts(io.MultiReader(strings.NewReader(tc.body), iotest.ErrReader(errBroken)), -1)
		got, err := all(func() ([]byte, error) { return tc.next(r) })
		if fmt.Sprint(got) != "[1 2]" || err != errBroken {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		stuck := newTexts(stuckReader{}, -1)
		if _, err := tc.next(stuck); err != io.ErrNoProgress {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// What is accepted as an array is exactly what encoding/json accepts as one, and
// its elements are the same.
func FuzzArray(f *testing.F) {
	for _, body := range []string{
		"[]", " [ 1 , \"]\" ] ", `[{"a":[1,{"b":"\\\""}]},null,-1e5]`, "[1", "[1,]", "[1 2]", "[,]", "[]]", "{}", "[}", `["a"b]`, "[1]x",
		"[\"\x00\"]", `["\u00zz"]`, "[01]", "[nul]", "[true false]", `[{"a"}]`, "[[[", "",
	} {
		f.Add([]byte(body), 1)
	}
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		r := newTexts(pieces(string(body), 0, max(size%64, 1)), -1)
		got, err := all(r.element)
		var want []json.RawMessage
		isArray := json.Unmarshal(body, &want) == nil && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("["))
		if isArray != (err == io.EOF) && !bytes.HasPrefix(body, []byte(bom)) {
			t.Fatalf("%q: %v, and encoding/json says %v", body, err, isArray)
		}
		if !isArray {
			if err != errNoEnd && leat.CodeOf(err) != CodeLine && err != io.EOF {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: got %q, want %q", body, got, want)
		}
		for i := range want {
			if got[i] != string(want[i]) {
				t.Fatalf("%q: element %d is %q, want %q", body, i, got[i], want[i])
			}
		}
	})
}
