package sse_test

import "strings"

// wptVectors are the tests in eventsource/ of web-platform-tests that can drive
// any parser, by the stream that their handler sends. Where a test looks at a
// reconnect, the second stream is decoded with the last id of the first.
var wptVectors = []vector{
	{
		name: "format-bom",
		rule: "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any.",
		in:   "\uFEFFdata:1\n\n\uFEFFdata:2\n\ndata:3\n\n",
		want: logOf(message("1"), message("3")),
	},
	{
		name: "format-bom-2",
		rule: "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any.",
		in:   "\uFEFF\uFEFFdata:1\n\ndata:2\n\ndata:3\n\n",
		want: logOf(message("2"), message("3")),
	},
	{
		name: "format-comments",
		rule: "If the line starts with a U+003A COLON character (:): Ignore the line.",
		in: "data:1\r:\x00\n:\r\ndata:2\n:" + long + "\rdata:3\n:data:fail\r:" + long +
			"\ndata:4\n\n",
		want: logOf(comment("\x00"), comment(""), comment(long), comment("data:fail"), comment(long),
			message("1\n2\n3\n4")),
	},
	{
		name: "format-data-before-final-empty-line",
		rule: "Once the end of the file is reached, any pending data must be discarded. (If the file ends in " +
			"the middle of an event, before the final empty line, the incomplete event is not dispatched.)",
		in:   "retry:1000\ndata:test1\n\nid:test\ndata:test2",
		want: logOf(millis(1000), message("test1")),
	},
	{
		name: "format-field-data",
		rule: "If the field name is \"data\": Append the field value to the data buffer, then append a single " +
			"U+000A LINE FEED (LF) character to the data buffer.",
		in:   "data:\n\ndata\ndata\n\ndata:test\n\n",
		want: logOf(message(""), message("\n"), message("test")),
	},
	{
		name: "format-field-event",
		rule: "If the field name is \"event\": Set the event type buffer to field value.",
		in:   "event:test\ndata:x\n\ndata:x\n\n",
		want: logOf(event("", "test", "x"), message("x")),
	},
	{
		name: "format-field-event-empty",
		rule: "If the event type buffer has a value other than the empty string, change the type of the newly " +
			"created event to equal the value of the event type buffer.",
		in:   "event: \ndata:data\n\n",
		want: logOf(message("data")),
	},
	{
		name: "format-field-id",
		rule: "If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field value.",
		in:   "id: …\nretry: 200\ndata: hello\n\n",
		want: logOf(millis(200), event("…", "", "hello")), lastID: "…",
	},
	{
		name: "format-field-id-2",
		rule: "The buffer does not get reset, so the last event ID string of the event source remains set to this " +
			"value until the next time it is set by the server.",
		in: "data: …\n\n", seed: "…", // the stream after the reconnect
		want: logOf(event("…", "", "…")), lastID: "…",
	},
	{
		name: "format-field-id-3 (persists, changes)",
		rule: "If an event doesn't have an \"id\" field, but an earlier event did set the event source's last event " +
			"ID string, then the event's lastEventId field will be set to the value of whatever the last seen \"id\" field was.",
		in:     "id: 1\ndata: 1\n\ndata: 2\n\nid: 2\ndata:3\n\ndata:4\n\n",
		want:   logOf(event("1", "", "1"), event("1", "", "2"), event("2", "", "3"), event("2", "", "4")),
		lastID: "2",
	},
	{
		name: "format-field-id-3 (resets)",
		rule: "[an] \"id\" field, this time with no value, which resets the last event ID to the empty string",
		in:   "id: 1\ndata: 1\n\nid: \ndata: 2\n\ndata: 3\n\n",
		want: logOf(event("1", "", "1"), message("2"), message("3")),
	},
	{
		name: "format-field-id-3 (resets, no colon)",
		rule: "Process the field […] using the whole line as the field name, and the empty string as the field value.",
		in:   "id: 1\ndata: 1\n\nid\ndata: 2\n\ndata: 3\n\n",
		want: logOf(event("1", "", "1"), message("2"), message("3")),
	},
	{
		name: "format-field-id-null",
		rule: "If the field value does not contain U+0000 NULL, then set […]. Otherwise, ignore the field.",
		in: "id: kept\n\nid: \x00\x00\ndata: a\n\nid: x\x00\ndata: b\n\nid: \x00x\ndata: c\n\n" +
			"id: x\x00x\ndata: d\n\nid:  \x00\ndata: e\n\n",
		want: logOf(event("kept", "", "a"), event("kept", "", "b"), event("kept", "", "c"),
			event("kept", "", "d"), event("kept", "", "e")),
		lastID: "kept",
	},
	{
		name: "format-field-parsing",
		rule: "Field names must be compared literally, with no case folding performed.",
		in: "data:\x00\ndata:  2\rData:1\ndata\x00:2\ndata:1\r\x00data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n" +
			" data:32\ndata:4\n\n",
		want: logOf(message("\x00\n 2\n1\n3\n\n4")),
	},
	{
		name: "format-field-retry",
		rule: "interpret the field value as an integer in base ten",
		in:   "retry:03000\ndata:x\n\n",
		want: logOf(millis(3000), message("x")),
	},
	{
		name: "format-field-retry-bogus",
		rule: "If the field value consists of only ASCII digits, then […]. Otherwise, ignore the field.",
		in:   "retry:3000\nretry:1000x\ndata:x\n\n",
		want: logOf(millis(3000), message("x")),
	},
	{
		name: "format-field-retry-bogus-2",
		rule: "If the field value consists of only ASCII digits, then […]. Otherwise, ignore the field.",
		in:   "retry:3000\nretry:5000x\ndata:x\n\n",
		want: logOf(millis(3000), message("x")),
	},
	{
		name: "format-field-retry-empty",
		rule: "If the field value consists of only ASCII digits, then […]. Otherwise, ignore the field.",
		in:   "retry\ndata:test\n\nretry:\ndata:test\n\n",
		want: logOf(message("test"), message("test")),
	},
	{
		name: "format-field-unknown",
		rule: "Otherwise: The field is ignored.",
		in:   "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
		want: logOf(comment("thisisacommentyay"), message("test\n\ntest")),
	},
	{
		name: "format-leading-space",
		rule: "If value starts with a U+0020 SPACE character, remove it from value.",
		in:   "data:\ttest\rdata: \ndata:test\n\n",
		want: logOf(message("\ttest\n\ntest")),
	},
	{
		name: "format-newlines",
		rule: "Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a " +
			"single U+000A LINE FEED (LF) character, or a single U+000D CARRIAGE RETURN (CR) character.",
		in:   "data:test\r\ndata\ndata:test\r\n\r",
		want: logOf(message("test\n\ntest")),
	},
	{
		name: "format-null-character",
		rule: "any-char = %x0000-0009 / %x000B-000C / %x000E-10FFFF",
		in:   "data:\x00\n\n\n\n",
		want: logOf(message("\x00")),
	},
	{
		name: "format-utf-8",
		rule: "Event streams are always decoded as UTF-8. There is no way to specify another character encoding.",
		in:   "data:ok…\n\n",
		want: logOf(message("ok…")),
	},
	{
		name: "event-data",
		rule: "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty " +
			"string and return.",
		in:   "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
		want: logOf(message("msg\nmsg"), comment(""), message(""), message("end")),
	},
	{
		name: "eventsource-from-readable-stream (chunks)",
		rule: "a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a single […] (LF) […], and a single " +
			"[…] (CR) […] being the ways in which a line can end",
		in:   "data: cr\r\rdata: lf\n\ndata: crlf\r\n\r\n",
		want: logOf(message("cr"), message("lf"), message("crlf")),
	},
	{
		name: "eventsource-from-readable-stream (id, retry)",
		rule: "set the event stream's reconnection time to that integer",
		in:   "id: 42\nretry: 5000\ndata: hello\n\nretry: bogus\ndata: hello\n\n",
		want: logOf(millis(5000), event("42", "", "hello"), event("42", "", "hello")), lastID: "42",
	},
	{
		name: "eventsource-from-readable-stream (spliced)",
		rule: "so the last event ID string of the event source remains set to this value until the next time it is " +
			"set by the server",
		in: "data: after-reconnect\n\n", seed: "42",
		want: logOf(event("42", "", "after-reconnect")), lastID: "42",
	},
}

// long is the 2 KiB of format-comments.
var long = strings.Repeat("x", 2*1024)
