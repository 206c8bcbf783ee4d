package sse_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leat-dev/leat/sse"
)

// FuzzRoundTrip: what has been encoded is decoded as it was. Two events, so that
// what the first leaves behind would be seen in the second; the second has the
// id of the first, or its own.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range vectors() {
		if len(v.in) < 10_000 {
			f.Add("1", "type", []byte(v.in), "", "", []byte("second"), v.name)
			f.Add(v.name, v.seed, []byte(v.lastID), "2", "x", []byte(v.in), "")
		}
	}
	for _, s := range []string{"", " ", "\n", "\r", "\r\n", "a\n", "\na", "a\r\rb", ":", "\uFEFF", "\x00", "é€😀", "data: x\n\n"} {
		f.Add(s, s, []byte(s), "2", s, []byte(s+s), s)
	}
	f.Fuzz(func(t *testing.T, id1, type1 string, data1 []byte, id2, type2 string, data2 []byte, text string) {
		var want trace
		var b []byte
		for _, x := range []struct {
			id, typ string
			data    []byte
		}{{id1, type1, data1}, {id2, type2, data2}} {
			next, err := sse.AppendEvent(b, x.id, x.typ, x.data)
			if bad := strings.ContainsAny(x.id+x.typ, "\r\n\x00"); bad != (err != nil) {
				t.Fatalf("id %q, type %q: error %v", x.id, x.typ, err)
			}
			if !bytes.Equal(next[:len(b)], b) || err != nil && len(next) > len(b) {
				t.Fatalf("%q has become %q, %v", b, next, err)
			}
			if err != nil {
				return
			}
			b = sse.AppendComment(next, text)
			if x.id != "" {
				want.lastID = asDecoded(x.id)
			}
			want.addEvent(want.lastID, asDecoded(x.typ), asDecoded(string(x.data)))
			for line := range strings.SplitSeq(asDecoded(text), "\n") {
				want.addComment(line)
			}
		}
		push(sse.Options{}, b).diff(t, "decoded", want)
		pull(sse.Options{}, bytes.NewReader(b)).diff(t, "read", want)
	})
}

// asDecoded is what the format makes of a value that is valid otherwise: this,
// and nothing else, is what it cannot carry.
func asDecoded(s string) string {
	if !utf8.ValidString(s) {
		s = decodeUTF8(s)
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

// FuzzChunking: any stream, cut anywhere, gives what the reference makes of it;
// and with a limit, whatever it gives does not depend on the cuts.
func FuzzChunking(f *testing.F) {
	for _, v := range vectors() {
		if len(v.in) < 10_000 {
			f.Add([]byte(v.in), []byte{1}, v.seed, uint8(0))
			f.Add([]byte(v.in), []byte{7, 1, 0, 30}, v.seed, uint8(8))
		}
	}
	f.Fuzz(func(t *testing.T, in, sizes []byte, seed string, limit uint8) {
		// The chunks have these sizes over and over; the rest comes in one.
		var cuts []int
		for i := 0; len(sizes) > 0 && len(cuts) < 10_000; {
			i += int(sizes[len(cuts)%len(sizes)])
			if i > len(in) {
				break
			}
			cuts = append(cuts, i)
		}
		o := sse.Options{LastEventID: seed}
		want := reference(in, seed)
		push(o, in).diff(t, "whole", want)
		push(o, in, cuts...).diff(t, "cut", want)
		push(o, in, every(1, len(in))...).diff(t, "bytes", want)
		pull(o, &cutReader{in: in, cuts: cuts}).diff(t, "read", want)

		o.MaxEventBytes = int(limit) + 1
		limited := push(o, in)
		if limited.err == "" {
			limited.diff(t, "within the limit", want)
		}
		push(o, in, cuts...).compare(t, "cut, with a limit", limited)
		push(o, in, every(1, len(in))...).compare(t, "bytes, with a limit", limited)
		pull(o, &cutReader{in: in, cuts: cuts}).compare(t, "read, with a limit", limited)
	})
}

// cutReader ends its reads at the cuts.
type cutReader struct {
	in   []byte
	cuts []int
	at   int
}

func (c *cutReader) Read(b []byte) (int, error) {
	for len(c.cuts) > 0 && c.cuts[0] <= c.at {
		c.cuts = c.cuts[1:]
	}
	to := len(c.in)
	if len(c.cuts) > 0 {
		to = c.cuts[0]
	}
	n := copy(b, c.in[c.at:to])
	if c.at += n; n == 0 {
		return strings.NewReader("").Read(b) // io.EOF
	}
	return n, nil
}
