import { LeatError, network, refusal } from "./error"
import { type ConnectOptions, headersOf, resolve, wait } from "./follow"

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
	/** By default `text/plain` of a string, that of a Blob, none of bytes, else `application/json`. */
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
	const target = resolve(url)
	const key = options.key ?? (producer ? undefined : `${Math.random()}-${Math.random()}`)
	if (type) target.searchParams.set("type", type)
	if (key) target.searchParams.set("key", key)
	const raw = typeof data === "string" || data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data)
	const body = raw ? (data as BodyInit) : JSON.stringify(data)
	const contentType = options.contentType ?? (raw ? "" : "application/json")
	for (let failures = 0; ; failures++) {
		const headers = await headersOf(options)
		if (contentType) headers.set("content-type", contentType)
		for (const name in producer) headers.set("producer-" + name, `${producer[name as "id"]}`)
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
			error = network(target.href, e)
		}
		if (failures >= maxFailures) throw error
		await new Promise<void>((resolve) => setTimeout(resolve, wait(failures, error.after, 500)))
	}
}
