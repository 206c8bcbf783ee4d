import { type LeatError, mediaType } from "./error"
import { type ConnectOptions, follow, type Follower, type Form, type Place } from "./follow"
import { bytes, elements, eventStream, events, lines, type Reader, text } from "./forms"
import type { LeatEvent } from "./sse"

/** The items of a body, by what it is read as. */
export interface Items<T> {
	/** Events, over connections that are made again. */
	sse: LeatEvent
	/** What stands on each line. Of a Leat server records, `{id, gap}` and `{id, end}`. */
	ndjson: T
	/** The elements of an array, or the one value. */
	json: T
	/** Chunks of any size. */
	bytes: Uint8Array
	/** Pieces of text of any size, cut between characters. */
	text: string
}

/** The form of a body. */
export type As = keyof Items<unknown>

export interface StreamOptions extends ConnectOptions {
	/** What to read the body as. By its content type if it is not said. */
	as?: As
	/** Where an earlier reader stopped. Bytes need their position and ETag, events and lines their last event ID. */
	resume?: Partial<Place>
	/** Ends it: the loop throws the reason. */
	signal?: AbortSignal
	/** Called with what has come so far. */
	onProgress?: (place: Place) => void
	/** Called with a line that is not JSON, to go on after it. Without it such a line is thrown. */
	onInvalid?: (error: LeatError) => void
}

/** The items of a body as they arrive, for one loop. */
export interface Stream<T> extends AsyncIterableIterator<T> {
	/** Where it stands. To go on there later, save it when an item has been dealt with. */
	readonly place: Readonly<Place>
	/** cancel closes the connection; the loop ends. */
	cancel(): void
}

const accepts: Partial<Record<As, string>> = { sse: eventStream, ndjson: "application/x-ndjson", json: "application/json" }

const forms: Record<As, (r: Reader) => Form<any>> = { sse: events, ndjson: lines, json: elements, bytes, text }

/** formOf is what a body is by its content type. */
function formOf(response: Response): As {
	const type = mediaType(response)
	if (type === eventStream) return "sse"
	if (/ndjson$|jsonl$|stream\+json$/.test(type)) return "ndjson"
	if (/[/+]json$/.test(type)) return "json"
	return type.startsWith("text/") ? "text" : "bytes"
}

/**
 * stream reads what a server sends at a URL, item by item, as it arrives:
 *
 *     for await (const event of stream("/events?topic=news", { as: "sse" })) …
 *
 * A connection that breaks or falls silent is made again where the rest can be had: of
 * event streams, and of lines of a Leat server, by the last event ID; of bytes by Range
 * and If-Range. Otherwise, and if the request may not be repeated, the loop throws: a
 * body that is not whole never ends as if it was. A response that is there already can
 * be given in place of the URL.
 */
export function stream<A extends As>(source: string | URL | Response, options: StreamOptions & { as: A }): Stream<Items<any>[A]>
export function stream<T = any>(source: string | URL | Response, options?: StreamOptions): Stream<T>
export function stream(source: string | URL | Response, options: StreamOptions = {}): Stream<unknown> {
	const { as, signal, maxSize = 16 << 20, onComment, onInvalid } = options
	const place: Place = { lastEventId: "", position: 0, ...options.resume }
	const response = source instanceof Response ? source : undefined
	const follower: Follower<any> = follow<any>(
		response?.url ?? String(source),
		options,
		accepts[as!] ?? "*/*",
		place,
		undefined,
		(response) => forms[as ?? formOf(response)]({ place, maxSize, onComment, onInvalid, setRetry: follower.setRetry }),
	)
	let cancelled = false
	const cancel = () => {
		cancelled = true
		follower.close()
	}
	let at: string | undefined // the id of the item that is dealt with, while others that came with it wait
	async function* each() {
		if (signal?.aborted) cancel()
		signal?.addEventListener("abort", cancel)
		try {
			for await (const batch of follower.run(response)) {
				for (let i = 0; i < batch.length && !cancelled; ) {
					const item = batch[i++]
					// Where a server says only where it stands there is nothing to deal with.
					if (item?.type === "leat.cursor" && !item.data) continue
					at = i < batch.length ? item?.id : undefined
					yield item
				}
			}
			signal?.throwIfAborted()
		} finally {
			signal?.removeEventListener("abort", cancel)
		}
	}
	return Object.defineProperties(each(), {
		place: { get: () => ({ ...place, lastEventId: (place.lastEventId && at) || place.lastEventId }) },
		cancel: { value: cancel },
	}) as unknown as Stream<unknown>
}
