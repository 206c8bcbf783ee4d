// The official client against a server of its own: it writes, reads and follows, and
// goes on where it was when the server is stopped, or killed, and started again.
import { DurableStream, stream } from "@durable-streams/client"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { directory, serve } from "./server.mjs"

let server, data
beforeAll(async () => {
	data = directory()
	server = await serve("pebble", data.path)
})
afterAll(async () => {
	await server.stop()
	data.remove()
})

/** again starts the server again, at its address and with its data. */
async function again() {
	server = await serve("pebble", data.path, new URL(server.url).host)
}

let streams = 0
const newURL = () => `${server.url}/streams/client/${++streams}`

// How items are written, and how many of them a reader has got of what it was given.
const types = {
	"application/json": {
		encode: (n) => JSON.stringify({ n }),
		subscribe: (res, got) => res.subscribeJson((batch) => void got.push(...batch.items.map((item) => item.n))),
		all: async (res) => (await res.json()).map((item) => item.n),
	},
	"text/plain": {
		encode: (n) => `${n};`,
		subscribe: (res, got) => res.subscribeText((chunk) => void got.push(...numbers(chunk.text))),
		all: async (res) => numbers(await res.text()),
	},
	"application/octet-stream": {
		encode: (n) => new TextEncoder().encode(`${n};`),
		subscribe: (res, got) => res.subscribeBytes((chunk) => void got.push(...numbers(new TextDecoder().decode(chunk.data)))),
		all: async (res) => numbers(new TextDecoder().decode(await res.body())),
	},
}

const numbers = (text) => text.split(";").filter((part) => part !== "").map(Number)

const upTo = (n) => Array.from({ length: n }, (_, i) => i)

/** until waits for a condition. */
async function until(condition) {
	while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe.each(Object.keys(types))("%s", (contentType) => {
	const type = types[contentType]

	/** made returns a stream with count items in it, and the offset behind each. */
	async function made(count) {
		const handle = await DurableStream.create({ url: newURL(), contentType })
		const offsets = []
		for (const n of upTo(count)) {
			await handle.append(type.encode(n))
			offsets.push((await handle.head()).offset)
		}
		return { handle, offsets }
	}

	test("reads what there is, from the start and from each offset", async () => {
		const { handle, offsets } = await made(5)
		expect(await type.all(await stream({ url: handle.url, live: false }))).toEqual(upTo(5))
		for (const [n, offset] of offsets.entries()) {
			const res = await stream({ url: handle.url, offset, live: false })
			expect(await type.all(res)).toEqual(upTo(5).slice(n + 1))
			expect(res.offset).toBe(offsets[4])
		}
	})

	test.each(["long-poll", "sse"])("%s follows to the end, over restarts of the server", async (live) => {
		const { handle, offsets } = await made(5)
		const got = []
		const res = await stream({ url: handle.url, offset: offsets[2], live })
		type.subscribe(res, got)
		let n = 5
		const add = async (count) => {
			for (const last = n + count; n < last; n++) await handle.append(type.encode(n))
			await until(() => got.length === n - 3)
		}
		await add(20)
		await server.stop()
		await again()
		await add(20)
		await server.kill()
		await again()
		await add(20)
		await handle.close()
		await res.closed
		expect(res.streamClosed).toBe(true)
		expect(got).toEqual(upTo(65).slice(3))
		expect(await type.all(await stream({ url: handle.url, live: false }))).toEqual(upTo(65))
	})
})

test("more than one answer has is read whole", async () => {
	const handle = await DurableStream.create({ url: newURL(), contentType: "text/plain" })
	const piece = "x".repeat(100_000)
	for (let i = 0; i < 35; i++) await handle.append(piece)
	for (const live of [false, "long-poll", "sse"]) {
		const res = await stream({ url: handle.url, live })
		expect((await res.text()).length).toBe(35 * piece.length)
	}
})

test("what is removed is an error, and no end", async () => {
	const handle = await DurableStream.create({ url: newURL(), contentType: "text/plain" })
	await handle.append("x")
	for (const live of ["long-poll", "sse"]) {
		await handle.delete().catch(() => {})
		await DurableStream.create({ url: handle.url, contentType: "text/plain", body: "x" })
		const res = await stream({ url: handle.url, live, backoffOptions: { maxRetries: 1 } })
		const got = []
		res.subscribeText((chunk) => void got.push(chunk.text))
		await until(() => got.join("") === "x")
		await handle.delete()
		await expect(res.closed).rejects.toThrow()
		expect(res.streamClosed).toBe(false)
	}
})
