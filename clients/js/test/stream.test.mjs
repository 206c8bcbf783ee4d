// stream: lines, arrays and bytes, what is resumed, and that nothing which was cut ends well.
import assert from "node:assert/strict"
import { LeatError, stream } from "../dist/leat.js"
import { all, answer, cut, cuts, encode, events, scripted, status, test, until } from "./kit.mjs"

const every = (body) => cuts(encode(body))
const id = (n) => `0000000000000001_${String(n).padStart(16, "0")}`
const ndjson = { "content-type": "application/x-ndjson" }

// --- lines

for (const [name, body, want, code] of [
	["lines", '{"a":1}\n\n[2]\r\n"ä😀"\n \n3\n', [{ a: 1 }, [2], "ä😀", 3]],
	["the last line feed may be missing", '{"a":1}\n{"b":2}', [{ a: 1 }, { b: 2 }]],
	["U+2028 and U+0085 are text", '"a\u2028b\u0085c"\n', ["a\u2028b\u0085c"]],
	["a line that is cut", '{"a":1}\n{"b":', [{ a: 1 }], "truncated"],
	["a number that may be cut", "1\n2", [1], "truncated"],
	["a line that is wrong", '{"a":1}\n{oops}\n{"c":3}\n', [{ a: 1 }], "invalid_line"],
])
	test(`ndjson: ${name}`, async () => {
		for (const [how, pieces] of every(body))
			for (const type of ["application/x-ndjson", "application/jsonl"]) {
				const { got, error } = await all(stream(answer(pieces, type)))
				assert.deepEqual(got, want, how)
				assert.equal(error?.code, code, how)
				if (code === "invalid_line") assert.equal(error.line, 2)
			}
	})

test("ndjson: a wrong line is told with its number, and the rest is read", async () => {
	const wrong = []
	const { got } = await all(stream(answer([encode("1\n\n{oops}\n3\nno\n")], "application/x-ndjson"), { onInvalid: (e) => wrong.push([e.line, e.body]) }))
	assert.deepEqual(got, [1, 3])
	assert.deepEqual(wrong, [[2, "{oops}"], [4, "no"]])
})

test("ndjson of a Leat server goes on after the last id, and ends with the stream", async (t) => {
	const line = (n) => `{"id":"${id(n)}","topic":"t","time":"2026-11-26T00:00:00Z","data":${n}}\n`
	const server = await scripted(
		t,
		cut(`{"id":"${id(0)}"}\n${line(1)}\n{"id":"${id(5)}"}\n{"id":"${id(6)}","topic`, ndjson),
		cut(`{"id":"${id(5)}"}\n${line(6)}`, ndjson),
		(_, r) => r.writeHead(200, ndjson).end(`{"id":"${id(6)}"}\n{"id":"${id(6)}","gap":{"reason":"trimmed"}}\n${line(8)}{"id":"${id(8)}","retry":100}\n`),
		(_, r) => r.writeHead(200, ndjson).end(`{"id":"${id(8)}"}\n{"id":"${id(9)}","end":{"topic":"t","state":"complete"}}\n`),
		status(500),
	)
	const items = stream(server.url, { as: "ndjson", retry: 1 })
	const { got, error } = await all(items)
	assert.equal(error, undefined)
	assert.deepEqual(got.map((o) => o.data ?? o.gap?.reason ?? o.end?.state), [1, 6, "trimmed", 8, "complete"])
	assert.deepEqual(server.requests.map((r) => r.headers["last-event-id"]), [undefined, id(5), id(6), id(8)])
	assert.equal(items.place.lastEventId, id(9))
	assert.ok(server.requests.every((r) => r.headers.accept === "application/x-ndjson"))
})

test("ndjson of another server that breaks off is an error, and is not asked for again", async (t) => {
	const server = await scripted(t, cut('{"id":"x"}\n{"n":1}\n', ndjson))
	const { got, error } = await all(stream(server.url, { retry: 1 }))
	assert.deepEqual(got, [{ id: "x" }, { n: 1 }])
	assert.equal(error.code, "truncated")
	assert.equal(server.requests.length, 1)
})

// --- JSON arrays

for (const [name, body, want, code] of [
	["elements", '[1,"a]\\"[,",{"x":[1,{"y":"}"}]},null,[],[[2]],true,-1.5e3]', [1, 'a]"[,', { x: [1, { y: "}" }] }, null, [], [[2]], true, -1500]],
	["white space", ' \n[ 1 ,\t\r\n {"a" : "ä😀"} ] \n', [1, { a: "ä😀" }]],
	["no element", "[ ]", []],
	["an object is one value", ' {"a":[1,2]} ', [{ a: [1, 2] }]],
	["a number is one value", "42", [42]],
	["no bracket at the end", "[1,2", [1], "truncated"],
	["cut after an element", "[1,2,", [1, 2], "truncated"],
	["cut inside a string", '["a","b', ["a"], "truncated"],
	["cut inside an object", '{"a":', [], "truncated"],
	["nothing", "", [], "truncated"],
	["an element that is wrong", "[1,oops,3]", [1], "invalid_body"],
	["no element before the bracket", "[1,]", [1], "invalid_body"],
	["no element before a comma", "[,1]", [], "invalid_body"],
	["a brace without one", "[1}", [], "invalid_body"],
	["something behind it", "[1] 2", [1], "invalid_body"],
])
	test(`json: ${name}`, async () => {
		for (const [how, pieces] of every(body)) {
			const { got, error } = await all(stream(answer(pieces, "application/problem+json")))
			assert.deepEqual(got, want, how)
			assert.equal(error?.code, code, how)
		}
	})

test("json: an element is there before the next", async () => {
	let more
	const body = new ReadableStream({ start: (c) => (more = c) })
	const items = stream(new Response(body), { as: "json" })
	for (const n of [1, 2, 3]) {
		more.enqueue(encode(n === 1 ? "[1," : `{"n":${n}},`))
		assert.deepEqual((await items.next()).value, n === 1 ? 1 : { n })
	}
	await items.return()
})

test("json: the largest element", async () => {
	const element = (n) => `"${"x".repeat(n - 2)}"`
	for (const [n, code] of [[100, undefined], [101, "too_large"]])
		for (const size of [1, 50]) {
			const bytes = encode(`[${element(n)}]`.slice(0, -1))
			const pieces = []
			for (let i = 0; i < bytes.length; i += size) pieces.push(bytes.subarray(i, i + size))
			assert.equal((await all(stream(answer([...pieces, encode("]")], "application/json"), { maxSize: 100 }))).error?.code, code)
		}
})

test("json that breaks off is an error", async (t) => {
	const server = await scripted(t, cut("[1,2", { "content-type": "application/json" }))
	const { got, error } = await all(stream(server.url))
	assert.deepEqual([got, error.code, server.requests.length], [[1], "truncated", 1])
})

// --- bytes

const content = Uint8Array.from({ length: 1000 }, (_, i) => i * 7)
const binary = { "content-type": "application/octet-stream", etag: '"v1"' }
const join = (chunks) => Buffer.concat(chunks)

/** rest is a step: what the Range of the request asks for, cut after most bytes. */
const rest = (most = Infinity, headers) => (request, response) => {
	const from = +/^bytes=(\d+)-$/.exec(request.headers.range)[1]
	const whole = content.length - from <= most
	response.writeHead(206, { ...binary, "content-range": `bytes ${from}-999/1000`, ...headers })
	response.write(content.subarray(from, from + most), () => (whole ? response.end() : response.destroy()))
}

test("bytes go on by Range and If-Range, and tell their progress", async (t) => {
	const server = await scripted(t, cut(content.subarray(0, 300), { ...binary, "content-length": 1000 }), rest(200), status(503), rest())
	const progress = []
	const items = stream(server.url, { as: "bytes", retry: 1, onProgress: (p) => progress.push([p.position, p.total]) })
	const { got, error } = await all(items)
	assert.equal(error, undefined)
	assert.deepEqual(join(got), Buffer.from(content))
	assert.deepEqual(server.requests.map((r) => r.headers.range), [undefined, "bytes=300-", "bytes=500-", "bytes=500-"])
	assert.ok(server.requests.slice(1).every((r) => r.headers["if-range"] === '"v1"'))
	assert.deepEqual(progress.at(-1), [1000, 1000])
	assert.ok(progress.every(([, total]) => total === 1000))
})

test("bytes go on where an earlier reader stopped, perhaps at the end", async (t) => {
	const server = await scripted(t, rest(), status(416, { "content-range": "bytes */1000" }))
	const { got } = await all(stream(server.url, { as: "bytes", resume: { position: 990, etag: '"v1"' } }))
	assert.deepEqual(join(got), Buffer.from(content.subarray(990)))
	assert.deepEqual(await all(stream(server.url, { as: "bytes", resume: { position: 1000, etag: '"v1"' } })), { got: [] })
	assert.equal(server.requests[1].headers.range, "bytes=1000-")
})

for (const [name, second, code] of [
	["other content", (_, r) => r.writeHead(200, { ...binary, etag: '"v2"' }).end(content), "changed"],
	["another range", (_, r) => r.writeHead(206, { ...binary, "content-range": "bytes 0-999/1000" }).end(content), "changed"],
	["less than there was", status(416, { "content-range": "bytes */100" }), "unexpected_answer"],
	["a gap", status(410, { "content-type": "application/problem+json" }, '{"code":"gap","detail":"gone"}'), "gap"],
])
	test(`bytes: ${name} is an error`, async (t) => {
		const server = await scripted(t, cut(content.subarray(0, 300), { ...binary, "content-length": 1000 }), second)
		const { got, error } = await all(stream(server.url, { retry: 1 }))
		assert.deepEqual(join(got), Buffer.from(content.subarray(0, 300)))
		assert.deepEqual([error.code, server.requests.length], [code, 2])
	})

for (const [name, headers] of [
	["without an ETag", { etag: "" }],
	["with a weak one", { etag: 'W/"v1"' }],
])
	test(`bytes ${name} that break off are an error`, async (t) => {
		const server = await scripted(t, cut(content.subarray(0, 300), { ...binary, ...headers, "content-length": 1000 }))
		const { error } = await all(stream(server.url, { retry: 1 }))
		assert.deepEqual([error.code, server.requests.length], ["truncated", 1])
	})

test("bytes of a stream that broke off itself are an error in the end", async (t) => {
	const ended = { "leat-end": "error", "content-range": "bytes 300-299/*" }
	const server = await scripted(t, cut(content.subarray(0, 300), binary), cut("", { ...binary, ...ended }))
	const { got, error } = await all(stream(server.url, { retry: 1 }))
	assert.deepEqual([join(got).length, error.code, server.requests.length], [300, "truncated", 2])
	assert.match(error.message, /error/)
})

test("fewer bytes than the length says are an error, whatever fetch makes of it", async () => {
	const { error } = await all(stream(answer([content.subarray(0, 300)], "x/y", { headers: { "content-type": "x/y", "content-length": "301" } })))
	assert.equal(error.code, "truncated")
})

test("where a cut looks like the end, as in Node.js, it is asked whether that was all", async (t) => {
	const closing = { ...binary, "accept-ranges": "bytes", connection: "close" }
	const at = (n) => status(416, { "content-range": `bytes */${n}` })
	for (const [name, end, steps] of [
		["a cut", 1000, [cut(content.subarray(0, 300), closing), rest(Infinity, closing), at(1000)]],
		["a cut before the first byte", 1000, [cut("", closing), rest(Infinity, closing), at(1000)]],
		["an end", 300, [(_, r) => r.writeHead(200, closing).end(content.subarray(0, 300)), at(300)]],
		["nothing", 0, [(_, r) => r.writeHead(200, closing).flushHeaders() ?? r.end(), at(0)]],
		["no byte, by its length", 0, [(_, r) => r.writeHead(200, { ...closing, "content-length": 0 }).end()]],
	]) {
		const server = await scripted(t, ...steps)
		const { got, error } = await all(stream(server.url, { retry: 1 }))
		assert.deepEqual([join(got).length, error, server.requests.length], [end, undefined, steps.length], name)
	}
})

test("text is cut between characters, over connections too", async (t) => {
	const text = encode("aä😀b")
	const plain = { "content-type": "text/plain", etag: '"t"' }
	for (const [how, pieces] of cuts(text)) assert.equal((await all(stream(answer(pieces, "text/plain")))).got.join(""), "aä😀b", how)
	for (let i = 1; i < text.length; i++) {
		const server = await scripted(t, cut(text.subarray(0, i), plain), (_, r) => r.writeHead(206, { ...plain, "content-range": `bytes ${i}-7/8` }).end(text.subarray(i)))
		const { got, error } = await all(stream(server.url, { retry: 1 }))
		assert.deepEqual([got.join(""), error], ["aä😀b", undefined], `cut at ${i}`)
	}
	assert.equal((await all(stream(answer([text.subarray(0, 2)], "text/plain")))).error.code, "truncated")
})

// --- any form

test("what a body is follows from its content type", async () => {
	for (const [type, body, want] of [
		["text/event-stream;charset=utf-8", "data:1\n\n", { type: "message", data: "1", id: "" }],
		["application/json; x=y", "[1]", 1],
		["application/stream+json", "1\n", 1],
		["text/plain", "1", "1"],
		["image/png", "1", encode("1")],
	])
		assert.deepEqual((await all(stream(answer([encode(body)], type)))).got, [want], type)
})

test("an answer that is no event stream is an error", async (t) => {
	const server = await scripted(t, (_, r) => r.writeHead(200, { "content-type": "text/html" }).end("<p>"))
	const { error } = await all(stream(server.url, { as: "sse" }))
	assert.deepEqual([error.code, error.status, server.requests.length], ["unexpected_answer", 200, 1])
	assert.match(error.message, /text\/html/)
})

test("a refusal has its status, its body and what the server says", async (t) => {
	const problem = { status: 400, title: "Bad Request", code: "invalid_name", detail: "no", advice: "Do this." }
	const server = await scripted(t, status(400, { "content-type": "application/problem+json" }, JSON.stringify(problem)), status(418, {}, "I am a teapot\nreally"))
	for (const want of [
		{ code: "invalid_name", status: 400, body: JSON.stringify(problem), problem, message: `${server.url}/ answered 400: no. Do this.` },
		{ code: "unexpected_answer", status: 418, body: "I am a teapot\nreally", problem: undefined, message: `${server.url}/ answered 418: I am a teapot` },
	]) {
		const { error } = await all(stream(server.url + "/"))
		assert.ok(error instanceof LeatError)
		for (const name in want) assert.deepEqual(error[name], want[name], name)
	}
})

test("a POST is not repeated unasked", async (t) => {
	for (const first of [events("data:1\n\n"), cut("data:1\n\n"), status(503), (q) => q.socket.destroy()]) {
		const server = await scripted(t, first)
		const { got, error } = await all(stream(server.url, { as: "sse", method: "POST", body: "ask", retry: 1 }))
		assert.equal(server.requests.length, 1)
		assert.equal(server.requests[0].text, "ask")
		assert.ok(error || got.length === 1)
	}
	const server = await scripted(t, events("id:1\ndata:1\n\n"), status(204))
	const { got } = await all(stream(server.url, { as: "sse", method: "POST", body: "ask", repeat: true, retry: 1 }))
	assert.equal(got.length, 1)
	assert.deepEqual(server.requests.map((r) => [r.method, r.text, r.headers["last-event-id"]]), [["POST", "ask", undefined], ["POST", "ask", "1"]])
})

test("a GET with repeat: false is read once", async (t) => {
	const server = await scripted(t, events("data:1\n\n"))
	assert.equal((await all(stream(server.url, { repeat: false }))).got.length, 1)
	assert.equal(server.requests.length, 1)
})

test("leaving the loop closes the connection", async (t) => {
	const server = await scripted(t, events("data:1\n\ndata:2\n\n", true))
	for await (const _ of stream(server.url)) break
	await until(() => server.requests[0].gone)
})

test("an AbortSignal ends it with its reason, cancel without one", async (t) => {
	const server = await scripted(t, events("data:1\n\n", true))
	const abort = new AbortController()
	const items = stream(server.url, { signal: abort.signal })
	await items.next()
	const next = items.next()
	abort.abort(new Error("enough"))
	await assert.rejects(next, /enough/)
	await until(() => server.requests[0].gone)

	const others = stream(server.url)
	await others.next()
	const last = others.next()
	others.cancel()
	assert.deepEqual(await last, { value: undefined, done: true })
	await until(() => server.requests[1].gone)

	await assert.rejects(stream(server.url, { signal: AbortSignal.abort(new Error("before")) }).next(), /before/)
	assert.equal(server.requests.length, 2)
})

test("an AbortSignal ends a wait", async (t) => {
	const server = await scripted(t, status(503))
	const abort = new AbortController()
	const items = stream(server.url, { signal: abort.signal, retry: 1e6, onWait: () => abort.abort(new Error("enough")) })
	await assert.rejects(items.next(), /enough/)
})

test("headers are made for each attempt, and an error in that is handed back", async (t) => {
	const server = await scripted(t, events("id:1\ndata:1\n\n"), events("data:2\n\n"))
	let n = 0
	const items = stream(server.url, {
		retry: 1,
		headers: async () => {
			if (n === 2) throw new RangeError("no token")
			return { authorization: `t${n++}` }
		},
	})
	const { error } = await all(items)
	assert.ok(error instanceof RangeError)
	assert.deepEqual(server.requests.map((r) => r.headers.authorization), ["t0", "t1"])
})

test("the place is that of the item that is dealt with", async () => {
	const items = stream(answer([encode("id:1\ndata\n\nid:2\ndata\n\nid:3\n\n")], "text/event-stream"))
	const places = []
	for await (const _ of items) places.push(items.place.lastEventId)
	assert.deepEqual(places, ["1", "3"])
	assert.equal(items.place.lastEventId, "3")
})

test("a download that gets on with each connection is none that fails", async (t) => {
	const whole = "0123456789"
	// Each answer breaks off after a byte that has been read.
	let read = 0
	const server = await scripted(t, async (q, r) => {
		const from = +(/\d+/.exec(q.headers.range)?.[0] ?? 0)
		r.writeHead(from ? 206 : 200, { etag: '"1"', "content-length": whole.length - from, ...(from && { "content-range": `bytes ${from}-9/10` }) })
		r.write(whole[from])
		await until(() => read > from)
		r.destroy()
	})
	const got = []
	const failed = []
	try {
		for await (const piece of stream(server.url, { as: "bytes", retry: 1, maxFailures: 2, onWait: (e) => failed.push(e) })) {
			got.push(...piece)
			read += piece.length
		}
	} catch (e) {
		assert.fail(e)
	}
	assert.equal(String.fromCharCode(...got), whole)
	assert.ok(failed.length >= 9)
})

test("it gives up after so many failures in a row", async (t) => {
	const server = await scripted(t, status(502, {}, "bad"))
	const waits = []
	const { error } = await all(stream(server.url, { maxFailures: 2, retry: 1, onWait: (e, delay) => waits.push([e.status, delay > 0]) }))
	assert.deepEqual([error.status, error.body, server.requests.length], [502, "bad", 3])
	assert.deepEqual(waits, [[502, true], [502, true]])
})
