import { LeatError } from "./error"
import { type LeatEventSourceInit, pump, type Sink, type Source } from "./eventsource"
import { isSafe } from "./follow"
import type { LeatEvent } from "./sse"

/**
 * What pages say to each other. All but ask is said by the one that leads, and id is
 * where it stands then.
 */
interface Message {
	id: string
	ask?: boolean
	/** The origin of its connection, empty if there is none now. */
	origin?: string
	/** It stood at before when these came. */
	batch?: LeatEvent[]
	before?: string
	/** Its connection failed, and there is another attempt after delay, or none. */
	error?: LeatError
	delay?: number
}

/** In milliseconds. */
const enum Limit {
	answer = 5e3, // in which the page that leads answers, if it is not frozen
	ask = 20e3, // how often it is asked
}

/** canShare reports whether pages can share a connection here, and may. @internal */
export const canShare = ({ method }: LeatEventSourceInit) =>
	isSafe(method) && !!globalThis.document && !!navigator.locks

/** The offsets of a Leat server are in the order of their text. Other ids say nothing. */
const isOffset = (id: string) => /^\d{16}_\d{16}$/.test(id)

/** startsNow reports whether a URL asks for what comes from now on, and for nothing else. */
const startsNow = (url: string) => /\/events\?/.test(url) && !/[?&](from=(?!now)|last_?event_?id=)/i.test(url)

/** plain is what can be said of an error to another page. */
const plain = (error: LeatError) => ({ ...error, message: error.message, cause: undefined })

/**
 * share lets pages share a connection: the one that holds a lock leads, which is to say
 * that it has the connection, and tells the others what comes. Each knows where it stands
 * itself. So when the page that leads goes away the next one asks the server for what
 * follows its own place, those that are behind that fetch what they missed, and those
 * that are ahead pass over what they have had.
 *
 * @internal
 */
export function share(url: string, options: LeatEventSourceInit, sink: Sink): Source {
	const { place } = sink
	const { withCredentials, headers } = options
	const name = `leat ${!!withCredentials} ${url} ${typeof headers === "function" ? headers : JSON.stringify([...new Headers(headers)])}`
	const channel = new BroadcastChannel(name)
	const stop = new AbortController()
	const { signal } = stop
	let turn: AbortController | undefined
	let leading: Source | undefined
	let catching: Source | undefined
	let queue: Message[] = [] // what was said while we catch up
	let origin = "" // of our connection
	let doubt: ReturnType<typeof setTimeout> | undefined // runs out if nobody answers

	const say = (message: Partial<Message>) => channel.postMessage({ ...message, id: place.lastEventId })

	/** wish waits for its turn to lead, or takes it from a page that does not answer. */
	const wish = (steal?: boolean) => {
		turn?.abort()
		const { signal } = (turn = new AbortController())
		navigator.locks
			.request(
				name,
				steal ? { steal } : { signal },
				() =>
					new Promise<void>((resolve) => {
						if (signal.aborted) return resolve()
						signal.addEventListener("abort", () => resolve())
						lead()
					}),
			)
			.catch(() => {
				if (signal.aborted) return
				// Another page has taken the lock: this one did not answer.
				rest()
				wish()
			})
	}

	/** rest gives up the turn. */
	const rest = () => {
		turn!.abort()
		leading?.close()
		leading = undefined
	}

	/** lead makes the connection. */
	const lead = () => {
		clearTimeout(doubt)
		catching?.close()
		catching = undefined
		queue = []
		let before = place.lastEventId
		leading = pump(url, options, {
			place,
			opened(from) {
				origin = from
				say({ origin })
				sink.opened(origin)
			},
			events(batch) {
				say({ before, batch })
				before = place.lastEventId
				sink.events(batch)
			},
			waiting(error, delay) {
				origin = ""
				say({ error: plain(error), delay })
				sink.waiting(error, delay)
			},
			ended(error) {
				say({ error: plain(error) })
				end(error)
			},
		})
	}

	/** ask makes sure that the page that leads is alive. It matters to who is looked at. */
	const ask = () => {
		if (leading || document.hidden) return
		say({ ask: true })
		doubt ??= setTimeout(() => {
			doubt = undefined
			wish(true)
		}, Limit.answer)
	}

	const hear = (m: Message) => {
		if (m.ask) return leading && say({ origin })
		if (leading) return // the last words of the one before
		clearTimeout(doubt)
		doubt = undefined
		if (catching) return queue.push(m)
		if (m.error) {
			const error = new LeatError(m.error.code, m.error.message, m.error)
			return m.delay === undefined ? end(error) : sink.waiting(error, m.delay)
		}
		const { id, batch, before = id } = m
		if (!place.lastEventId && startsNow(url)) place.lastEventId = before
		const own = place.lastEventId
		if (isOffset(before) && before > own) {
			queue.push(m)
			return catchUp(before)
		}
		if (m.origin) sink.opened(m.origin)
		if (!batch) return
		// What this page has had already is passed over.
		const ahead = isOffset(own) && isOffset(before) && own > before
		if (!ahead || id > own) place.lastEventId = id
		sink.events(ahead ? batch.filter((e) => e.id > own || (e.gap && e.id === own)) : batch)
	}

	/** catchUp gets what this page has missed over a connection of its own, up to a place. */
	const catchUp = (until: string) => {
		const target = new URL(url)
		target.searchParams.set("heartbeat", "1s") // tells where it stands although nothing comes
		const source = (catching = pump(target.href, options, {
			...sink,
			events(batch) {
				sink.events(batch)
				if (place.lastEventId < until) return
				source.close()
				catching = undefined
				queue.splice(0).forEach(hear)
			},
			ended: end,
		}))
	}

	const close = () => {
		stop.abort()
		rest()
		catching?.close()
		channel.close()
		clearInterval(beat)
		clearTimeout(doubt)
	}

	const end = (error: LeatError) => {
		close()
		sink.ended(error)
	}

	channel.onmessage = ({ data }) => hear(data)
	// A page that is about to be frozen would hold up the others. Most of these events are
	// the document's, and caught on their way there.
	const early = { signal, capture: true }
	addEventListener("visibilitychange", ask, early)
	addEventListener("pageshow", ask, early)
	addEventListener("freeze", rest, early)
	addEventListener("resume", () => wish(), early)
	const beat = setInterval(ask, Limit.ask)
	wish()
	say({ ask: true })
	return { close }
}
