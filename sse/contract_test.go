package sse_test

import (
	"fmt"
	"strings"
)

// contractVectors, with lineEndVectors, are the parsing groups of the contract
// tests for clients (basic parsing, BOM, comments, line ends) as streams;
// TestVectors cuts each in the ways of that harness.
var contractVectors = []vector{
	{name: "basic: one line", in: "data: Hello\n\n", want: logOf(message("Hello"))},
	{name: "basic: two messages", in: "data: Hello\n\ndata: World\n\n", want: logOf(message("Hello"), message("World"))},
	{name: "basic: two lines", in: "data: Hello\ndata:World\n\n", want: logOf(message("Hello\nWorld"))},
	{name: "basic: empty data", in: "data:\n\n", want: logOf(message(""))},
	{name: "basic: specific type", in: "event: greeting\ndata: Hello\n\n", want: logOf(event("", "greeting", "Hello"))},
	{name: "basic: id", in: "id: abc\ndata: Hello\n\n", want: logOf(event("abc", "", "Hello")), lastID: "abc"},
	{
		name: "basic: type and id", in: "event: greeting\nid: abc\ndata: Hello\n\n",
		want: logOf(event("abc", "greeting", "Hello")), lastID: "abc",
	},
	{name: "basic: id with a null", in: "id: a\x00bc\ndata: Hello\n\n", want: logOf(message("Hello"))},
	{
		name: "basic: last id persists", in: "id: abc\ndata: first\n\ndata: second\n\n",
		want: logOf(event("abc", "", "first"), event("abc", "", "second")), lastID: "abc",
	},
	{
		name: "basic: last id overridden by empty", in: "id: abc\ndata: first\n\nid: \ndata: second\n\n",
		want: logOf(event("abc", "", "first"), message("second")),
	},
	{
		name: "basic: reverse order", in: "data: Hello\nid: abc\nevent: greeting\n\n",
		want: logOf(event("abc", "greeting", "Hello")), lastID: "abc",
	},
	{
		name: "basic: unknown field", in: "event: greeting\ncolor: blue\ndata: Hello\n\n",
		want: logOf(event("", "greeting", "Hello")),
	},
	{
		name: "basic: no leading space", in: "event:greeting\ndata:Hello\n\n",
		want: logOf(event("", "greeting", "Hello")),
	},
	{
		name: "basic: extra leading space", in: "event:  greeting\ndata:  Hello\n\n",
		want: logOf(event("", " greeting", " Hello")),
	},
	{name: "basic: no colon", in: "data\n\ndata\ndata\n\n", want: logOf(message(""), message("\n"))},
	{name: "basic: multi-byte characters", in: "data: €豆腐\n\n", want: logOf(message("€豆腐"))},
	{name: "basic: empty stream", in: ""},

	{name: "BOM: only", in: "\uFEFF"},
	{name: "BOM: cut short", in: "\xEF\xBB"},
	{name: "BOM: almost", in: "\xEF\xBB\xBEdata: no\n\ndata: Hello\n\n", want: logOf(message("Hello"))},
	{name: "BOM: a part of one", in: "\xEF\xBBdata: no\n\ndata: Hello\n\n", want: logOf(message("Hello"))},
	{name: "BOM: almost, then a line end", in: "\xEF\xBB\ndata: Hello\n\n", want: logOf(message("Hello"))},
	{
		name: "BOM: type and id", in: "\uFEFFevent: greeting\nid: abc\ndata: Hello\n\n",
		want: logOf(event("abc", "greeting", "Hello")), lastID: "abc",
	},
	{name: "BOM: in later data", in: "data: 1\n\ndata: \uFEFF2\n\n", want: logOf(message("1"), message("\uFEFF2"))},
	{name: "BOM: then one in data", in: "\uFEFFdata: \uFEFFHello\n\n", want: logOf(message("\uFEFFHello"))},
	{name: "BOM: two lines", in: "\uFEFFdata: Line1\ndata: Line2\n\n", want: logOf(message("Line1\nLine2"))},
	{name: "BOM: comment", in: "\uFEFF:comment\ndata: Hello\n\n", want: logOf(comment("comment"), message("Hello"))},
	{name: "BOM: empty data", in: "\uFEFFdata:\n\n", want: logOf(message(""))},
	{name: "BOM: blank line", in: "\uFEFF\n\ndata: x\n\n", want: logOf(message("x"))},

	{name: "comments: single", in: ":Hello\n", want: logOf(comment("Hello"))},
	{name: "comments: two", in: ":Hello\n:World\n", want: logOf(comment("Hello"), comment("World"))},
	{name: "comments: before event", in: ":Hello\ndata: Hello\n\n", want: logOf(comment("Hello"), message("Hello"))},
	{name: "comments: after event", in: "data: Hello\n\n:Hello\n", want: logOf(message("Hello"), comment("Hello"))},
	{name: "comments: heartbeat", in: ":\n\n: \n\n", want: logOf(comment(""), comment(""))},

	{
		name: "line ends: mixed", in: "data: Hello\r\ndata: World\r\n\r\ndata: OK\r\n\r\n",
		want: logOf(message("Hello\nWorld"), message("OK")),
	},
}

func lineEndVectors() (v []vector) {
	for _, eol := range []string{"\n", "\r\n", "\r"} {
		for _, c := range []struct {
			name, in string // in has LF
			want     []string
		}{
			{"one", "data: 1\n\n", logOf(message("1"))},
			{"one + two lines", "data: 1\n\ndata: 2 1\ndata: 2 2\n\n", logOf(message("1"), message("2 1\n2 2"))},
			{"empty first", "data:\ndata: 2\ndata: 3\n\n", logOf(message("\n2\n3"))},
			{"empty in the middle", "data: 1\ndata:\ndata: 3\n\n", logOf(message("1\n\n3"))},
			{"one extra", "data: 1\n\n\ndata: 2\n\n", logOf(message("1"), message("2"))},
			{"two extra", "data: 1\n\n\n\ndata: 2\n\n", logOf(message("1"), message("2"))},
		} {
			v = append(v, vector{
				name: fmt.Sprintf("line ends: %q, %s", eol, c.name),
				in:   strings.ReplaceAll(c.in, "\n", eol),
				want: c.want,
			})
		}
	}
	return v
}
