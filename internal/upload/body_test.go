package upload

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// A recorder notes the read deadlines that are set.
type recorder struct {
	*httptest.ResponseRecorder
	deadline time.Time
	set      int
}

func (r *recorder) SetReadDeadline(t time.Time) error {
	r.deadline = t
	r.set++
	return nil
}

func body(from io.Reader, length int64, p Pace) (*Body, *recorder) {
	w := &recorder{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Body, r.ContentLength = io.NopCloser(from), length
	b := NewBody(w, r, time.Minute)
	b.SetPace(p)
	return b, w
}

// arrived is a body that has come whole.
type arrived struct{ io.ReadCloser }

func (arrived) Arrived() {}

// No time is set for a body that has arrived, not even when it is left.
func TestArrived(t *testing.T) {
	for _, read := range []bool{false, true} {
		w, r := &recorder{ResponseRecorder: httptest.NewRecorder()}, httptest.NewRequest(http.MethodPost, "/", nil)
		r.Body, r.ContentLength = arrived{io.NopCloser(strings.NewReader("some text"))}, 9
		b := NewBody(w, r, time.Minute)
		if read {
			if got, err := io.ReadAll(b); string(got) != "some text" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		}
		b.Leave()
		if w.set != 0 || b.Broken() {
			t.Errorf("read %v: %d deadlines were set, broken %v", read, w.set, b.Broken())
		}
	}
}

// Whether a body is empty is asked before it is read, and changes nothing of what is
// read then.
func TestEmpty(t *testing.T) {
	broken := errors.New("the network is gone")
	for _, test := range []struct {
		text   string
		length int64
		err    error
		empty  bool
	}{
		{"", 0, nil, true},
		{"", -1, nil, true},
		{"x", -1, nil, false},
		{"some text", -1, nil, false},
		{"some text", 9, nil, false},
		{"", -1, broken, false},
		{"some", -1, broken, false},
	} {
		for what, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with the end": iotest.DataErrReader} {
			var from io.Reader = strings.NewReader(test.text)
			if test.err != nil {
				from = io.MultiReader(from, iotest.ErrReader(test.err))
			}
			b, _ := body(wrap(from), test.length, Whole)
			for range 2 {
				if got := b.Empty(); got != test.empty {
					t.Errorf("%q, %v, %s: Empty is %v", test.text, test.err, what, got)
				}
			}
			got, err := io.ReadAll(b)
			if string(got) != test.text || !errors.Is(err, test.err) || b.Broken() != (test.err != nil) {
				t.Errorf("%q, %v, %s: read %q, %v, broken %v", test.text, test.err, what, got, err, b.Broken())
			}
		}
	}
}

// "Leave": a body that has ended, or is on its way, is left alone; of any other the
// rest is not waited for.
func TestLeave(t *testing.T) {
	for _, test := range []struct {
		what   string
		length int64
		read   bool // to its end
		err    error
		stops  bool
	}{
		{"none", 0, false, nil, false},
		{"announced and not read", 4, false, nil, false},
		{"announced and read", 4, true, nil, false},
		{"announced and broken", 4, true, io.ErrUnexpectedEOF, true},
		{"of unknown length and not read", -1, false, nil, true},
		{"of unknown length and read", -1, true, nil, false},
		{"of unknown length and broken", -1, true, io.ErrUnexpectedEOF, true},
	} {
		var from io.Reader = strings.NewReader("text")
		if test.err != nil {
			from = io.MultiReader(from, iotest.ErrReader(test.err))
		}
		b, w := body(from, test.length, Byte)
		if test.read {
			io.ReadAll(b)
		}
		b.Leave()
		if stops := w.deadline.Equal(time.Unix(1, 0)); stops != test.stops {
			t.Errorf("%s: the deadline is %v", test.what, w.deadline)
		}
		if !test.read && test.length > 0 && time.Until(w.deadline) < 50*time.Second {
			t.Errorf("%s: the rest has no time: %v", test.what, w.deadline)
		}
	}
}

// After Interrupt there is no other deadline, and what stopped then is not broken.
func TestInterrupt(t *testing.T) {
	b, w := body(iotest.ErrReader(io.ErrClosedPipe), -1, Line)
	b.Interrupt()
	set := w.set
	if _, err := b.Read(make([]byte, 1)); err == nil || b.Broken() {
		t.Errorf("%v, broken %v", err, b.Broken())
	}
	b.arm()
	if w.set != set {
		t.Error("a deadline was set after that")
	}
}

// "net/http does not look for it": it is told through what wraps its writer, also where
// that has nothing below it.
func TestInnermost(t *testing.T) {
	own := httptest.NewRecorder()
	if got := innermost(wrapped{wrapped{own}}); got != own {
		t.Errorf("%T", got)
	}
	if got, ok := innermost(wrapped{wrapped{nil}}).(wrapped); !ok || got.ResponseWriter != nil {
		t.Errorf("%T", got)
	}
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
