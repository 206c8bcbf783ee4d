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

/** tooLarge is the error about what exceeds a limit. @internal */
export const tooLarge = (most: number) => new LeatError("too_large", `what comes next has more than ${most} characters: raise maxSize`)

/** @internal */
export interface Splitter {
	/** feed takes bytes, cut anywhere. */
	feed(chunk: Uint8Array): void
	/** rest is what has come of a line that has not ended. */
	rest(): string
}

/**
 * splitter calls line for each line of UTF-8 text as soon as it ends: with LF, and if cr
 * is set with CR or CRLF as well. No character is looked for twice, and a line of many
 * pieces is put together once.
 *
 * @internal
 */
export function splitter(cr: boolean, most: number, line: (text: string) => void): Splitter {
	const decoder = new TextDecoder() // drops one byte order mark, keeps cut characters
	let pieces: string[] = []
	let held = 0
	let afterCR = false // a LF now would belong to the line that ended
	const rest = () => pieces.join("")
	return {
		rest,
		feed(chunk) {
			const text = decoder.decode(chunk, { stream: true })
			if (!text) return
			let from = afterCR && text[0] === "\n" ? 1 : 0
			afterCR = false
			// Each is searched for again only when the one that was found is passed.
			let nextLF = -2
			let nextCR = cr ? -2 : Infinity
			const find = (c: string) => (text.indexOf(c, from) + 1 || Infinity) - 1
			for (;;) {
				if (nextLF < from) nextLF = find("\n")
				if (nextCR < from) nextCR = find("\r")
				const end = Math.min(nextLF, nextCR)
				if (held + Math.min(end, text.length) - from > most) throw tooLarge(most)
				if (end === Infinity) break
				const whole = held ? rest() + text.slice(from, end) : text.slice(from, end)
				pieces = []
				held = 0
				from = end + 1
				if (end === nextCR) {
					afterCR = from === text.length
					if (text[from] === "\n") from++
				}
				line(whole)
			}
			if (from < text.length) {
				pieces.push(text.slice(from))
				held += text.length - from
			}
		},
	}
}
