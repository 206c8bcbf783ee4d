package streams

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// Encode, then decode, is identity, and nothing else decodes.
func FuzzTag(f *testing.F) {
	f.Add(uint64(1763711400123), uint64(42), int64(0), int64(10), true, `"1_2:0:1"`)
	f.Add(uint64(0), uint64(0), int64(5), int64(5), false, `"0000000000000001_0000000000000002:0:1:c:c"`)
	f.Add(uint64(1), uint64(1), int64(math.MaxInt64), int64(math.MaxInt64), false, `W/"0000000000000001_0000000000000002:0:1"`)
	f.Fuzz(func(t *testing.T, epoch, seq uint64, start, end int64, over bool, text string) {
		const most = 9_999_999_999_999_999
		in := tag{mark: leat.Offset{Epoch: epoch % most, Seq: seq % most}, start: start, end: end, over: over}
		if !over {
			in.epoch = seq
		}
		if out, ok := parseTag(in.String()); !ok || out != in {
			t.Errorf("%s became %+v, %v", in, out, ok)
		}
		if out, ok := parseTag(text); ok && out.String() != text {
			t.Errorf("%q became %s", text, out)
		}
		if !in.matches([]string{`"x", W/` + in.String()}) || in.matches([]string{in.String() + "x"}) {
			t.Errorf("%s does not match itself, or matches another", in)
		}
	})
}

// What is answered lies within the stream and within what was asked for, the field
// Content-Range says exactly that, and no position overflows.
func FuzzBounds(f *testing.F) {
	for _, rng := range []string{"bytes=0-", "bytes=3-5", "bytes=-3", "bytes=10-999999999999", "bytes=5-9223372036854775807", "bytes=-9223372036854775807", "bytes=99999999999999999999-", "bytes=0-0,2-3", ""} {
		for _, over := range []string{"", "complete", "aborted"} {
			f.Add(rng, int64(2), int64(8), over, false, true)
			f.Add(rng, int64(0), int64(0), over, true, false)
			f.Add(rng, int64(0), int64(math.MaxInt64), over, false, false)
		}
	}
	f.Fuzz(func(t *testing.T, rng string, start, length int64, over string, conditional, follow bool) {
		start = max(0, start)
		m := journal.Meta{Start: start, End: start + min(max(0, length), math.MaxInt64-start), Over: leat.EndState(over)}
		b, err := boundsOf(m, rng, conditional, follow)
		if err != nil {
			if code := leat.CodeOf(err); code != leat.CodeGap && code != leat.CodeRange || code == leat.CodeGap && conditional {
				t.Fatalf("%q of %+v: %v", rng, m, err)
			}
			return
		}
		switch {
		case b.start < m.Start, b.end > m.End, b.end < b.start,
			b.live && (m.Over != "" || b.end != m.End),
			b.broken && (m.Over == "" || m.Over == leat.EndComplete || b.end != m.End),
			m.Over != "" && m.Over != leat.EndComplete && b.end == m.End && !b.broken,
			b.contentRange != "" && b.start == b.end && !b.live && !b.broken,
			b.contentRange == "" && b.start != m.Start, b.contentRange == "" && b.end != m.End:
			t.Fatalf("%q of %+v: %+v", rng, m, b)
		case b.contentRange == "":
			return
		}
		length2 := "*"
		if m.Over == leat.EndComplete {
			length2 = fmt.Sprint(m.End)
		}
		if b.live || b.start == b.end {
			var first, last int64
			if n, _ := fmt.Sscanf(b.contentRange, "bytes %d-%d/"+length2, &first, &last); n != 2 || first != b.start || last < m.End {
				t.Fatalf("%q of %+v: %+v", rng, m, b)
			}
		} else if want := fmt.Sprintf("bytes %d-%d/%s", b.start, b.end-1, length2); b.contentRange != want {
			t.Fatalf("%q of %+v: %+v, want %s", rng, m, b, want)
		}
	})
}

// RFC 9651, sections 3.3.3 and 3.3.8: encode, then decode, is identity.
func FuzzEnd(f *testing.F) {
	for _, reason := range []string{"", "disk full", `a"b\c`, "grüße %25", "\x00\x7f\n", "\xff"} {
		f.Add(reason, `error; reason="`+reason+`"`)
		f.Add(reason, `error;reason=%"`+reason+`"`)
	}
	f.Fuzz(func(t *testing.T, reason, field string) {
		reason = strings.ToValidUTF8(reason, "?")
		text := formatEnd(ending{leat.EndError, reason})
		if strings.Trim(text, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
			t.Errorf("%q is written as %q", reason, text)
		}
		if got, ok := parseEnd(text); !ok || got != (ending{leat.EndError, reason}) {
			t.Errorf("%q became %+v, %v", text, got, ok)
		}
		if got, ok := parseEnd(field); ok {
			if again, ok := parseEnd(formatEnd(got)); !ok || again != got {
				t.Errorf("%q became %+v, and that %+v, %v", field, got, again, ok)
			}
		}
	})
}
