import { LeatError, network, refusal } from "./error"
import { type ConnectOptions, headersOf, wait } from "./follow"

export interface PublishOptions extends Pick<ConnectOptions, "headers" | "credentials" | "fetch" | "maxFailures"> {
	/** The event type of the record. */
	type?: string
	/**
	 * Names the record: one with a key that its topic got in the last minutes is not
	 * stored again. One is made up if there is neither a key nor a producer.
	 */
	key?: string
	/** Who sends what, in place of a key: at /streams/ only. A request may be repeated for days. */
	producer?: { id: string; epoch: number; seq: number }
	/** `text/plain` of a string, that of a Blob, `application/octet-stream` of bytes, else `application/json`. */
	contentType?: string
	signal?: AbortSignal
}

/** What the server says of a record that it has stored. */
export interface Receipt {
	/** Its offset, where the server tells it. */
	id?: string
	topic?: string
	/** It was stored before, perhaps by an attempt whose answer was lost. */
	duplicate?: boolean
}

/**
 * publish stores a record at a Leat server: at `/events?topic=NAME`, or `/streams/NAME`.
 * Data is text, bytes or a Blob, or any other value, as JSON. It returns when the record
 * is stored, and tries again if there is no answer, or one of 408, 429, 502, 503 or 504;
 * a record is stored once however often that happens.
 */
export async function publish(url: string | URL, data: unknown, options: PublishOptions = {}): Promise<Receipt> {
	const { type, producer, signal, credentials, fetch = globalThis.fetch, maxFailures = Infinity } = options
	const target = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href)
	const key = options.key ?? (producer ? undefined : Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-"))
	if (type) target.searchParams.set("type", type)
	if (key) target.searchParams.set("key", key)
	const raw = typeof data === "string" || data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data)
	const body = raw ? (data as BodyInit) : JSON.stringify(data)
	const contentType =
		options.contentType ?? (typeof data === "string" ? "text/plain" : !raw ? "application/json" : (data instanceof Blob && data.type) || "application/octet-stream")
	for (let failures = 0; ; failures++) {
		const headers = await headersOf(options)
		headers.set("content-type", contentType)
		if (producer) {
			headers.set("producer-id", producer.id)
			headers.set("producer-epoch", `${producer.epoch}`)
			headers.set("producer-seq", `${producer.seq}`)
		}
		let error: LeatError
		try {
			const response = await fetch(new Request(target, { method: "POST", headers, body, credentials, signal }))
			if (response.ok) {
				const text = await response.text()
				return text ? JSON.parse(text) : {}
			}
			error = await refusal(response)
			if (![408, 429, 502, 503, 504].includes(error.status)) throw error
		} catch (e) {
			if (signal?.aborted || e instanceof LeatError) throw e
			error = network(target.href, e, "unavailable")
		}
		if (failures >= maxFailures) throw error
		await new Promise<void>((resolve) => setTimeout(resolve, wait(failures, error.retryAfter, 500)))
		signal?.throwIfAborted()
	}
}
