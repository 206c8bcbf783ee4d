// What the tests share: bodies cut into pieces, and a server that answers by a script.
import { createServer } from "node:http"
import { test as unlimited } from "node:test"

const patience = 90_000 // for what must come: it is the test that failed if it is over

/** test is that of node:test, with an end in any case. */
export const test = (name, ...args) => unlimited(name, { timeout: patience, ...(args.length > 1 ? args[0] : {}) }, args.at(-1))

/** encode makes bytes of text. */
export const encode = (text) => new TextEncoder().encode(text)

/** cuts yields a body in all the ways that a test wants it cut: whole, in pieces of 1, 2 and 3 bytes, and in two everywhere. */
export function* cuts(bytes) {
	yield ["whole", [bytes]]
	for (const size of [1, 2, 3]) {
		const pieces = []
		for (let i = 0; i < bytes.length; i += size) pieces.push(bytes.subarray(i, i + size))
		yield [`in pieces of ${size}`, pieces]
	}
	for (let i = 1; i < bytes.length; i++) yield [`cut at ${i}`, [bytes.subarray(0, i), bytes.subarray(i)]]
}

/** answer makes a response of pieces. */
export function answer(pieces, contentType, init) {
	const left = [...pieces]
	const body = new ReadableStream({
		pull(controller) {
			if (left.length) controller.enqueue(left.shift())
			else controller.close()
		},
	})
	return new Response(body, { headers: { "content-type": contentType }, ...init })
}

/** all reads items to their end, and returns them and the error that they end with. */
export async function all(items) {
	const got = []
	try {
		for await (const item of items) got.push(item)
	} catch (error) {
		return { got, error }
	}
	return { got }
}

/** until waits for a condition, which may take a while itself. */
export async function until(condition) {
	const began = performance.now()
	while (!(await condition())) {
		if (performance.now() - began > patience) throw new Error(`this does not become true: ${condition}`)
		await new Promise((resolve) => setTimeout(resolve, 2))
	}
}

/**
 * scripted starts a server that answers request n, from 0, with its n-th step, and all
 * later ones with the last. A step is called with the request, whose body has been read,
 * and the response. It ends with the test t.
 */
export async function scripted(t, ...steps) {
	const requests = []
	const server = createServer(async (request, response) => {
		const n = requests.push(request) - 1
		request.at = performance.now()
		response.on("error", () => {})
		response.on("close", () => (request.gone = true))
		request.text = ""
		for await (const chunk of request) request.text += chunk
		steps[Math.min(n, steps.length - 1)](request, response)
	})
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
	t.after(() => {
		server.close()
		server.closeAllConnections()
	})
	return {
		url: `http://127.0.0.1:${server.address().port}`,
		requests,
		/** pauses are the times between requests, in milliseconds. */
		pauses: () => requests.slice(1).map((r, i) => r.at - requests[i].at),
	}
}

/** events is a step: an event stream that ends, or stays open. */
export const events =
	(text, stay = false) =>
	(_, response) => {
		response.writeHead(200, { "content-type": "text/event-stream" })
		response.write(text)
		if (!stay) response.end()
	}

/** cut is a step: the beginning of an answer, whose connection then breaks. */
export const cut =
	(text, headers = { "content-type": "text/event-stream" }) =>
	(_, response) => {
		response.writeHead(200, headers)
		response.write(text, () => response.destroy())
	}

/** status is a step: a status, and nothing else. */
export const status =
	(code, headers = {}, body = "") =>
	(_, response) =>
		response.writeHead(code, headers).end(body)
