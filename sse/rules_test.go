package sse_test

// ruleVectors are the sentences of the standard that web-platform-tests do not
// try on their own.
var ruleVectors = []vector{
	{
		name: "a line of spaces is not blank",
		rule: "If the line is empty (a blank line): Dispatch the event, as defined below.",
		in:   "data: 1\n \ndata: 2\n\t\n\n",
		want: logOf(message("1\n2")),
	},
	{
		name: "NEL, VT, FF, FS, GS, RS, US, U+2028 and U+2029 end no line",
		rule: "any-char = %x0000-0009 / %x000B-000C / %x000E-10FFFF; a scalar value other than U+000A LINE FEED (LF) " +
			"or U+000D CARRIAGE RETURN (CR)",
		in:   "data: a\u0085b\vc\fd\x1ce\x1df\x1eg\x1fh\u2028i\u2029j\n\n",
		want: logOf(message("a\u0085b\vc\fd\x1ce\x1df\x1eg\x1fh\u2028i\u2029j")),
	},
	{
		name: "a block with only an id moves the last event ID and fires nothing",
		rule: "Set the last event ID string of the event source to the value of the last event ID buffer. […] If the " +
			"data buffer is an empty string, set the data buffer and the event type buffer to the empty string and return.",
		in:   "id: 7\n\ndata: x\n\nid: 8\n\n",
		want: logOf(event("7", "", "x")), lastID: "8",
	},
	{
		name: "a block with only an empty id resets it",
		rule: "Set the last event ID string of the event source to the value of the last event ID buffer.",
		in:   "id\n\ndata: x\n\n", seed: "7",
		want: logOf(message("x")),
	},
	{
		name: "a type without data fires nothing and does not stay",
		rule: "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty " +
			"string and return.",
		in:   "event: ghost\nid: 1\nretry: 5\n\ndata: x\n\n",
		want: logOf(millis(5), event("1", "", "x")), lastID: "1",
	},
	{
		name: "blank lines fire nothing once an id was seen",
		rule: "If the data buffer is an empty string, […] return.",
		in:   "id: 1\ndata: x\n\n\n\n\n\n",
		want: logOf(event("1", "", "x")), lastID: "1",
	},
	{
		name: "the last of several ids and types counts",
		rule: "Set the event type buffer to field value.",
		in:   "event: a\nid: 1\ndata: x\nevent: b\nid: 2\n\n",
		want: logOf(event("2", "b", "x")), lastID: "2",
	},
	{
		name: "an ignored id leaves the one before it in the block",
		rule: "Otherwise, ignore the field.",
		in:   "id: 1\nid: \x00\ndata: x\n\n",
		want: logOf(event("1", "", "x")), lastID: "1",
	},
	{
		name: "the id of a cut event is not committed, though its line had ended",
		rule: "Once the end of the file is reached, any pending data must be discarded.",
		in:   "id: 1\ndata: x\n\nid: 2\ndata: y\n",
		want: logOf(event("1", "", "x")), lastID: "1",
	},
	{
		name: "a seeded id survives blank lines (departs from the letter, see the package comment)",
		rule: "If the EventSource object's last event ID string is not the empty string, then: […] Set " +
			"(`Last-Event-ID`, lastEventIDValue) in request's header list.",
		in: "\n\n:\n\nevent: x\n\n", seed: "7",
		want: logOf(comment("")), lastID: "7",
	},
	{
		name: "retry takes effect at its line, without a blank one",
		rule: "set the event stream's reconnection time to that integer",
		in:   "retry: 10\nretry: 20\ndata: lost",
		want: logOf(millis(10), millis(20)),
	},
	{
		name: "retry of zero, with leading zeros, at the limit",
		rule: "interpret the field value as an integer in base ten",
		in:   "retry: 0\nretry: 0000\nretry: 00000000000000000000000000007\nretry: 86400000\n",
		want: logOf(millis(0), millis(0), millis(7), millis(86400000)),
	},
	{
		name: "retry that is not only ASCII digits",
		rule: "If the field value consists of only ASCII digits, then […]. Otherwise, ignore the field.",
		in: "retry: +1\nretry: -1\nretry: 1.5\nretry: 1e3\nretry: 0x10\nretry: 1 \nretry:  1\nretry: 1_0\n" +
			"retry: ١\nretry: \nretry: 99999999999999999999x\n",
	},
	{
		name: "field names with white space or more letters are other names",
		rule: "Field names must be compared literally, with no case folding performed.",
		in:   "data : 1\n\tdata: 2\ndatas: 3\ndat: 4\nDATA: 5\nids: 6\nID: 7\nevents: 8\nretrys: 9\nRetry: 10\ndata: ok\n\n",
		want: logOf(message("ok")),
	},
	{
		name: "a value keeps colons, white space at its end, and all but one space before it",
		rule: "Collect the characters on the line after the first U+003A COLON character (:), and let value be that string.",
		in:   "data: a: b:c \nid:   i \nevent: : \ndata::\ndata:   \n\n",
		want: logOf(event("  i ", ": ", "a: b:c \n:\n  ")), lastID: "  i ",
	},
	{
		name: "the example with four blocks",
		rule: "The following stream contains four blocks. […] the last block just fires an event with the data " +
			"\" third event\" (with a single leading space character).",
		in:   ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
		want: logOf(comment("test stream"), event("1", "", "first event"), message("second event"), message(" third event")),
	},
	{
		name: "the example with three lines",
		rule: "would cause an event message […] The event's data attribute would contain the string \"YHOO\\n+2\\n10\"",
		in:   "data: YHOO\ndata: +2\ndata: 10\n\n",
		want: logOf(message("YHOO\n+2\n10")),
	},
	{
		name: "the example with empty data",
		rule: "The last block is discarded because it is not followed by a blank line.",
		in:   "data\n\ndata\ndata\n\ndata:",
		want: logOf(message(""), message("\n")),
	},
	{
		name: "the example with two identical events",
		rule: "the space after the colon is ignored if present",
		in:   "data:test\n\ndata: test\n\n",
		want: logOf(message("test"), message("test")),
	},
}
