import { type ConnectOptions, headersOf, resolve } from "./follow"
import { stream } from "./stream"

export interface PublishOptions extends Pick<ConnectOptions, "headers" | "credentials" | "fetch" | "maxFailures" | "retry" | "stall" | "onWait"> {
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
	/** Ends it: the reason is thrown. */
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
 * is stored, and tries again if there is no answer, or one that says that the server is
 * in trouble. A record is stored once however often that happens.
 */
export async function publish(url: string | URL, data: unknown, options: PublishOptions = {}): Promise<Receipt> {
	const { type, producer, key = producer ? "" : `${Math.random()}-${Math.random()}`, contentType } = options
	const target = resolve(url)
	if (type) target.searchParams.set("type", type)
	if (key) target.searchParams.set("key", key)
	const raw = typeof data === "string" || data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data)
	const headers = async () => {
		const headers = await headersOf(options)
		if (contentType || !raw) headers.set("content-type", contentType ?? "application/json")
		for (const name in producer) headers.set("producer-" + name, `${producer[name as "id"]}`)
		return headers
	}
	const body = raw ? (data as BodyInit) : JSON.stringify(data)
	for await (const receipt of stream<Receipt>(target, { ...options, as: "json", method: "POST", repeat: true, headers, body })) return receipt
	return {}
}
