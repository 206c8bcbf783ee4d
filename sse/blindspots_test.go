package sse_test

import (
	"strings"
	"testing"

	"github.com/leat-dev/leat/sse"
)

const replaced = "\uFFFD"

var (
	kb8 = strings.Repeat("8 KiB of x, and €", 512)
	mb  = strings.Repeat("0123456789abcdef", 1<<16)
)

// blindSpotVectors are what web-platform-tests do not cover. That TestVectors
// cuts everything everywhere is a part of it.
var blindSpotVectors = []vector{
	{
		name: "CR and LF of one end in two chunks, at every kind of line",
		rule: "a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair […] being the ways in which a line can end",
		in:   ":c\r\nid: 1\r\nevent: e\r\nretry: 5\r\nunknown\r\ndata: x\r\n\r\n\r\ndata: y\r\n\r\n",
		want: logOf(comment("c"), millis(5), event("1", "e", "x"), event("1", "", "y")), lastID: "1",
	},
	{
		name: "CR CR LF is two ends, CR LF CR LF too, LF CR too",
		rule: "a single U+000D CARRIAGE RETURN (CR) character not followed by a U+000A LINE FEED (LF) character",
		in:   "data: 1\r\r\ndata: 2\n\rdata: 3\r\n\rdata: 4\n\r\n",
		want: logOf(message("1"), message("2"), message("3"), message("4")),
	},
	{
		name: "characters of 2, 3 and 4 bytes cut between chunks",
		rule: "Streams must be decoded using the UTF-8 decode algorithm.",
		in:   "data: é€😀\nid: é€😀\nevent: é€😀\n: é€😀\n\n",
		want: logOf(comment("é€😀"), event("é€😀", "é€😀", "é€😀")), lastID: "é€😀",
	},
	{
		name: "invalid UTF-8: one U+FFFD for each maximal part",
		rule: "Streams must be decoded using the UTF-8 decode algorithm. (Encoding: if byte is not in the range lower " +
			"boundary to upper boundary: restore byte to ioQueue and return error.)",
		in: "data: a\x80b\xc3c\xe2\x82d\xf0\x9f\x98e\n" + // alone; cut short after 1, 2, 3 bytes
			"data: \xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf\n" + // too long
			"data: \xed\xa0\x80\xf4\x90\x80\x80\xff\xfe\n" + // surrogate; beyond U+10FFFF; never
			"data: \xe2\x82\xe2\x82\xac\n\n", // cut short by another
		want: logOf(message("a" + replaced + "b" + replaced + "c" + replaced + "d" + replaced + "e\n" +
			strings.Repeat(replaced, 2+3+4) + "\n" + strings.Repeat(replaced, 3+4+2) + "\n" + replaced + "€")),
	},
	{
		name: "invalid UTF-8 cut short by the line end, in every field",
		rule: "Streams must be decoded using the UTF-8 decode algorithm.",
		in: "data: \xff\xf0\x9f\nid: \xff\xf0\x9f\revent: \xff\xf0\x9f\r\n: \xff\xf0\x9f\n" +
			"retry: 1\xf0\ndat\xe2a: x\n\n",
		want:   logOf(comment(replaced+replaced), event(replaced+replaced, replaced+replaced, replaced+replaced)),
		lastID: replaced + replaced,
	},
	{
		name: "invalid UTF-8 is never Latin-1 and hides no line end",
		rule: "Event streams are always decoded as UTF-8.",
		in:   "data: caf\xe9\ndata: \xc2\n\n",
		want: logOf(message("caf" + replaced + "\n" + replaced)),
	},
	{
		name: "retry of any length is at most 24 hours",
		rule: "interpret the field value as an integer in base ten, and set the event stream's reconnection time to that integer",
		in: "retry: 86400001\nretry: 99999999999\nretry: 9223372036854775807\nretry: 9223372036854775808\n" +
			"retry: 18446744073709551616\nretry: 18446744073709551617\nretry: 1" + strings.Repeat("0", 5000) + "\n",
		want: logOf(millis(86400000), millis(86400000), millis(86400000), millis(86400000), millis(86400000),
			millis(86400000), millis(86400000)),
	},
	{
		name: "lines over 2 KiB in every field",
		rule: "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF) character to the data buffer.",
		in:   "data: " + kb8 + "\ndata:" + kb8 + "\nid: " + kb8 + "\nevent: " + kb8 + "\n: " + kb8 + "\n" + kb8 + "\n\n",
		want: logOf(comment(kb8), event(kb8, kb8, kb8+"\n"+kb8)), lastID: kb8,
	},
	{
		name: "a line of 1 MiB and a small event after it",
		rule: "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last character " +
			"from the data buffer.",
		in:   "data: " + mb + "\r\n\r\nid: 1\ndata: x\n\n",
		want: logOf(message(mb), event("1", "", "x")), lastID: "1",
	},
	{
		name: "data that looks like fields after each kind of end",
		rule: "Lines must be processed, in the order they are received",
		in:   "data: a\r\rdata: forged\n\n",
		want: logOf(message("a"), message("forged")),
	},
}

// "a single U+000D CARRIAGE RETURN (CR) character not followed by a U+000A LINE
// FEED (LF) character being the ways in which a line can end", and "block
// buffering or line buffering with different expected line endings can cause
// delays in event dispatch": a CR ends its line, and a blank line its event,
// with nothing behind it; an LF that comes after all belongs to it.
func TestCRDispatchesAtOnce(t *testing.T) {
	for _, after := range []string{"", "\n"} {
		p := new(sse.Parser)
		ev, rest, ok, err := p.Parse([]byte("id: 1\rdata: x\r\r"))
		if !ok || err != nil || len(rest) > 0 || ev.ID != "1" || string(ev.Data) != "x" {
			t.Fatalf("after CR CR: %q rest %q, %v, %v; want the event", ev, rest, ok, err)
		}
		ev, rest, ok, err = p.Parse([]byte(after + "data: y\n\n"))
		if !ok || err != nil || len(rest) > 0 || string(ev.Data) != "y" {
			t.Errorf("then %q and an event: %q rest %q, %v, %v; want the event", after, ev, rest, ok, err)
		}
	}
}
