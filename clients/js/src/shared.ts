import { LeatError } from "./error"
import { type LeatEventSourceInit, pump, type Sink, type Source } from "./eventsource"
import { isSafe } from "./follow"
import type { LeatEvent } from "./sse"

/** What pages say to each other: all but `ask` is said by the one that leads. */
type Said =
	| { kind: "ask" }
	/** The origin of its connection, empty if there is none now. */
	| { kind: "state"; origin: string }
	/** It stood at `before` when these came. */
	| { kind: "events"; before: string; batch: LeatEvent[] }
	| { kind: "waiting"; error: LeatError; delay: number }
	| { kind: "ended"; error: LeatError }

/** And where the one that says it stands. */
type Message = Said & { id: string }

const answerTime = 5e3 // in which the page that leads answers, if it is not frozen
const askEvery = 20e3

/** canShare reports whether pages can share a connection here, and may. @internal */
export const canShare = (options: LeatEventSourceInit) => isSafe(options.method) && !!globalThis.navigator?.locks && typeof BroadcastChannel === "function" && typeof document === "object"

/** The offsets of a Leat server are in the order of their text. Other ids say nothing. */
const isOffset = (id: string) => /^\d{16}_\d{16}$/.test(id)

/** startsNow reports whether a URL asks for what comes from now on, and for nothing else. */
const startsNow = (url: string) => /\/events\?/.test(url) && !/[?&](from=(?!now)|last_?event_?id=)/i.test(url)

/**
 * Pages that share a connection: the one that holds a lock leads, which is to say that
 * it has the connection, and tells the others what comes. Each knows where it stands
 * itself. So when the page that leads goes away the next one asks the server for what
 * follows its own place, those that are behind that fetch what they missed, and those
 * that are ahead pass over what they have had.
 *
 * @internal
 */
export class Sharing {
	private channel: BroadcastChannel
	private name: string
	private stop = new AbortController()
	private leading?: Source
	private catching?: Source
	private queue: Message[] = [] // what was said while we catch up
	private origin = ""
	private doubt?: ReturnType<typeof setTimeout> // runs out if nobody answers
	private beat: ReturnType<typeof setInterval>
	private joined = false

	constructor(
		private url: string,
		private options: LeatEventSourceInit,
		private sink: Sink,
	) {
		const { withCredentials, headers } = options
		this.name = `leat ${!!withCredentials} ${url} ${typeof headers === "function" ? headers : JSON.stringify([...new Headers(headers)])}`
		this.channel = new BroadcastChannel(this.name)
		this.channel.onmessage = (e) => this.hear(e.data)
		document.addEventListener("visibilitychange", this.ask)
		addEventListener("pageshow", this.ask)
		this.beat = setInterval(this.ask, askEvery)
		this.wish()
		this.say({ kind: "ask" })
	}

	get retry() {
		return this.leading?.retry ?? 0
	}

	close() {
		this.stop.abort()
		this.leading?.close()
		this.catching?.close()
		this.channel.close()
		document.removeEventListener("visibilitychange", this.ask)
		removeEventListener("pageshow", this.ask)
		clearInterval(this.beat)
		clearTimeout(this.doubt)
	}

	/** wish waits for its turn to lead, or takes it from a page that does not answer. */
	private wish(steal = false) {
		const { signal } = this.stop
		navigator.locks
			.request(this.name, steal ? { steal } : { signal }, () => (signal.aborted ? undefined : this.lead()))
			// Another page has taken the lock: this one was frozen, perhaps.
			.catch(() => {
				this.leading?.close()
				this.leading = undefined
				if (!signal.aborted) this.wish()
			})
	}

	/** lead makes the connection. What it returns ends when this page is done. */
	private lead() {
		clearTimeout(this.doubt)
		this.catching?.close()
		this.catching = undefined
		this.queue = []
		const { sink } = this
		let before = sink.place.lastEventId
		this.leading = pump(this.url, this.options, {
			place: sink.place,
			opened: (origin) => {
				this.origin = origin
				this.say({ kind: "state", origin })
				sink.opened(origin)
			},
			events: (batch) => {
				this.say({ kind: "events", before, batch })
				before = sink.place.lastEventId
				sink.events(batch)
			},
			waiting: (error, delay) => {
				this.origin = ""
				this.say({ kind: "waiting", error: plain(error), delay })
				sink.waiting(error, delay)
			},
			ended: (error) => {
				this.say({ kind: "ended", error: plain(error) })
				this.end(error)
			},
		})
		return new Promise<void>((resolve) => this.stop.signal.addEventListener("abort", () => resolve()))
	}

	/** ask makes sure that the page that leads is alive. It matters to who is looked at. */
	private ask = () => {
		if (this.leading || document.visibilityState !== "visible") return
		this.say({ kind: "ask" })
		this.doubt ??= setTimeout(() => {
			this.doubt = undefined
			this.wish(true)
		}, answerTime)
	}

	private say(message: Said) {
		this.channel.postMessage({ ...message, id: this.sink.place.lastEventId })
	}

	private hear(m: Message) {
		const { sink, leading } = this
		if (m.kind === "ask") {
			if (leading) this.say({ kind: "state", origin: this.origin })
			return
		}
		if (leading) return // the last words of the one before
		clearTimeout(this.doubt)
		this.doubt = undefined
		if (this.catching) {
			this.queue.push(m)
			return
		}
		if (m.kind === "waiting") return sink.waiting(failure(m.error), m.delay)
		if (m.kind === "ended") return this.end(failure(m.error))
		const place = m.kind === "events" ? m.before : m.id
		if (!this.joined && !sink.place.lastEventId && startsNow(this.url)) sink.place.lastEventId = place
		this.joined = true
		if (isOffset(place) && place > sink.place.lastEventId) {
			this.queue.push(m)
			return this.catchUp(place)
		}
		if (m.kind === "events") return this.take(m.before, m.batch, m.id)
		if (m.origin) sink.opened(m.origin)
	}

	/** take shows what came, but for what this page has had. */
	private take(before: string, batch: LeatEvent[], id: string) {
		const { sink } = this
		const own = sink.place.lastEventId
		const ahead = isOffset(own) && isOffset(before) && own > before
		if (!ahead || id > own) sink.place.lastEventId = id
		sink.events(ahead ? batch.filter((e) => e.id > own || (e.gap && e.id === own)) : batch)
	}

	/** catchUp gets what this page has missed over a connection of its own, up to a place. */
	private catchUp(place: string) {
		const { sink } = this
		const url = new URL(this.url)
		url.searchParams.set("heartbeat", "1s") // tells where it stands although nothing comes
		const source = (this.catching = pump(url.href, this.options, {
			...sink,
			events: (batch) => {
				sink.events(batch)
				if (sink.place.lastEventId < place) return
				source.close()
				this.catching = undefined
				for (const m of this.queue.splice(0)) this.hear(m)
			},
			ended: (error) => this.end(error),
		}))
	}

	private end(error: LeatError) {
		this.close()
		this.sink.ended(error)
	}
}

/** plain is what can be said of an error to another page. */
const plain = ({ code, message, status, body, problem }: LeatError) => ({ code, message, status, body, problem }) as LeatError

const failure = ({ message, ...members }: LeatError) => new LeatError(members.code, message, members)
