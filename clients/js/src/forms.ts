import { LeatError, mediaType } from "./error"
import type { Form, Place } from "./follow"
import { ArrayParser } from "./json"
import { type End, EventParser, type Gap, type LeatEvent, Lines } from "./sse"

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

const truncated = (what: string, again = false) => new LeatError("truncated", what, { again })

/** @internal */
export const eventStream = "text/event-stream"

/** @internal */
export function events(r: Reader): Form<LeatEvent> {
	let parser: EventParser
	let out: LeatEvent[]
	let ended = false // the last word was that a topic has ended
	return {
		beats: true,
		resumable: () => true,
		begin(response) {
			const type = mediaType(response)
			if (response.status !== 200 || type !== eventStream)
				throw new LeatError("unexpected_answer", `${response.url} is no event stream: status ${response.status}, content type "${type}". Check the address.`, { status: response.status })
			parser = new EventParser(
				r.place.lastEventId,
				r.maxSize,
				(e) => {
					ended = !!e.end
					out.push(e)
				},
				(retry) => {
					ended = false
					r.setRetry(retry)
				},
				r.onComment,
			)
		},
		feed(chunk, to) {
			out = to
			try {
				parser.feed(chunk)
			} finally {
				r.place.lastEventId = parser.lastEventId
			}
		},
		end(last) {
			if (last && parser.partial) throw truncated("the stream ends inside an event")
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
export function lines(r: Reader): Form<unknown> {
	let out: unknown[]
	let splitter: Lines
	let count = 0
	let leat = false // these are the lines of a Leat server
	let ended = false

	const take = (text: string) => {
		if (!text.trim()) return
		count++
		let value: Line
		try {
			value = JSON.parse(text)
		} catch (e) {
			const error = new LeatError("invalid_line", `line ${count} is not JSON: ${(e as Error).message}`, { line: count, body: text.slice(0, 200) })
			if (!r.onInvalid) throw error
			return r.onInvalid(error)
		}
		// Its first line is where it starts from, in the form that its offsets have.
		if (count === 1) leat = /^\{"id":"\d{16}_\d{16}"\}\s*$/.test(text)
		if (leat) {
			const { id, topic, gap, end, retry } = value
			if (id) r.place.lastEventId = id
			ended = !!end
			if (retry) r.setRetry(retry)
			if (topic === undefined && !gap && !end) return
		}
		out.push(value)
	}
	return {
		// A server that sends no positions may be silent as long as it likes.
		get beats() {
			return leat
		},
		resumable: () => leat || !count,
		begin() {
			splitter = new Lines(false, r.maxSize, take)
		},
		feed(chunk, to) {
			out = to
			splitter.feed(chunk)
		},
		end(_, to) {
			const { rest } = splitter
			// Some leave out the last line feed. What was cut is no JSON, unless it is a number.
			if (rest.trim()) {
				out = to
				try {
					if (leat || isFinite(JSON.parse(rest))) throw 0
				} catch {
					throw truncated(`the body ends inside line ${count + 1}`, leat)
				}
				take(rest)
			}
			return leat && !ended
		},
	}
}

/** @internal */
export function elements(r: Reader): Form<unknown> {
	let out: unknown[]
	let begun = false
	const parser = new ArrayParser(r.maxSize, (value) => out.push(value))
	return {
		beats: false,
		resumable: () => !begun,
		begin() {},
		feed(chunk, to) {
			begun = true
			out = to
			parser.feed(chunk)
		},
		end() {
			if (!parser.end()) throw truncated("the body ends before its JSON does")
			return false
		},
	}
}

/** @internal bytes are resumed by Range and If-Range, if they have a strong ETag. */
export function bytes<T = Uint8Array>(r: Reader, map = (chunk: Uint8Array) => chunk as T): Form<T> {
	const { place } = r
	let length = NaN // how far the answer goes
	let broken: string | null // how a Leat server says that the stream itself broke off
	let from: number
	return {
		beats: false,
		resumable: () => !place.position || !!place.etag,
		begin({ status, headers }) {
			from = place.position
			const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "")
			if (from ? status !== 206 || !range || +range[1] !== from : status === 206)
				throw new LeatError("changed", `what was read up to byte ${from} is not there any more. Begin again.`, { status })
			const plain = /^(|identity)$/i.test(headers.get("content-encoding") ?? "")
			const size = headers.get("content-length")
			length = plain && size ? from + +size : NaN
			place.total = range ? (range[2] === "*" ? undefined : +range[2]) : length || undefined
			const etag = headers.get("etag")
			if (!plain || !from) place.etag = undefined
			if (plain && etag?.startsWith('"')) place.etag = etag
			broken = headers.get("leat-end")
		},
		feed(chunk, out) {
			out.push(map(chunk))
		},
		end() {
			if (place.position < length) throw truncated(`${length - place.position} bytes are missing`, true)
			return false
		},
		// Coming back to the end of such a stream would only bring the same.
		over() {
			if (broken && place.position === from) return truncated(`the stream ended: ${broken}`)
		},
	}
}

/** @internal */
export function text(r: Reader): Form<string> {
	const decoder = new TextDecoder()
	const form = bytes(r, (chunk) => decoder.decode(chunk, { stream: true }))
	return {
		...form,
		end(last, out) {
			form.end(last, out)
			if (decoder.decode()) throw truncated("the text ends inside a character")
			return false
		},
	}
}
