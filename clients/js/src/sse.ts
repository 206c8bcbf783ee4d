import { LeatError } from "./error"

/** What an event stream delivers. */
export interface LeatEvent {
	/** The event type, `message` if the server gave none. */
	type: string
	data: string
	/** The last event ID: where another reader can go on after this event. */
	id: string
	/** Of `leat.gap`: which records are missing. */
	gap?: Gap
	/** Of `leat.end`: how a topic has ended. */
	end?: End
}

/** Records are gone that this reader was owed. The next events are those after `next`. */
export interface Gap {
	/**
	 * `trimmed`: the records were removed. `replaced`: a topic was deleted, and what may
	 * be there now is a new one of that name. `skipped`: this reader was too slow for a
	 * rule of the server. `lost`: the server lost them. `foreign`: the id that was asked
	 * for is not of this server's log.
	 */
	reason: string
	asked: string
	next: string
	topics?: { topic: string; through: string }[]
	more?: number
}

/** How a topic has ended. */
export interface End {
	topic: string
	/** `complete`, `aborted`, `error`, `truncated`, `deleted` or `expired`. */
	state: string
	reason?: string
}

/**
 * A Lines splits text that comes in pieces. No character is looked at twice, and a line
 * of many pieces is put together once. LF, and CRLF, end a line; with cr a CR does by
 * itself, at once, and a LF that follows belongs to it.
 *
 * @internal
 */
export class Lines {
	private pieces: string[] = []
	private held = 0
	private afterCR = false
	private decoder = new TextDecoder() // drops one byte order mark, keeps cut characters

	constructor(
		private cr: boolean,
		private most: number,
		private line: (text: string) => void,
	) {}

	/** feed takes bytes, and calls line for each line that ends with them. */
	feed(chunk: Uint8Array) {
		const text = this.decoder.decode(chunk, { stream: true })
		let from = 0
		if (this.afterCR && text) {
			if (text[0] === "\n") from = 1
			this.afterCR = false
		}
		// Where the next of each is is looked for when the one before is passed: what
		// has no CR is searched for one only once.
		let lf = -2
		let cr = this.cr ? -2 : -1
		for (;;) {
			if (lf !== -1 && lf < from) lf = text.indexOf("\n", from)
			if (cr !== -1 && cr < from) cr = text.indexOf("\r", from)
			const end = cr === -1 || (lf !== -1 && lf < cr) ? lf : cr
			if (end === -1) break
			const next = end + 1
			if (end === cr) {
				if (next === text.length) this.afterCR = true
				else if (text[next] === "\n") {
					this.take(text, from, end)
					from = next + 1
					continue
				}
			}
			this.take(text, from, end)
			from = next
		}
		if (from < text.length) {
			this.pieces.push(text.slice(from))
			this.held += text.length - from
			this.check(this.held)
		}
	}

	private take(text: string, from: number, end: number) {
		let line = text.slice(from, end)
		if (this.held) {
			this.check(this.held + line.length)
			line = this.rest + line
			this.pieces = []
			this.held = 0
		}
		this.line(line)
	}

	/** rest is what has come of a line that has not ended. */
	get rest() {
		return this.pieces.join("")
	}

	check(size: number) {
		if (size > this.most) throw tooLarge(this.most)
	}
}

/** @internal */
export const tooLarge = (most: number) =>
	new LeatError("too_large", `what comes next is larger than the limit of ${most} characters. Raise the option maxSize.`)

/**
 * An EventParser reads text/event-stream by the rules of the HTML standard, from bytes
 * that are cut anywhere.
 *
 * @internal
 */
export class EventParser {
	private lines: Lines
	private type = ""
	private data: string[] = []
	private size = 0
	private id: string
	/** Something has come of an event that has not ended. */
	private begun = false

	constructor(
		/** The last event ID: that of the last block that ended. */
		public lastEventId: string,
		private most: number,
		private event: (e: LeatEvent) => void,
		private retry: (milliseconds: number) => void,
		private comment?: (text: string) => void,
	) {
		this.id = lastEventId
		this.lines = new Lines(true, most, (line) => this.line(line))
	}

	feed(chunk: Uint8Array) {
		this.lines.feed(chunk)
	}

	/** partial reports whether the bytes so far break off inside an event. */
	get partial() {
		return this.begun || this.lines.rest !== ""
	}

	private line(line: string) {
		if (!line) return this.dispatch()
		const colon = line.indexOf(":")
		if (colon === 0) return this.comment?.(line.slice(1))
		this.begun = true
		const name = colon < 0 ? line : line.slice(0, colon)
		const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
		switch (name) {
			case "data":
				this.size += value.length + 1
				if (this.size > this.most) throw tooLarge(this.most)
				this.data.push(value)
				break
			case "event":
				this.type = value
				break
			case "id":
				if (!value.includes("\0")) this.id = value
				break
			case "retry":
				if (/^\d+$/.test(value)) this.retry(+value)
		}
	}

	private dispatch() {
		this.lastEventId = this.id
		if (this.data.length) {
			const e: LeatEvent = { type: this.type || "message", data: this.data.join("\n"), id: this.id }
			this.data = []
			this.size = 0
			// The words of a Leat server; on another one such an event is like others.
			if (e.type === "leat.gap" || e.type === "leat.end") {
				try {
					e[e.type === "leat.gap" ? "gap" : "end"] = JSON.parse(e.data)
				} catch {
					// it is not from Leat
				}
			}
			this.event(e)
		}
		this.type = ""
		this.begun = false
	}
}
