package client

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/leat-dev/leat"
)

const (
	minTexts = 4 << 10 // the first buffer: enough for a quiet stream

	// keepTexts is the largest buffer that is kept when it is empty, so that one
	// large text does not cost memory for the rest of the stream.
	keepTexts = 64 << 10

	// maxEmptyReads is how many reads in a row may bring neither bytes nor an
	// error.
	maxEmptyReads = 100

	rs = 0x1E // begins a text of a JSON text sequence
)

// texts finds JSON texts in a body that arrives in pieces. No byte is looked at
// twice, however the body is cut and however long a text is: at says how far the
// search has come.
//
// What its methods return is valid until the next call.
type texts struct {
	r     io.Reader
	limit int // bytes of one text; less than 0 is none

	buf   []byte // buf[start:] has been read and not been returned
	start int
	at    int   // all before has been searched
	err   error // of r, due when the search has come to the end of buf

	n     int // texts, or lines, returned
	array arrayState

	// looked counts the bytes that were searched or moved, so that a test can
	// tell linear from quadratic.
	looked int
}

func newTexts(r io.Reader, limit int) *texts {
	return &texts{r: r, limit: limit, buf: make([]byte, 0, minTexts)}
}

// fill makes one read that brings bytes, or returns why there are none. What is
// held when it fails is left for the caller to judge.
func (t *texts) fill() error {
	if t.err != nil {
		return t.err
	}
	if t.limit >= 0 && len(t.buf)-t.start > t.limit {
		return errTextTooLarge
	}
	rest := t.buf[t.start:]
	if t.start > 0 && t.start >= len(rest) {
		// No more is moved than was used up before it.
		if len(rest) == 0 && cap(t.buf) > keepTexts {
			t.buf = make([]byte, 0, minTexts)
		}
		t.buf = append(t.buf[:0], rest...)
		t.at -= t.start
		t.start = 0
		t.looked += len(rest)
	}
	if len(t.buf) > cap(t.buf)/2 {
		grown := make([]byte, len(t.buf), 2*cap(t.buf))
		copy(grown, t.buf)
		t.buf = grown
		t.looked += len(t.buf)
	}
	for range maxEmptyReads {
		n, err := t.r.Read(t.buf[len(t.buf):cap(t.buf)])
		t.buf = t.buf[:len(t.buf)+n]
		t.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	t.err = io.ErrNoProgress
	return t.err
}

// take returns what was searched, without its last byte, and begins anew behind
// it.
func (t *texts) take() []byte {
	text := t.buf[t.start : t.at-1]
	t.start = t.at
	return text
}

// until returns what stands before the next byte c. At the end it returns what
// is left, with the error.
func (t *texts) until(c byte) ([]byte, error) {
	for {
		t.looked += len(t.buf) - t.at
		if i := bytes.IndexByte(t.buf[t.at:], c); i >= 0 {
			t.looked -= len(t.buf) - t.at - i
			t.at += i + 1
			text := t.take()
			if t.limit >= 0 && len(text) > t.limit {
				return nil, errTextTooLarge
			}
			return text, nil
		}
		t.at = len(t.buf)
		if err := t.fill(); err != nil {
			text := t.buf[t.start:]
			t.start = len(t.buf)
			return text, err
		}
	}
}

// all returns what there is up to the end.
func (t *texts) all() ([]byte, error) {
	for {
		t.at = len(t.buf)
		if err := t.fill(); err == io.EOF {
			return t.buf[t.start:], nil
		} else if err != nil {
			return nil, err
		}
	}
}

// line returns the next line, without its end (LF or CRLF). A last line without
// an end comes with io.EOF.
func (t *texts) line() ([]byte, error) {
	text, err := t.until('\n')
	if t.n == 0 {
		text = bytes.TrimPrefix(text, []byte(bom))
	}
	t.n++
	if err == nil {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return text, err
}

// sequenceText returns the next text of a JSON text sequence, without what
// surrounds it. The last comes with io.EOF, as nothing else says that it is
// the last. A text that is cut is returned as it is.
func (t *texts) sequenceText() ([]byte, error) {
	for {
		text, err := t.until(rs)
		if len(text) == 0 && err == nil {
			continue // before the first, or RS RS, which is none
		}
		t.n++
		return text, err
	}
}

// guess looks at the first byte that is not white space, to find the form of
// what a server calls JSON.
func (t *texts) guess() (Form, error) {
	for i := 0; ; {
		for ; i < len(t.buf); i++ {
			switch c := t.buf[i]; {
			case c == '[':
				return FormArray, nil
			case i < len(bom) && c == bom[i], c == ' ', c == '\t', c == '\r', c == '\n':
			default:
				return FormAny, nil
			}
		}
		switch err := t.fill(); {
		case err == io.EOF:
			return FormLines, nil // it is empty
		case err != nil:
			return "", err
		}
	}
}

// whole reports whether text, which is valid JSON and behind which nothing
// came, is all of it: 12 may have been 123.
func whole(text []byte) bool {
	return len(text) > 0 && (text[len(text)-1] < '0' || text[len(text)-1] > '9')
}

// errTextTooLarge says that a text is larger than texts.limit.
var errTextTooLarge = leat.Errorf(leat.CodeTooLarge, "too large")

// wrongText is the error about a text that is no JSON, after which the next is
// read. It shows what the text begins with.
func wrongText(what string, n int, text []byte) *leat.Error {
	const most = 80
	shown := text
	if len(shown) > most {
		shown = shown[:most]
	}
	var nothing json.RawMessage
	reason := json.Unmarshal(text, &nothing)
	return leat.Errorf(CodeLine, "%s %d is no JSON text: %w, in %q", what, n, reason, shown).With("line", n)
}
