import assert from "node:assert/strict"
import { publish } from "../dist/leat.js"
import { scripted, status, test } from "./kit.mjs"

const stored = status(200, { "content-type": "application/json" }, '{"id":"x","topic":"a"}')

test("a value is JSON, text and bytes are what they are", async (t) => {
	const server = await scripted(t, stored)
	for (const [data, body, type] of [
		["text", "text", /^text\/plain/],
		[{ a: [1] }, '{"a":[1]}', /^application\/json$/],
		[null, "null", /^application\/json$/],
		[new Uint8Array([65, 66]), "AB", /^$/],
		[new Blob(["x"], { type: "image/png" }), "x", /^image\/png$/],
	]) {
		assert.deepEqual(await publish(server.url + "/events?topic=a", data, { type: "price", key: "k" }), { id: "x", topic: "a" })
		const { url, text, headers, method } = server.requests.at(-1)
		assert.deepEqual([method, url, text], ["POST", "/events?topic=a&type=price&key=k", body])
		assert.match(headers["content-type"] ?? "", type)
	}
	await publish(server.url, "x", { contentType: "text/csv" })
	assert.equal(server.requests.at(-1).headers["content-type"], "text/csv")
})

test("a repeated request has the same key, and another one another", async (t) => {
	const server = await scripted(t, (q) => q.socket.destroy(), status(503, { "retry-after": "0" }), stored)
	for (let n = 0; n < 2; n++) await publish(server.url, "x")
	const keys = server.requests.map((r) => new URL(r.url, server.url).searchParams.get("key"))
	assert.equal(keys.length, 4)
	assert.equal(new Set(keys.slice(0, 3)).size, 1)
	assert.notEqual(keys[2], keys[3])
	assert.ok(keys[0].length > 20)
})

test("a producer says which request it is, and needs no key", async (t) => {
	const server = await scripted(t, status(503), status(204))
	assert.deepEqual(await publish(server.url + "/streams/a", "x", { producer: { id: "p", epoch: 1, seq: 0 } }), {})
	for (const { url, headers } of server.requests) {
		assert.equal(url, "/streams/a")
		assert.deepEqual([headers["producer-id"], headers["producer-epoch"], headers["producer-seq"]], ["p", "1", "0"])
	}
})

test("a refusal is not repeated", async (t) => {
	const server = await scripted(t, status(409, { "content-type": "application/problem+json" }, '{"code":"content_type_mismatch","detail":"no"}'))
	await assert.rejects(publish(server.url, "x"), { name: "LeatError", code: "content_type_mismatch", status: 409 })
	assert.equal(server.requests.length, 1)
})

test("it ends with its signal, and after so many failures", async (t) => {
	const server = await scripted(t, status(503))
	await assert.rejects(publish(server.url, "x", { maxFailures: 1 }), { status: 503 })
	assert.equal(server.requests.length, 2)
	await assert.rejects(publish(server.url, "x", { signal: AbortSignal.abort(new Error("enough")) }), /enough/)
})
