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

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// all reads lines or events to the end.
func all(l interface{ Next() (Group, error) }) (as []journal.Append, numbers []int, err error) {
	for {
		g, err := l.Next()
		as = append(as, g.Appends...)
		numbers = append(numbers, g.Numbers...)
		if err != nil {
			if _, again := l.Next(); again != err {
				return nil, nil, fmt.Errorf("the error %v became %v", err, again)
			}
			return as, numbers, err
		}
		if len(g.Appends) == 0 {
			return nil, nil, errors.New("a group without lines or error")
		}
	}
}

func TestLines(t *testing.T) {
	text := `{"topic":"a","data":1}` + "\n" +
		"\n  \t\r\n" +
		`{"topic":"b","data":2}` + "\r\n" +
		"{\"topic\":\"c\",\"data\":\"\u2028\u2029\u0085\"}\n" + // no line ends here but at LF
		` {"topic":"d","data":"\n"} `
	cuts := map[string]func(io.Reader) io.Reader{
		"whole":          func(r io.Reader) io.Reader { return r },
		"bytes":          iotest.OneByteReader,
		"halves":         iotest.HalfReader,
		"with the error": iotest.DataErrReader,
	}
	for name, cut := range cuts {
		as, numbers, err := all(NewLines(Body{Reader: cut(strings.NewReader(text)), MaxRecord: 100}))
		if err != io.EOF {
			t.Fatalf("%s: %v", name, err)
		}
		if want := []int{1, 4, 5, 6}; !slices.Equal(numbers, want) {
			t.Errorf("%s: got the lines %v, want %v", name, numbers, want)
		}
		var topics string
		for _, a := range as {
			topics += a.Stream
		}
		if topics != "abcd" {
			t.Errorf("%s: got the topics %s", name, topics)
		}
	}
}

// A line is there as soon as its LF has arrived, with those that have arrived
// with it and no other.
func TestLinesDoNotWait(t *testing.T) {
	r, w := io.Pipe()
	l := NewLines(Body{Reader: r, MaxRecord: 100})
	groups := make(chan []int)
	asked := make(chan bool)
	go func() { // ends with the pipe
		for range asked {
			g, _ := l.Next()
			groups <- g.Numbers
		}
	}()
	write := func(s string) {
		if _, err := io.WriteString(w, s); err != nil {
			t.Error(err)
		}
	}
	line := `{"topic":"a","data":1}` + "\n"
	for _, test := range []struct {
		parts []string
		want  []int
	}{
		{[]string{line}, []int{1}},
		{[]string{line[:5], line[5:]}, []int{2}},
		{[]string{line[:5], line[5:] + line + line[:7]}, []int{3, 4}},
		{[]string{line[7:]}, []int{5}},
	} {
		asked <- true
		for _, part := range test.parts {
			write(part)
		}
		if got := <-groups; !slices.Equal(got, test.want) {
			t.Fatalf("after %q: got lines %v, want %v", test.parts, got, test.want)
		}
	}
	close(asked)
}

func TestLinesErrors(t *testing.T) {
	good := `{"topic":"a","data":1}` + "\n"
	for _, test := range []struct {
		name   string
		body   io.Reader
		code   leat.Code
		before int
		line   int
	}{
		{"syntax", strings.NewReader(good + good + "{x}\n" + good), leat.CodeInvalidBody, 2, 3},
		{"no topic", strings.NewReader("\n" + `{"data":1}` + "\n" + good), leat.CodeNoTopic, 0, 2},
		{"last line", strings.NewReader(good + `{"topic":"a"`), leat.CodeInvalidBody, 1, 2},
		// The third line could be complete, but nothing says so.
		{"half-way", broken(good+good+strings.TrimSpace(good), io.ErrUnexpectedEOF), leat.CodeInvalidBody, 2, 3},
		{"between", broken(good, io.ErrUnexpectedEOF), leat.CodeInvalidBody, 1, 2},
		{"slow", broken(good+"{", os.ErrDeadlineExceeded), leat.CodeBodyTimeout, 1, 2},
	} {
		for _, cut := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
			as, _, err := all(NewLines(Body{Reader: cut(test.body), MaxRecord: 100}))
			if seek, ok := test.body.(io.Seeker); ok {
				seek.Seek(0, io.SeekStart)
			}
			e := wantCode(t, err, test.code)
			if len(as) != test.before || e.Fields["line"] != test.line {
				t.Errorf("%s: got %d lines before %v, want %d before %d", test.name, len(as), e.Fields["line"], test.before, test.line)
			}
			if _, ok := test.body.(io.Seeker); !ok {
				break // it can be read once
			}
		}
	}
}

func TestLinesLimit(t *testing.T) {
	const limit = 10
	most := envelopeLimit(limit)
	line := func(n int) string {
		s := `{"topic":"a","data":1}`
		return s + strings.Repeat(" ", n-len(s))
	}
	for _, end := range []string{"\n", "\r\n", ""} {
		body := func(s string) Body {
			return Body{Reader: iotest.HalfReader(strings.NewReader(s)), MaxRecord: limit}
		}
		if as, _, err := all(NewLines(body(line(30) + "\n" + line(most) + end))); err != io.EOF || len(as) != 2 {
			t.Errorf("a line at the limit with end %q: %d lines, %v", end, len(as), err)
		}
		as, _, err := all(NewLines(body(line(30) + "\n" + line(most+1) + end)))
		e := wantCode(t, err, leat.CodeTooLarge)
		if len(as) != 1 || e.Fields["line"] != 2 {
			t.Errorf("end %q: %d lines, then line %v is too long", end, len(as), e.Fields["line"])
		}
	}

	// A line that never ends is given up as soon as it is too long.
	in := &counted{r: endless{}}
	_, err := NewLines(Body{Reader: in, MaxRecord: limit}).Next()
	wantCode(t, err, leat.CodeTooLarge)
	if in.n > 2*most {
		t.Errorf("read %d bytes of a line with a limit of %d", in.n, most)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// The work is linear: a long line that comes in small pieces is moved a few
// times in all, not once for each piece, and looked through once.
func TestLinesLinear(t *testing.T) {
	const limit = 1 << 20
	l := NewLines(Body{Reader: &pieces{bytes.Repeat([]byte("x"), limit), []byte{255}, io.ErrUnexpectedEOF}, MaxRecord: limit})
	moves, before := 0, cap(l.buf)
	for l.stop == nil {
		if _, ok := l.line(); ok {
			t.Fatal("a line without LF")
		}
		if l.looked != len(l.buf) {
			t.Fatalf("looked at %d of %d bytes", l.looked, len(l.buf))
		}
		l.read()
		if cap(l.buf) != before {
			moves, before = moves+1, cap(l.buf)
		}
	}
	if moves > 12 {
		t.Errorf("the line was moved %d times", moves)
	}
}

func TestAtLine(t *testing.T) {
	shared := leat.Errorf(leat.CodeConflict, "x").With("a", 1)
	err := AtLine(shared, 7)
	e := leat.AsError(err)
	if e.Fields["line"] != 7 || e.Fields["a"] != 1 || len(shared.Fields) != 1 {
		t.Errorf("got %v, and the shared one has %v", e.Fields, shared.Fields)
	}
}

// FuzzLines: whatever the bytes and however they are cut, the lines are those
// of a split at LF.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{
		"", "\n", `{"topic":"a","data":1}`, `{"topic":"a","data":1}` + "\n\r\n" + `{"topic":"b","data":"x"}` + "\r\n{",
		"{\"topic\":\"a\",\"data\":\"\xe2\x80\xa8\"}\n",
	} {
		f.Add([]byte(seed), []byte{1, 3, 0}, false)
	}
	f.Fuzz(func(t *testing.T, text, cuts []byte, cut bool) {
		end := io.EOF
		if cut {
			end = io.ErrUnexpectedEOF
		}
		got, numbers, err := all(NewLines(Body{Reader: &pieces{text, cuts, end}, MaxRecord: 1000}))
		want, wantNumbers, wantErr := model(text, end, envelopeLimit(1000), decode)
		if leat.CodeOf(err) != leat.CodeOf(wantErr) || !slices.Equal(numbers, wantNumbers) || !slices.EqualFunc(got, want, same) {
			t.Fatalf("%q cut %v:\n got %v %v\nwant %v %v", text, cuts, numbers, err, wantNumbers, wantErr)
		}
	})
}

// model is Lines in the plainest way.
func model(text []byte, end error, limit int, decode func([]byte) (journal.Append, error)) (as []journal.Append, numbers []int, err error) {
	lines := bytes.Split(text, []byte("\n"))
	last := len(lines) - 1
	if len(lines[last]) == 0 || end != io.EOF {
		if end != io.EOF && len(lines[last]) > limit+1 {
			end = tooLarge("", 0)
		}
		lines = lines[:last]
	}
	for i, line := range lines {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) > limit {
			return as, numbers, tooLarge("", 0)
		}
		if len(bytes.Trim(line, " \t\r")) == 0 {
			continue
		}
		a, err := decode(line)
		if err != nil {
			return as, numbers, err
		}
		as, numbers = append(as, a), append(numbers, i+1)
	}
	if end == io.ErrUnexpectedEOF {
		end = leat.Errorf(leat.CodeInvalidBody, "")
	}
	return as, numbers, end
}

// pieces reads text in pieces of the sizes given, over and over.
type pieces struct {
	text []byte
	cuts []byte
	end  error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, p.end
	}
	n := 1
	if len(p.cuts) > 0 {
		n = max(1, int(p.cuts[0]))
		p.cuts = append(p.cuts[1:len(p.cuts):len(p.cuts)], p.cuts[0])
	}
	n = copy(b, p.text[:min(n, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

func BenchmarkLines(b *testing.B) {
	line := []byte(`{"topic":"prices/LEAT","type":"price","key":"0190b5c0-8d64-7c4e-9f00-3f1c2d4e5a6b","data":{"symbol":"LEAT","price":7.25,"size":100}}` + "\n")
	text := bytes.Repeat(line, 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		l := NewLines(Body{Reader: bytes.NewReader(text), MaxRecord: 1 << 20})
		for {
			if _, err := l.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
