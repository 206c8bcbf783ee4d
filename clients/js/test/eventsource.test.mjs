// LeatEventSource in Node.js: a drop-in for EventSource, and what it does beyond that.
import assert from "node:assert/strict"
import { LeatEventSource } from "../dist/leat.js"
import { cut, encode, events, scripted, status, test, until } from "./kit.mjs"

/** open makes a source that ends with the test, and a log of what it dispatches. */
function open(t, url, options, types = []) {
	const source = new LeatEventSource(url, { retry: 1, ...options })
	t.after(() => source.close())
	const log = []
	for (const type of ["open", "message", "error", ...types]) source.addEventListener(type, (e) => log.push(e))
	return { source, log, names: () => log.map((e) => e.type), data: () => log.filter((e) => "data" in e).map((e) => e.data) }
}

test("it has the members of an EventSource", async (t) => {
	const server = await scripted(t, events("id:7\ndata:1\n\nevent:own\ndata:2\n\n", true))
	const { source, log } = open(t, server.url + "/a?b=c#d", {}, ["own"])
	assert.ok(source instanceof EventTarget)
	assert.deepEqual([LeatEventSource.CONNECTING, LeatEventSource.OPEN, LeatEventSource.CLOSED], [0, 1, 2])
	assert.deepEqual([source.CONNECTING, source.OPEN, source.CLOSED], [0, 1, 2])
	assert.deepEqual([source.url, source.withCredentials, source.readyState], [server.url + "/a?b=c#d", false, 0])
	assert.deepEqual([source.onopen, source.onmessage, source.onerror], [null, null, null])
	let handled
	source.onmessage = () => assert.fail("replaced")
	source.onmessage = function (e) {
		handled = [this, e.data]
	}
	await until(() => log.length === 3)
	assert.deepEqual(handled, [source, "1"])
	const [opened, first, own] = log
	assert.equal(opened.type, "open")
	assert.ok(first instanceof MessageEvent)
	assert.deepEqual([first.type, first.data, first.lastEventId, first.origin], ["message", "1", "7", server.url])
	assert.deepEqual([own.type, own.data, own.lastEventId], ["own", "2", "7"])
	assert.deepEqual([source.readyState, source.lastEventId], [1, "7"])
	const { headers } = server.requests[0]
	assert.deepEqual([headers.accept, headers["cache-control"], headers["last-event-id"]], ["text/event-stream", "no-cache", undefined])
	source.close()
	assert.equal(source.readyState, 2)
	await until(() => server.requests[0].gone)
})

test("what is no URL is a SyntaxError", () => {
	assert.throws(() => new LeatEventSource("http://"), { name: "SyntaxError" })
})

test("nothing is dispatched after close", async (t) => {
	const server = await scripted(t, events("data:1\n\ndata:2\n\n", true))
	const { source, data } = open(t, server.url)
	source.onmessage = () => source.close()
	await until(() => server.requests[0]?.gone)
	assert.deepEqual(data(), ["1"])
})

test("it lets go of a body at once when it is closed within an event", async (t) => {
	// A body may have nothing more to say to who has aborted it, not even an error.
	const gone = await new Promise((cancel) => {
		let pulls = 0
		const pull = (controller) => pulls++ || controller.enqueue(encode("data:1\n\n"))
		const body = new ReadableStream({ pull, cancel }, { highWaterMark: 0 })
		const { source } = open(t, "http://none.example", { fetch: async () => new Response(body, { headers: { "content-type": "text/event-stream" } }) })
		source.onmessage = () => source.close()
	})
	assert.equal(gone, undefined)
})

test("it goes on after the last id, in UTF-8", async (t) => {
	const server = await scripted(t, events("id: …\ndata:1\n\ndata:2\n\n"), cut("id\ndata:3\n\nid:9\ndata:cut\n"), events("data:4\n\n"), status(204))
	const { source, log, data, names } = open(t, server.url)
	await until(() => source.readyState === 2)
	assert.deepEqual(data(), ["1", "2", "3", "4"])
	const ids = server.requests.map((r) => r.headers["last-event-id"] && Buffer.from(r.headers["last-event-id"], "latin1").toString())
	assert.deepEqual(ids, [undefined, "…", undefined, undefined])
	assert.deepEqual(names(), ["open", "message", "message", "error", "open", "message", "error", "open", "message", "error", "error"])
	const errors = log.filter((e) => e.type === "error")
	assert.ok(errors.slice(0, -1).every((e) => e.delay >= 100 && e.error.code))
	assert.deepEqual([errors.at(-1).delay, errors.at(-1).status], [undefined, 204])
})

test("the first id can be given", async (t) => {
	const server = await scripted(t, status(204))
	const { source } = open(t, server.url, { lastEventId: "5" })
	assert.equal(source.lastEventId, "5")
	await until(() => source.readyState === 2)
	assert.equal(server.requests[0].headers["last-event-id"], "5")
})

test("what the server may mend is tried again, all else is final and told", async (t) => {
	for (const code of [429, 500, 502, 503, 504]) {
		const server = await scripted(t, status(code, {}, "later"), events("data:1\n\n", true))
		const { log, names } = open(t, server.url)
		await until(() => log.length === 3)
		assert.deepEqual(names(), ["error", "open", "message"], code)
		assert.deepEqual([log[0].status, log[0].body], [code, "later"])
	}
	for (const [code, headers] of [[204], [205], [299], [400], [404], [410], [200, { "content-type": "text/x-bogus" }], [206, { "content-type": "text/event-stream" }]]) {
		const server = await scripted(t, status(code, headers, code > 206 ? "never" : ""))
		const { source, log, names } = open(t, server.url)
		await until(() => source.readyState === 2)
		assert.deepEqual([names(), server.requests.length], [["error"], 1], code)
		assert.deepEqual([log[0].status, log[0].delay, log[0].body], [code, undefined, code >= 400 ? "never" : ""])
	}
})

test("a first connection that fails is made again", async (t) => {
	const server = await scripted(t, (q) => q.socket.destroy(), events("data:1\n\n", true))
	const { names } = open(t, server.url)
	await until(() => names().includes("message"))
	assert.deepEqual(names(), ["error", "open", "message"])
})

test("redirects are followed, and the origin is that of the end", async (t) => {
	const end = await scripted(t, events("data:1\n\n", true))
	for (const code of [301, 302, 303, 307]) {
		const server = await scripted(t, status(code, { location: end.url + "/x" }))
		const { log } = open(t, server.url)
		await until(() => log.length === 2)
		assert.equal(log[1].origin, end.url)
	}
})

test("method, headers and body; a POST is repeated only if asked", async (t) => {
	const server = await scripted(t, events("data:1\n\n"))
	const once = open(t, server.url, { method: "POST", body: "ask", headers: { "x-y": "z" } })
	await until(() => once.source.readyState === 2)
	assert.deepEqual([once.names(), server.requests.length], [["open", "message", "error"], 1])
	const [{ method, text, headers }] = server.requests
	assert.deepEqual([method, text, headers["x-y"]], ["POST", "ask", "z"])

	const again = open(t, server.url, { method: "REPORT", body: "ask", repeat: true })
	await until(() => again.data().length === 2)
	assert.deepEqual(server.requests.slice(1, 3).map((r) => [r.method, r.text]), [["REPORT", "ask"], ["REPORT", "ask"]])
})

test("gaps and ends are told, and after an end it does not come back", async (t) => {
	const gap = '{"reason":"trimmed","asked":"a","next":"b"}'
	const end = '{"topic":"t","state":"error","reason":"disk full"}'
	const server = await scripted(t, events(`id:b\nevent:leat.gap\ndata:${gap}\n\nid:c\nevent:leat.end\ndata:${end}\n\n`))
	const { source, log } = open(t, server.url, {}, ["leat.gap"])
	const told = []
	source.ongap = (e) => told.push(e.gap)
	source.onend = (e) => told.push(e.end)
	await until(() => source.readyState === 2)
	assert.deepEqual(told, [JSON.parse(gap), JSON.parse(end)])
	assert.equal(log.find((e) => e.type === "leat.gap").data, gap)
	assert.equal(server.requests.length, 1)
})

test("who has an end of one topic and is told to come back does so", async (t) => {
	const server = await scripted(t, events(`id:c\nevent:leat.end\ndata:{"topic":"t","state":"complete"}\n\nretry: 100\n\n`), status(204))
	const { source } = open(t, server.url)
	await until(() => source.readyState === 2)
	assert.equal(server.requests.length, 2)
})

// --- how long it waits: time and chance are those of the test

/** quick makes timers end at once, and chance come as it is told, for the length of the test. */
function quick(t, chance) {
	const { setTimeout } = globalThis
	const { random } = Math
	globalThis.setTimeout = (f) => setTimeout(f, 0)
	Math.random = () => chance
	t.after(() => {
		globalThis.setTimeout = setTimeout
		Math.random = random
	})
}

/** delays returns the first n delays that a source tells. Its answers come from no network. */
async function delays(n, options, ...answers) {
	const told = []
	const fetch = async () => (answers.length > 1 ? answers.shift() : answers[0])()
	const source = new LeatEventSource("http://leat.test", { stall: 0, fetch, ...options })
	source.onerror = (e) => {
		told.push(e.delay)
		if (told.length === n) source.close()
	}
	while (source.readyState !== 2) await new Promise(setImmediate)
	return { told }
}

const refused =
	(headers = {}) =>
	() =>
		new Response("later", { status: 503, headers })

const brings = (text) => () => new Response(text, { headers: { "content-type": "text/event-stream" } })

test("silence ends a connection, and any byte breaks it", async (t) => {
	// Silence is over when the test says so.
	const stall = 1234
	const { setTimeout, clearTimeout } = globalThis
	const waiting = new Map()
	globalThis.setTimeout = (f, delay) => {
		const timer = setTimeout(delay === stall ? () => {} : f, delay === stall ? 1e6 : 0)
		if (delay === stall) waiting.set(timer, f)
		return timer
	}
	globalThis.clearTimeout = (timer) => {
		waiting.delete(timer)
		clearTimeout(timer)
	}
	t.after(() => Object.assign(globalThis, { setTimeout, clearTimeout }))
	const turn = () => new Promise(setImmediate)
	const armed = async () => {
		while (waiting.size !== 1) await turn()
		return waiting.entries().next().value
	}

	const requests = []
	let body
	const fetch = async (request) => {
		const silent = new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)))
		silent.catch(() => {})
		if (requests.push(request) === 2) return silent // no answer at all
		const stream = new ReadableStream({ start: (c) => (body = c) })
		silent.catch((e) => body.error(e))
		return new Response(stream, { headers: { "content-type": "text/event-stream" } })
	}
	const source = new LeatEventSource("http://leat.test", { stall, fetch })
	t.after(() => source.close())
	const log = []
	for (const type of ["open", "message", "error"]) source.addEventListener(type, (e) => log.push(e))

	while (!body) await turn()
	for (const byte of encode("id:1\ndata:1\n\n:")) {
		const [before] = await armed()
		body.enqueue(new Uint8Array([byte]))
		while ((await armed())[0] === before) await turn()
	}
	for (let n = 0; n < 2; n++) {
		const [timer, end] = await armed()
		end()
		while (waiting.has(timer)) await turn()
	}
	while (requests.length < 3) await turn()
	assert.deepEqual(log.map((e) => e.type), ["open", "message", "error", "error", "open"].slice(0, log.length))
	assert.match(log[2].error.message, /nothing arrived for 1234 ms/)
	assert.match(log[3].error.message, /nothing arrived for 1234 ms/)
	assert.deepEqual(requests.map((r) => r.headers.get("last-event-id")), [null, "1", "1"])
	assert.ok(requests[0].signal.aborted && requests[1].signal.aborted && !requests[2].signal.aborted)
})

for (const [name, chance, want] of [
	["at the least", 0, Array(9).fill(100)],
	["at the most", 1, [2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000, 30000]],
	["in the middle", 0.5, [1050, 2050, 4050, 8050, 15050, 15050, 15050, 15050, 15050]],
])
	test(`the waits of failures in a row, ${name}`, async (t) => {
		quick(t, chance)
		assert.deepEqual((await delays(9, {}, refused())).told, want)
	})

test("connections that bring something begin anew", async (t) => {
	quick(t, 1)
	const { told } = await delays(5, {}, refused(), refused(), brings("data:1\n\n"), refused())
	assert.deepEqual(told, [2000, 4000, 2000, 4000, 8000])
})

for (const [name, headers, want] of [
	["seconds", { "retry-after": "120" }, [120_000, 180_000]],
	["of no time", { "retry-after": "0" }, [100, 2000]],
	["that make no sense", { "retry-after": "soon" }, [100, 2000]],
	["beyond all bounds", { "retry-after": "99999999999" }, [24 * 3600e3, 24 * 3600e3]],
])
	test(`Retry-After: ${name}`, async (t) => {
		for (const chance of [0, 1]) {
			quick(t, chance)
			assert.deepEqual((await delays(1, {}, refused(headers))).told, [want[chance]])
		}
	})

test("Retry-After: a date", async (t) => {
	quick(t, 0)
	const [delay] = (await delays(1, {}, refused({ "retry-after": new Date(Date.now() + 100_000).toUTCString() }))).told
	assert.ok(delay > 50_000 && delay <= 100_000, `${delay}`)
})

for (const [retry, want] of [
	["03000", [3000, 6000]],
	["0", [100, 200]],
	["99999999999", [24 * 3600e3, 24 * 3600e3]],
	["1000x", [100, 10_000]],
	["-1", [100, 10_000]],
	["", [100, 10_000]],
])
	test(`retry: ${retry}`, async (t) => {
		for (const chance of [0, 1]) {
			quick(t, chance)
			assert.deepEqual((await delays(1, { retry: 5000 }, brings(`retry:${retry}\n`))).told, [want[chance]])
		}
	})
