package ingest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

func wantCode(t *testing.T, err error, code leat.Code) *leat.Error {
	t.Helper()
	var e *leat.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got the error %v, want code %s", err, code)
	}
	if e.Advice == "" {
		t.Errorf("the error %q has no advice", e.Detail)
	}
	return e
}

// counted notes how much was read.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestRecordLimit(t *testing.T) {
	const limit = 5000
	for _, announced := range []bool{true, false} {
		for _, n := range []int{0, 1, 511, 512, 513, limit - 1, limit} {
			data := bytes.Repeat([]byte{'x'}, n)
			b := Body{Reader: iotest.HalfReader(bytes.NewReader(data)), MaxRecord: limit}
			if announced {
				b.Length = int64(n)
			}
			a, err := Record(b)
			if err != nil || !bytes.Equal(a.Data, data) {
				t.Fatalf("%d bytes: got %d, %v", n, len(a.Data), err)
			}
			if cap(a.Data) > n+n/4+16 {
				t.Errorf("%d bytes are kept in %d", n, cap(a.Data))
			}
		}
	}

	// One byte too many is refused, and not more than that byte is read.
	in := &counted{r: strings.NewReader(strings.Repeat("x", 3*limit))}
	_, err := Record(Body{Reader: in, MaxRecord: limit})
	if e := wantCode(t, err, leat.CodeTooLarge); !strings.Contains(e.Advice, "--max-record") {
		t.Errorf("the advice names no flag: %s", e.Advice)
	}
	if in.n != limit+1 {
		t.Errorf("read %d bytes, want %d", in.n, limit+1)
	}

	// What is announced as too long is not read at all.
	in = &counted{r: strings.NewReader("x")}
	_, err = Record(Body{Reader: in, MaxRecord: limit, Length: limit + 1})
	wantCode(t, err, leat.CodeTooLarge)
	if in.n != 0 {
		t.Errorf("read %d bytes of a body that was announced as too long", in.n)
	}
}

// A length that is announced reserves no more than a little memory.
func TestRecordAnnouncesTooMuch(t *testing.T) {
	const big = 1 << 30
	in := &largest{r: strings.NewReader("hello")}
	a, err := Record(Body{Reader: in, MaxRecord: big, Length: big})
	if err != nil || string(a.Data) != "hello" || in.n > 64<<10 {
		t.Fatalf("%q, %v; read into %d bytes", a.Data, err, in.n)
	}
}

// largest notes the largest space that it was given.
type largest struct {
	r io.Reader
	n int
}

func (l *largest) Read(p []byte) (int, error) {
	l.n = max(l.n, len(p))
	return l.r.Read(p)
}

func TestRecordContentType(t *testing.T) {
	for _, test := range []struct{ in, out string }{
		{"", ""},
		{"application/json", "application/json"},
		{"nonsense", "nonsense"}, // the journal says what is wrong with it
		{"application/x-www-form-urlencoded", "text/plain"},
		{"Application/X-WWW-Form-Urlencoded; charset=latin1", "text/plain; charset=latin1"},
	} {
		a, err := Record(Body{Reader: strings.NewReader("x"), ContentType: test.in, MaxRecord: 10})
		if err != nil || a.ContentType != test.out || a.Form != journal.FormBody {
			t.Errorf("%q: got %q, %v", test.in, a.ContentType, err)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	body := func(encoding string) Body {
		return Body{Reader: strings.NewReader("topic=a&data=b"), Encoding: encoding, MaxRecord: 10}
	}
	for _, encoding := range []string{"gzip", "zstd", "br, gzip"} {
		_, err := Record(body(encoding))
		wantCode(t, err, leat.CodeMediaType)
		_, err = Form(body(encoding))
		wantCode(t, err, leat.CodeMediaType)
		_, err = Envelope(body(encoding))
		wantCode(t, err, leat.CodeMediaType)
		_, err = Array(body(encoding))
		wantCode(t, err, leat.CodeMediaType)
		for _, l := range []interface{ Next() (Group, error) }{
			NewLines(body(encoding)), NewValues(body(encoding)), NewEvents(body(encoding)),
		} {
			_, err = l.Next()
			wantCode(t, err, leat.CodeMediaType)
		}
		c := NewChunks(body(encoding), nil)
		_, err = c.Next()
		wantCode(t, err, leat.CodeMediaType)
		c.Close()
	}
	if _, err := Form(body("Identity")); err != nil {
		t.Error(err)
	}
}

// broken yields a text and then an error.
func broken(text string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(text), iotest.ErrReader(err))
}

func TestReadErrors(t *testing.T) {
	refused := leat.Errorf(leat.CodeUnavailable, "stopping").Advise("later")
	for _, test := range []struct {
		err  error
		code leat.Code
	}{
		{io.ErrUnexpectedEOF, leat.CodeInvalidBody},
		{errors.New("connection reset"), leat.CodeInvalidBody},
		{context.Canceled, leat.CodeInvalidBody},
		{os.ErrDeadlineExceeded, leat.CodeBodyTimeout},
		{refused, leat.CodeUnavailable},
	} {
		_, err := Record(Body{Reader: broken("12345", test.err), MaxRecord: 100})
		e := wantCode(t, err, test.code)
		if !errors.Is(err, test.err) {
			t.Errorf("%v does not wrap %v", err, test.err)
		}
		if e != refused && e.Fields["received"] != int64(5) {
			t.Errorf("%v: received is %v, want 5", test.err, e.Fields["received"])
		}
	}

	_, err := Record(Body{Reader: idle{}, MaxRecord: 100})
	wantCode(t, err, leat.CodeInvalidBody)
	if !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

// idle reads nothing, for ever.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestShapeOf(t *testing.T) {
	for _, test := range []struct {
		contentType string
		shape       Shape
		code        leat.Code
	}{
		{"application/x-www-form-urlencoded", ShapeForm, ""},
		{"application/json", ShapeEnvelope, ""},
		{"Application/JSON; charset=UTF-8", ShapeEnvelope, ""},
		{"application/x-ndjson", ShapeLines, ""},
		{"application/ndjson; charset=us-ascii", ShapeLines, ""},
		{"application/jsonl", ShapeLines, ""},
		{"application/json; charset=utf-16", 0, leat.CodeMediaType},
		{"text/plain", 0, leat.CodeNoTopic},
		{"application/vnd.api+json", 0, leat.CodeNoTopic},
		{"multipart/form-data; boundary=x", 0, leat.CodeNoTopic},
		{"", 0, leat.CodeNoTopic},
		{";;", 0, leat.CodeMediaType},
	} {
		shape, err := ShapeOf(test.contentType)
		if leat.CodeOf(err) != test.code || shape != test.shape {
			t.Errorf("%q: got %v, %v", test.contentType, shape, err)
		}
	}
}
