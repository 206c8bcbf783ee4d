package sse_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/sse"
)

var appendEventTests = []struct {
	name, rule    string
	id, typ, data string
	want          string
}{
	{
		name: "every value has a space before it, so that its own survives",
		rule: "If value starts with a U+0020 SPACE character, remove it from value.",
		id:   " 1", typ: " t", data: " x",
		want: "id:  1\nevent:  t\ndata:  x\n\n",
	},
	{
		name: "no id, no type",
		rule: "If an event doesn't have an \"id\" field, […]",
		data: "x",
		want: "data: x\n\n",
	},
	{
		name: "empty data is data",
		rule: "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and return.",
		id:   "7", typ: "leat.cursor",
		want: "id: 7\nevent: leat.cursor\ndata: \n\n",
	},
	{
		name: "split on LF, CR and CRLF",
		rule: "Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a " +
			"single U+000A LINE FEED (LF) character, or a single U+000D CARRIAGE RETURN (CR) character.",
		data: "1\n2\r3\r\n4\n\r5\r\r\n",
		want: "data: 1\ndata: 2\ndata: 3\ndata: 4\ndata: \ndata: 5\ndata: \ndata: \n\n",
	},
	{
		name: "an LF at the end survives",
		rule: "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last character from the data buffer.",
		data: "x\n",
		want: "data: x\ndata: \n\n",
	},
	{
		name: "data forges nothing",
		rule: "Lines must be processed, in the order they are received",
		data: "a\r\rdata: forged\nid: 9\n\nevent: forged\r\n\r\n:\x00\uFEFF",
		want: "data: a\ndata: \ndata: data: forged\ndata: id: 9\ndata: \ndata: event: forged\ndata: \ndata: :\x00\uFEFF\n\n",
	},
	{
		name: "control characters that end no line pass",
		rule: "any-char = %x0000-0009 / %x000B-000C / %x000E-10FFFF",
		id:   "\t1\v2\f3\x01", typ: "\t", data: "\x00\v\f\u0085\u2028",
		want: "id: \t1\v2\f3\x01\nevent: \t\ndata: \x00\v\f\u0085\u2028\n\n",
	},
}

func TestAppendEvent(t *testing.T) {
	for _, test := range appendEventTests {
		t.Run(test.name, func(t *testing.T) {
			got, err := sse.AppendEvent([]byte("before"), test.id, test.typ, []byte(test.data))
			if want := "before" + test.want; err != nil || string(got) != want {
				t.Errorf("AppendEvent: %q, %v\nwant         %q\nrule: %s", got, err, want, test.rule)
			}
			again, err := sse.AppendEvent(nil, []byte(test.id), test.typ, []byte(test.data))
			if err != nil || string(again) != test.want {
				t.Errorf("with the id as bytes: %q, %v", again, err)
			}
			want := reference(got[len("before"):], "")
			data := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(test.data)
			if len(want.log) != 1 || want.log[0] != event(test.id, test.typ, data) {
				t.Errorf("it comes back as %s", want)
			}
		})
	}
}

// "If the field value does not contain U+0000 NULL, then set the last event ID
// buffer to the field value. Otherwise, ignore the field." And a line ends at
// CR and LF. So an id with these is not what it was, and is refused, wherever
// they are; and so is a type.
func TestAppendEventRefuses(t *testing.T) {
	for _, bad := range []string{"\r", "\n", "\x00", "\r\n"} {
		for n := range 40 {
			for _, good := range []string{"x", "\xff", "\t", "\x0e"} {
				value := strings.Repeat(good, n) + bad + strings.Repeat(good, 39-n)
				for _, v := range []string{value, value[:n+len(bad)], value[n:]} {
					check := func(what string, got []byte, err, want error) {
						t.Helper()
						if err != want || string(got) != "before" || cap(got) < 6 {
							t.Fatalf("%s %q: %q, %v; want nothing appended and %v", what, v, got, err, want)
						}
					}
					got, err := sse.AppendEvent([]byte("before"), v, "", []byte("data"))
					check("id", got, err, sse.ErrInvalidID)
					got, err = sse.AppendEvent([]byte("before"), "1", v, []byte("data"))
					check("type", got, err, sse.ErrInvalidType)
				}
			}
		}
	}
}

// Every length on both sides of the eight bytes that are looked at together.
func TestAppendEventLengths(t *testing.T) {
	const text = "0123456789abcdefghijklmnopqrstuvwxyzé€😀\x7f\x80\xff\t\x0e\x0f\x1f ~"
	for i := range len(text) {
		for j := range len(text) - i {
			id, typ := text[i:i+j], text[:j]
			got, err := sse.AppendEvent(nil, id, typ, nil)
			want := "data: \n\n"
			if j > 0 {
				want = "id: " + id + "\nevent: " + typ + "\n" + want
			}
			if err != nil || string(got) != want {
				t.Fatalf("id %q, type %q: %q, %v", id, typ, got, err)
			}
		}
	}
}

// "If the field value consists of only ASCII digits, then interpret the field
// value as an integer in base ten, and set the event stream's reconnection time
// to that integer" (in milliseconds).
func TestAppendRetry(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{0, "retry: 0\n\n"},
		{1, "retry: 1\n\n"}, // never none
		{time.Millisecond, "retry: 1\n\n"},
		{time.Millisecond + 1, "retry: 2\n\n"},
		{3 * time.Second, "retry: 3000\n\n"},
		{24 * time.Hour, "retry: 86400000\n\n"},
	} {
		got, err := sse.AppendRetry([]byte("before"), test.d)
		if err != nil || string(got) != "before"+test.want {
			t.Errorf("AppendRetry(%v): %q, %v; want %q", test.d, got, err, test.want)
		}
		want := (test.d + time.Millisecond - 1).Truncate(time.Millisecond)
		if tr := reference(got[len("before"):], ""); !tr.hasRetry || tr.retry != want {
			t.Errorf("AppendRetry(%v) comes back as %v", test.d, tr.retry)
		}
	}
	for _, d := range []time.Duration{-1, -time.Hour, sse.MaxRetry + 1, 1<<63 - 1, -1 << 63} {
		got, err := sse.AppendRetry([]byte("before"), d)
		if !errors.Is(err, sse.ErrInvalidRetry) || string(got) != "before" {
			t.Errorf("AppendRetry(%v): %q, %v; want ErrInvalidRetry", d, got, err)
		}
	}
}

// "authors can include a comment line (one starting with a ':' character) every
// 15 seconds or so."
func TestAppendComment(t *testing.T) {
	for text, want := range map[string]string{
		"":                       ":\n\n",
		"hi":                     ": hi\n\n",
		" hi":                    ":  hi\n\n",
		":":                      ": :\n\n",
		"a\r\rdata: forged\n\nb": ": a\n: \n: data: forged\n: \n: b\n\n",
		"a\r\n":                  ": a\n: \n\n",
	} {
		got := sse.AppendComment([]byte("before"), text)
		if string(got) != "before"+want {
			t.Errorf("AppendComment(%q): %q, want %q", text, got, want)
		}
		tr := reference(got[len("before"):], "")
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
		if want := comments(text); strings.Join(tr.log, ",") != strings.Join(want, ",") {
			t.Errorf("AppendComment(%q) comes back as %s", text, tr)
		}
	}
}

func comments(text string) (log []string) {
	for line := range strings.SplitSeq(text, "\n") {
		log = append(log, comment(line))
	}
	return log
}

// Blocks can be joined in any order; and appending leaves what was there.
func TestAppendJoins(t *testing.T) {
	b := make([]byte, 0, 4096)
	b = sse.AppendComment(b, "open")
	b, _ = sse.AppendRetry(b, 2*time.Second)
	b, _ = sse.AppendEvent(b, "1", "leat.cursor", nil)
	first := bytes.Clone(b)
	b = sse.AppendComment(b, "")
	b, _ = sse.AppendEvent(b, "2", "", []byte("x\ny"))
	b, _ = sse.AppendEvent(b, "", "", []byte("z"))
	if !bytes.HasPrefix(b, first) {
		t.Fatal("appending has changed what was there")
	}
	want := logOf(comment("open"), retry(2*time.Second), event("1", "leat.cursor", ""), comment(""),
		event("2", "", "x\ny"), event("2", "", "z"))
	if got := reference(b, "").log; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
