import { header, LeatError, mediaType } from "./error"
import type { Form, Place } from "./follow"
import { type ArrayParser, arrayParser } from "./json"
import { type End, type Gap, type LeatEvent, splitter, type Splitter, tooLarge } from "./sse"

/**
 * What a form needs of its reader.
 *
 * @internal
 */
export interface Reader {
	place: Place
	maxSize: number
	setRetry(milliseconds: number): void
	onComment?: (text: string) => void
	onInvalid?: (error: LeatError) => void
}

const truncated = (inside: string, again = false, hurry = false) => new LeatError("truncated", "the body ends inside " + inside, { again, hurry })

/** @internal */
export const eventStream = "text/event-stream"

/** events reads text/event-stream by the rules of the HTML standard. @internal */
export function events({ place, maxSize, setRetry, onComment }: Reader): Form<LeatEvent> {
	let out: LeatEvent[]
	let split: Splitter
	let type: string
	let data: string[]
	let size: number
	let id: string
	let ended: boolean // the last word was that a topic has ended

	function dispatch() {
		place.lastEventId = id
		if (data.length) {
			const e: LeatEvent = { type: type || "message", data: data.join("\n"), id }
			const word = /^leat\.(gap|end)$/.exec(type)
			if (word) {
				try {
					e[word[1] as "gap" | "end"] = JSON.parse(e.data)
				} catch {
					// it is not from Leat, and an event like others
				}
			}
			ended = !!e.end
			out.push(e)
		}
		clear()
	}

	function clear() {
		type = ""
		data = []
		size = 0
	}

	function take(line: string) {
		if (!line) return dispatch()
		const colon = line.indexOf(":")
		if (!colon) return onComment?.(line.slice(1))
		const name = colon < 0 ? line : line.slice(0, colon)
		const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1))
		if (name === "data") {
			size += value.length + 1
			if (size > maxSize + 1) throw tooLarge(maxSize)
			data.push(value)
		} else if (name === "event") type = value
		else if (name === "id" && !value.includes("\0")) id = value
		else if (name === "retry" && /^\d+$/.test(value)) {
			setRetry(+value)
			ended = false
		}
	}

	return {
		beats: true,
		resumable: () => true,
		begin(response) {
			const { status } = response
			const is = mediaType(response)
			if (status !== 200 || is !== eventStream)
				throw new LeatError("unexpected_answer", `this is no event stream: ${status} ${is}`, { status })
			// What was cut off is thrown away; the last event ID stays.
			id = place.lastEventId
			ended = false
			clear()
			split = splitter(true, maxSize, take)
		},
		feed(chunk, to) {
			out = to
			split.feed(chunk)
		},
		end(last) {
			if (last && (data.length || split.rest())) throw truncated("an event")
			return !ended
		},
	}
}

/** What a line of a Leat server says, unless it is a record. */
interface Line {
	id?: string
	topic?: string
	gap?: Gap
	end?: End
	retry?: number
}

/** @internal */
export function lines({ place, maxSize, setRetry, onInvalid }: Reader): Form<unknown> {
	let out: unknown[]
	let split: Splitter
	let count = 0
	let leat = false // these are the lines of a Leat server
	let ended = false

	function take(text: string) {
		if (!text.trim()) return
		count++
		let value: Line
		try {
			value = JSON.parse(text)
		} catch (e) {
			const error = new LeatError("invalid_line", `line ${count} is not JSON: ${(e as Error).message}`, { line: count, body: text.slice(0, 200) })
			if (!onInvalid) throw error
			return onInvalid(error)
		}
		// The first line is where it starts from, in the form that offsets have.
		if (count === 1) leat = /^\{"id":"\d{16}_\d{16}"\}\s*$/.test(text)
		if (leat) {
			const { id, topic, gap, end, retry } = value
			place.lastEventId = id!
			ended = !!end
			if (retry) setRetry(retry)
			if (!topic && !gap && !end) return
		}
		out.push(value)
	}
	return {
		// Others may be silent as long as they like.
		get beats() {
			return leat
		},
		resumable: () => leat || !count,
		begin() {
			split = splitter(false, maxSize, take)
		},
		feed(chunk, to) {
			out = to
			split.feed(chunk)
		},
		end(_, to) {
			const rest = split.rest()
			// Some leave out the last line feed. What was cut is no JSON, unless it is a number.
			if (rest.trim()) {
				let value
				try {
					value = JSON.parse(rest)
				} catch {
					// it was cut
				}
				if (leat || value === undefined || typeof value === "number") throw truncated(`line ${count + 1}`, leat)
				out = to
				take(rest)
			}
			return leat && !ended
		},
	}
}

/** @internal */
export function elements({ maxSize }: Reader): Form<unknown> {
	let out: unknown[]
	let parser: ArrayParser
	let count = 0
	let empty: boolean
	return {
		beats: false,
		resumable: () => !count,
		begin(response) {
			empty = header(response, "content-length") === "0"
			parser = arrayParser(maxSize, (value) => {
				count++
				out.push(value)
			})
		},
		feed(chunk, to) {
			out = to
			parser.feed(chunk)
		},
		end(_, to) {
			out = to
			if (!empty && !parser.end()) throw truncated(`element ${count + 1}`, true)
			return false
		},
	}
}

/** bytes are resumed by Range and If-Range, if they have a strong ETag. @internal */
export function bytes<T = Uint8Array>({ place }: Reader, map = (chunk?: Uint8Array) => chunk as T): Form<T> {
	let length: number // how far the answer goes, 0 if it does not say
	let broken: string // how a Leat server says that the stream itself broke off
	let from: number
	let closed: boolean // a cut may look like the end
	// Coming back to the end of such a stream would only bring the same.
	const over = () => (broken && place.position === from ? truncated(`a stream that ended: ${broken}`) : undefined)
	return {
		over,
		beats: false,
		resumable: () => !place.position || !!place.etag,
		begin(response) {
			from = place.position
			const range = /^bytes (\d+)-\d+\/(\d*)/.exec(header(response, "content-range"))
			const start = range ? +range[1] : 0
			if (from && start !== from) throw new LeatError("changed", `what was read up to byte ${from} is not there any more. Begin again.`, { status: response.status })
			// The length and the positions of what is compressed are not those of what arrives here.
			const plain = !header(response, "content-encoding")
			const size = header(response, "content-length")
			length = plain && size ? from + +size : 0
			place.total = (range ? +range[2] : length) || undefined
			const etag = header(response, "etag")
			place.etag = plain && start === from && etag[0] === '"' ? etag : undefined
			broken = header(response, "leat-end")
			// The fetch of Node.js does not tell them apart where the connection is closed
			// (undici's lib/dispatcher/client-h1.js). Whether that was all is asked again.
			closed = !size && header(response, "connection") === "close" && header(response, "accept-ranges") === "bytes"
		},
		feed(chunk, out) {
			out.push(map(chunk))
		},
		end(last) {
			const came = place.position > from
			if (place.position < length) throw truncated(`its ${length} bytes`, true)
			if (broken) throw over() ?? truncated(broken, true)
			if (!last && closed && place.etag) throw truncated("a connection that was closed", true, came)
			if (map()) throw truncated("a character")
			return false
		},
	}
}

/** @internal */
export function text(r: Reader): Form<string> {
	const decoder = new TextDecoder()
	return bytes(r, (chunk) => decoder.decode(chunk, { stream: !!chunk }))
}
