// In Node.js, against a Leat that is killed and started again meanwhile.
import assert from "node:assert/strict"
import { LeatEventSource, publish, stream } from "../dist/leat.js"
import { test, until } from "./kit.mjs"
import { start, withoutLeat } from "./leat.mjs"

const skip = withoutLeat()
const upTo = (n) => Array.from({ length: n }, (_, i) => i)

test("nothing is lost or repeated when the server is killed", { skip }, async (t) => {
	const server = await start(t)
	const events = server.url + "/events?topic=news&from=start"
	const json = server.url + "/streams/news"
	const log = server.url + "/streams/log"
	const half = 40
	await publish(json.replace("/streams/news", "/events?topic=news"), 0)
	await publish(server.url + "/events?topic=log", "0;")

	// The same records, read in each way that goes on.
	const got = { source: [], sse: [], ndjson: [], text: "" }
	const source = new LeatEventSource(events)
	source.onmessage = (e) => got.source.push(+e.data)
	t.after(() => source.close())
	const readers = [
		(async () => {
			for await (const e of stream(json, { as: "sse" })) if (e.type === "message") got.sse.push(+e.data)
		})(),
		(async () => {
			for await (const r of stream(json, { as: "ndjson" })) if (r.topic) got.ndjson.push(r.data)
		})(),
		(async () => {
			for await (const piece of stream(log + "?follow=1", { as: "text", headers: { accept: "text/plain" } })) got.text += piece
		})(),
	]
	const numbers = () => [got.source, got.sse, got.ndjson, got.text.split(";").slice(0, -1).map(Number)]
	const arrived = (n) => until(() => numbers().every((list) => list.length >= n))

	for (let n = 1; n < 2 * half; n++) {
		await publish(server.url + "/events?topic=news", n)
		await publish(log, `${n};`)
		if (n === half) {
			await arrived(half / 2)
			await server.again()
		}
	}
	await arrived(2 * half)
	for (const list of numbers()) assert.deepEqual(list, upTo(2 * half))

	// All that read one stream are told its end, and their loops end.
	for (const url of [json, log]) await fetch(url, { method: "POST", headers: { "stream-closed": "true" } })
	await Promise.all(readers)
})

test("a stream that ends empty, or breaks off, is read as such", { skip }, async (t) => {
	const server = await start(t, "--store", "memory")
	const make = (url, method, headers, body) => fetch(url, { method, body, headers: { "content-type": "text/plain", ...headers } })
	for (const [name, follow] of [["a", ""], ["b", "?follow=1"]]) {
		const url = `${server.url}/streams/${name}`
		await make(url, "PUT", { "stream-closed": "true" })
		for await (const piece of stream(url + follow, { as: "text" })) assert.fail(piece)
		await make(url + "c", "PUT", {}, "x")
		await make(url + "c", "POST", { "stream-closed": "true", "leat-end": "error" })
		await assert.rejects(async () => {
			for await (const piece of stream(url + "c" + follow, { as: "text", retry: 1 })) assert.equal(piece, "x")
		}, { code: "truncated" })
	}
})

test("a JSON stream is an array, and an answer of a poll is one value", { skip }, async (t) => {
	const server = await start(t, "--store", "memory")
	for (const n of upTo(3)) await publish(server.url + "/events?topic=a", { n })
	const items = []
	for await (const item of stream(server.url + "/streams/a")) items.push(item.n)
	assert.deepEqual(items, [0, 1, 2])
	for await (const answer of stream(server.url + "/events?topic=a&from=start", { as: "json" })) assert.equal(answer.events.length, 3)
})

test("a refusal has what the server says", { skip }, async (t) => {
	const server = await start(t, "--store", "memory")
	await assert.rejects(publish(server.url + "/events?topic=a//b", "x"), { code: "invalid_name", status: 400 })
	await assert.rejects(stream(server.url + "/events", { as: "sse" }).next(), { code: "no_topic", status: 400 })
	await assert.rejects(stream(server.url + "/streams/none").next(), { code: "not_found", status: 404 })
})

test("a record is stored once, however often it is sent", { skip }, async (t) => {
	const server = await start(t, "--store", "memory")
	// Each request is sent twice: the first answer does not arrive.
	let first = true
	const twice = async (request) => {
		const response = await fetch(request)
		first = !first
		if (!first) throw new TypeError("lost")
		return response
	}
	const receipt = await publish(server.url + "/events?topic=a", "x", { fetch: twice })
	assert.equal(receipt.duplicate, true)
	for (const seq of upTo(3)) await publish(server.url + "/streams/a", "y", { fetch: twice, producer: { id: "p", epoch: 1, seq } })
	let text = ""
	for await (const piece of stream(server.url + "/streams/a")) text += piece
	assert.equal(text, "xyyy")
})
