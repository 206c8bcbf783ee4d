package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/leat-dev/leat/sse"
)

// Events of any size up to the limit, an error that says it above, and the same
// answer however the stream is cut.
func TestLimit(t *testing.T) {
	const limit = 100
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		name, in string
		ok       bool
	}{
		{"data", "data: " + x(100) + "\n\n", true},
		{"data over", "data: " + x(101) + "\n\n", false},
		{"data without space", "data:" + x(100) + "\n\n", true},
		{"data without space over", "data:" + x(101) + "\n\n", false},
		{"data in lines", "data: " + x(50) + "\ndata: " + x(49) + "\n\n", true},
		{"data in lines over, by the LF", "data: " + x(50) + "\ndata: " + x(50) + "\n\n", false},
		{"empty data lines", strings.Repeat("data\n", 101) + "\n", true},
		{"empty data lines over", strings.Repeat("data\n", 102) + "\n", false},
		{"type and data", "event: " + x(10) + "\ndata: " + x(90) + "\n\n", true},
		{"type and data over", "event: " + x(10) + "\ndata: " + x(91) + "\n\n", false},
		{"data and type over", "data: " + x(91) + "\nevent: " + x(10) + "\n\n", false},
		{"id", "id: " + x(100) + "\ndata\n\n", true},
		{"id over", "id: " + x(101) + "\ndata\n\n", false},
		{"comment", ":" + x(100) + "\n: " + x(100) + "\n", true},
		{"comment over", ": " + x(101) + "\n", false},
		{"retry", "retry: " + strings.Repeat("0", 100) + "\n", true},
		{"retry over", "retry: " + strings.Repeat("0", 101) + "\n", false},
		{"unknown field over", "unknown: " + x(120) + "\n", false},
		{"no field over", x(120) + "\n", false},
		{"unterminated over", "data: " + x(101), false},
		{"unterminated comment over", ": " + x(120), false},
		{"replaced bytes count as U+FFFD", "data: " + strings.Repeat("\xff", 33) + "x\n\n", true},
		{"replaced bytes count as U+FFFD, over", "data: " + strings.Repeat("\xff", 33) + "xx\n\n", false},
		{"many events, lines and comments", strings.Repeat(":"+x(90)+"\n:\nz: "+x(90)+"\ndata: "+x(90)+"\n\n", 4), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, o := []byte("id: 1\ndata: first\n\n"+test.in), sse.Options{MaxEventBytes: limit}
			whole := push(o, in)
			if want := "sse: event larger than the limit of 100 bytes"; (whole.err == "") != test.ok || !test.ok && whole.err != want {
				t.Errorf("error %q; want one: %v", whole.err, !test.ok)
			}
			for i := range in {
				push(o, in, i).compare(t, "cut in two", whole)
			}
			for _, size := range []int{1, 2, 3, 64} {
				push(o, in, every(size, len(in))...).compare(t, "small chunks", whole)
			}
			pull(o, bytes.NewReader(in)).compare(t, "Decoder", whole)
			if o.MaxEventBytes = -1; push(o, in).err != "" {
				t.Error("an error without a limit")
			}
		})
	}
}

// compare is diff without what is pending, which says nothing after an error.
func (tr trace) compare(t *testing.T, how string, want trace) {
	t.Helper()
	tr.pending, want.pending = false, false
	tr.diff(t, how, want)
}

// The error is typed, lasts until Reset, and leaves the id of the event before.
func TestTooLargeError(t *testing.T) {
	d := sse.NewDecoder(strings.NewReader("id: 1\ndata: x\n\nid: 2\ndata: 1234567\n\ndata: y\n\n"), &sse.Options{MaxEventBytes: 6})
	if ev, err := d.Next(); err != nil || data(ev) != "x" {
		t.Fatal(ev, err)
	}
	for range 2 {
		_, err := d.Next()
		var large *sse.TooLargeError
		if !errors.As(err, &large) || large.Limit != 6 {
			t.Errorf("error %v, want a *TooLargeError of 6 bytes", err)
		}
	}
	if d.LastEventID() != "1" {
		t.Errorf("last id %q, want that of the event before", d.LastEventID())
	}
	d.Reset(strings.NewReader("data: 123456\n\n"))
	if ev, err := d.Next(); err != nil || data(ev) != "123456" || ev.ID != "1" {
		t.Errorf("after Reset: %q, %v", ev, err)
	}
}

// The contract tests send events of 6.7 and 13.3 MiB; the default takes 16 MiB
// and no more, and stops reading there.
func TestDefaultLimit(t *testing.T) {
	for _, n := range []int{14 << 20, sse.DefaultMaxEventBytes, sse.DefaultMaxEventBytes + 1} {
		r := io.MultiReader(strings.NewReader("data: "), io.LimitReader(endless('x'), int64(n)), strings.NewReader("\n\n"))
		ev, err := sse.NewDecoder(r, nil).Next()
		if n <= sse.DefaultMaxEventBytes {
			if err != nil || len(ev.Data) != n {
				t.Errorf("%d bytes of %d, %v", len(ev.Data), n, err)
			}
		} else if err == nil || err.Error() != "sse: event larger than the limit of 16777216 bytes" {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
	for _, start := range []string{"data: ", ": ", "id: ", "event: ", "retry: ", "other: ", ""} {
		c := &countingBytes{r: io.MultiReader(strings.NewReader(start), endless('7'))}
		_, err := sse.NewDecoder(c, nil).Next()
		if large := (*sse.TooLargeError)(nil); !errors.As(err, &large) || c.n > sse.DefaultMaxEventBytes+1<<17 {
			t.Errorf("%q without end: %v after %d bytes", start, err, c.n)
		}
	}
}

type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

type countingBytes struct {
	r io.Reader
	n int
}

func (c *countingBytes) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}
