// What the declarations promise: checked by the compiler, never run.
import { type Gap, LeatError, LeatEventSource, publish, type Receipt, stream } from "../dist/leat.js"

export async function uses() {
	const source: EventTarget = new LeatEventSource("/events", { shared: true, headers: () => ({ a: "b" }), lastEventId: "x" })
	const own = source as LeatEventSource
	own.onmessage = ({ data, lastEventId }) => [data.length, lastEventId.length]
	own.onerror = ({ error, delay, status, body }) => [error.code, (delay ?? 0) + status, body]
	own.addEventListener("price", ({ data }) => JSON.parse(data))
	own.addEventListener("leat.gap", ({ gap }) => gap?.topics)
	own.ongap = ({ gap }): Gap | undefined => gap

	for await (const { id, type, data, end } of stream("/events", { as: "sse" })) [id, type, data, end?.state]
	for await (const part of stream("/file", { as: "bytes" })) part.byteLength
	for await (const { n } of stream<{ n: number }>(new URL("http://a"), { as: "ndjson", onInvalid: (e) => e.line })) n.toFixed()
	const items = stream<number>(new Response("[1]"), { signal: AbortSignal.timeout(1), onProgress: ({ total = 0 }) => total })
	const { position, etag }: { position: number; etag?: string } = items.place
	items.cancel()

	const receipt: Receipt = await publish("/streams/a", { n: 1 }, { producer: { id: "p", epoch: 0, seq: 1 } })
	// @ts-expect-error there is no such option
	await publish("/streams/a", "x", { topic: "a" })
	// @ts-expect-error nor such a form
	stream("/a", { as: "xml" })
	return [receipt.id, position, etag, new LeatError("code", "text").problem?.title]
}
