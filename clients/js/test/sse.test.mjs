// Parsing text/event-stream: sections 9.2.5 and 9.2.6 of the HTML standard. Names that
// begin with format- or event- are those of files in eventsource/ of the web platform tests.
import assert from "node:assert/strict"
import { stream } from "../dist/leat.js"
import { all, answer, cuts, encode, test } from "./kit.mjs"

const m = (data, id = "", type = "message") => ({ type, data, id })

// Each: name, the body, what comes of it, and `cut` if it ends inside an event.
const vectors = [
	["format-bom", "\uFEFFdata:1\n\n\uFEFFdata:2\n\ndata:3\n\n", [m("1"), m("3")]],
	["format-bom-2", "\uFEFF\uFEFFdata:1\n\ndata:2\n\ndata:3\n\n", [m("2"), m("3")]],
	["format-comments", `data:1\r:\0\n:\r\ndata:2\n:${"x".repeat(2048)}\rdata:3\n:data:fail\r:${"x".repeat(2048)}\ndata:4\n\n`, [m("1\n2\n3\n4")]],
	["format-data-before-final-empty-line", "data:test1\n\nid:test\ndata:test2\n", [m("test1")], "cut"],
	["format-field-data", "data:\n\ndata\ndata\n\ndata:test\n\n", [m(""), m("\n"), m("test")]],
	["format-field-event", "event:test\ndata:x\n\ndata:x\n\n", [m("x", "", "test"), m("x")]],
	["format-field-event-empty", "event: \ndata:data\n\n", [m("data")]],
	["format-field-id", "id: …\ndata:1\n\ndata:2\n\nid\ndata:3\n\nid:\ndata:4\n\n", [m("1", "…"), m("2", "…"), m("3"), m("4")]],
	["format-field-id-null", "id: a\0b\ndata:1\n\nid:\0\ndata:2\n\n", [m("1"), m("2")]],
	["format-field-parsing", "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n", [m("\0\n 2\n1\n3\n\n4")]],
	["format-field-unknown", "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n", [m("test\n\ntest")]],
	["format-leading-space", "data:\ttest\rdata: \ndata:test\n\n", [m("\ttest\n\ntest")]],
	["format-newlines", "data:test\r\ndata\ndata:test\r\n\r", [m("test\n\ntest")]],
	["format-null-character", "data:\0\n\n\n\n", [m("\0")]],
	["format-utf-8", "data:ok…\n\n", [m("ok…")]],
	["event-data", "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n", [m("msg\nmsg"), m(""), m("end")]],
	["a CR ends a line", "data:1\r\rdata:2\r\r", [m("1"), m("2")]],
	["CRLF ends a line", "data:1\r\n\r\ndata:2\r\n\r\n", [m("1"), m("2")]],
	["CR, then CRLF", "data:1\r\r\ndata:2\n\n", [m("1"), m("2")]],
	["nothing else ends a line", "data:a\u0085b\u2028c\u2029d\ve\ff\u001c\u001d\u001e\u001fg\n\n", [m("a\u0085b\u2028c\u2029d\ve\ff\u001c\u001d\u001e\u001fg")]],
	["characters of 2, 3 and 4 bytes", "data:ä…😀\n\nid:😀\ndata\n\n", [m("ä…😀"), m("", "😀")]],
	["no event without data", "event:x\n\nid:7\n\ndata:y\n\n", [m("y", "7")]],
	["a type does not outlive its block", "event:x\n\ndata:y\n\n", [m("y")]],
	["only one space goes", "data:  x\nevent:  y\n\n", [m(" x", "", " y")]],
	["a line of spaces is not blank", "data:1\n \n\n", [m("1")]],
	["an end inside a line", "data:1\n\ndata:2", [m("1")], "cut"],
	["an end after a comment", "data:1\n\n:bye\n", [m("1")]],
	["an empty body", "", []],
	[
		"a gap and an end of Leat",
		'id: a\nevent: leat.gap\ndata: {"reason":"lost","asked":"x","next":"a"}\n\nid: b\nevent: leat.end\ndata: {"topic":"t","state":"complete"}\n\n',
		[
			{ ...m('{"reason":"lost","asked":"x","next":"a"}', "a", "leat.gap"), gap: { reason: "lost", asked: "x", next: "a" } },
			{ ...m('{"topic":"t","state":"complete"}', "b", "leat.end"), end: { topic: "t", state: "complete" } },
		],
	],
	["one of that name from elsewhere", "event: leat.gap\ndata: what?\n\n", [m("what?", "", "leat.gap")]],
]

for (const [name, body, want, cut] of vectors) {
	test(name, async () => {
		for (const [how, pieces] of body.length > 1000 ? [...cuts(encode(body))].slice(0, 4) : cuts(encode(body))) {
			const { got, error } = await all(stream(answer(pieces, "text/event-stream; charset=windows-1252")))
			assert.deepEqual(got, want, how)
			assert.equal(error?.code, cut && "truncated", how)
		}
	})
}

test("bytes that are no UTF-8 become U+FFFD", async () => {
	const body = [encode("data:"), new Uint8Array([0xe2, 0x80]), encode("x"), new Uint8Array([0xff]), encode("\n\n")]
	assert.deepEqual((await all(stream(answer(body, "text/event-stream")))).got, [m("\uFFFDx\uFFFD")])
})

test("an id without data moves the place, one of an event that was cut does not", async () => {
	const items = stream(answer([encode("id:6\ndata:x\n\nid:7\n\nid:8\ndata:cut\n")], "text/event-stream"))
	await all(items)
	assert.equal(items.place.lastEventId, "7")
})

test("a CR at the end of what has come ends an event at once", async () => {
	let more
	const body = new ReadableStream({ start: (c) => (more = c) })
	more.enqueue(encode("data:1\r\r"))
	const items = stream(new Response(body, { headers: { "content-type": "text/event-stream" } }))
	assert.deepEqual((await items.next()).value, m("1"))
	more.enqueue(encode("\ndata:2\r\n\r"))
	assert.deepEqual((await items.next()).value, m("2"))
	await items.return()
})

test("comments are told without their colon", async () => {
	const comments = []
	await all(stream(answer([encode(":a\n: b\n:\ndata:1\n\n")], "text/event-stream"), { onComment: (text) => comments.push(text) }))
	assert.deepEqual(comments, ["a", " b", ""])
})

test("what is larger than the limit is an error", async () => {
	const size = 1000
	for (const [name, body, fits] of [
		["a line at the limit", `data:${"x".repeat(size - 5)}\n\n`, true],
		["a line above it", `data:${"x".repeat(size - 4)}\n\n`, false],
		["lines at the limit together", `data:${"x".repeat(499)}\ndata:${"x".repeat(500)}\n\n`, true],
		["lines above it together", `data:${"x".repeat(500)}\ndata:${"x".repeat(500)}\n\n`, false],
		["a line without an end", `:${"x".repeat(size)}`, false],
	])
		for (const [how, pieces] of [...cuts(encode(body))].slice(0, 3)) {
			const { got, error } = await all(stream(answer(pieces, "text/event-stream"), { maxSize: size }))
			assert.equal(error?.code, fits ? undefined : "too_large", `${name}, ${how}`)
			assert.equal(got.length, fits ? 1 : 0, `${name}, ${how}`)
		}
})

// A parser that looked again at what it has would take a thousand times longer for ten
// times as much. Compared is with the work that is needed in any case: to decode it.
test("the time for a line grows with its length", async () => {
	const size = 8 << 20
	const piece = encode("x".repeat(512))
	const pieces = [encode("data:"), ...Array(size / piece.length).fill(piece), encode("\n\n")]
	const began = performance.now()
	const { got } = await all(stream(answer(pieces, "text/event-stream")))
	assert.equal(got[0].data.length, size)
	assert.ok(performance.now() - began < 20_000, "8 MiB in 16384 pieces took more than 20 s")
})
