import { LeatError } from "./error"
import { type ConnectOptions, Follower, type Place } from "./follow"
import { events, eventStream } from "./forms"
import { canShare, Sharing } from "./shared"
import type { End, Gap, LeatEvent } from "./sse"

export interface LeatEventSourceInit extends Omit<ConnectOptions, "credentials"> {
	/** As of EventSource: cookies go to other origins too. */
	withCredentials?: boolean
	/** The last event ID to begin with: where an earlier reader stopped. */
	lastEventId?: string
	/**
	 * One connection for all pages of this origin that ask for the same with the same
	 * options. It needs Web Locks, which browsers have on https and localhost;
	 * elsewhere each page has its own connection.
	 */
	shared?: boolean
}

/** The event `error`: what is wrong, and when there will be another attempt. */
export class LeatErrorEvent extends Event {
	constructor(
		readonly error: LeatError,
		/** In how many milliseconds there is another attempt; undefined if there is none. */
		readonly delay?: number,
	) {
		super("error")
	}
	/** The status of the answer, 0 if there was none. */
	get status() {
		return this.error.status
	}
	/** The body of an answer that was refused. */
	get body() {
		return this.error.body
	}
}

/**
 * Who shows to a page what comes of a connection, its own or a shared one.
 *
 * @internal
 */
export interface Sink {
	/** Where it stands. */
	place: Place
	opened(origin: string): void
	events(batch: LeatEvent[]): void
	waiting(error: LeatError, delay: number): void
	/** There will be no other attempt. */
	ended(error: LeatError): void
}

/** @internal */
export interface Source {
	close(): void
	/** What the server asked for, 0 if nothing. */
	readonly retry: number
}

/** pump reads event streams into a sink, until it is closed or there is no more to come. @internal */
export function pump(url: string, options: LeatEventSourceInit, sink: Sink): Source {
	const form = events({
		place: sink.place,
		maxSize: options.maxSize ?? 16 << 20,
		setRetry: (ms) => follower.setRetry(ms),
		onComment: options.onComment,
	})
	const follower: Follower<LeatEvent> = new Follower(url, { ...options, credentials: options.withCredentials ? "include" : "same-origin" }, eventStream, sink.place, form)
	follower.onopen = (response) => sink.opened(new URL(response.url || url).origin)
	follower.onwait = (error, delay) => sink.waiting(error, delay)
	let closed = false
	// Nothing happens before the constructor of the EventSource has returned.
	queueMicrotask(async () => {
		let error = new LeatError("ended", "the stream has ended", { status: 204 })
		try {
			for await (const batch of follower.run()) sink.events(batch)
		} catch (e) {
			error = e as LeatError
		}
		if (!closed) sink.ended(error)
	})
	return {
		close() {
			closed = true
			follower.close()
		},
		get retry() {
			return follower.retry
		},
	}
}

type Handler<E extends Event> = ((this: LeatEventSource, event: E) => any) | null

/** What `leat.gap` and `leat.end` are dispatched as: `data` is the JSON of `gap`, or of `end`. */
export interface LeatMessageEvent extends MessageEvent<string> {
	gap?: Gap
	end?: End
}

/**
 * A LeatEventSource takes the place of an EventSource: it has the same members and
 * events, and goes on where it was. Other than that one it comes back after an answer of
 * 429 or 5xx, notices silence, waits longer after each failure, tells why it failed, and
 * takes any method, headers and body.
 */
export class LeatEventSource extends EventTarget {
	static readonly CONNECTING = 0
	static readonly OPEN = 1
	static readonly CLOSED = 2
	readonly CONNECTING = 0
	readonly OPEN = 1
	readonly CLOSED = 2

	readonly url: string
	readonly withCredentials: boolean
	private state: 0 | 1 | 2 = 0
	private place: Place
	private at?: string // the id of the event that is dispatched
	private origin = ""
	private source: Source

	declare onopen: Handler<Event>
	declare onmessage: Handler<MessageEvent<string>>
	declare onerror: Handler<LeatErrorEvent>
	/** Records are gone that were due: the event `leat.gap`. */
	declare ongap: Handler<LeatMessageEvent>
	/** A topic has ended: the event `leat.end`. */
	declare onend: Handler<LeatMessageEvent>

	constructor(url: string | URL, options: LeatEventSourceInit = {}) {
		super()
		try {
			this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href
		} catch {
			throw new DOMException(`"${url}" is no URL`, "SyntaxError")
		}
		this.withCredentials = !!options.withCredentials
		this.place = { lastEventId: options.lastEventId ?? "", position: 0 }
		const sink: Sink = {
			place: this.place,
			opened: (origin) => {
				this.origin = origin
				if (this.state === 0) this.turn(1, new Event("open"))
			},
			events: (batch) => {
				for (const e of batch) {
					if (this.state === 2) return
					this.at = e.id
					const event = new MessageEvent(e.type, { data: e.data, lastEventId: e.id, origin: this.origin })
					const { gap, end } = e
					this.dispatchEvent(gap || end ? Object.assign(event, { gap, end }) : event)
				}
				this.at = undefined
			},
			waiting: (error, delay) => this.turn(0, new LeatErrorEvent(error, delay)),
			ended: (error) => this.turn(2, new LeatErrorEvent(error)),
		}
		this.source = options.shared && canShare(options) ? new Sharing(this.url, options, sink) : pump(this.url, options, sink)
	}

	get readyState() {
		return this.state
	}

	/** The last event ID: where another reader can go on. */
	get lastEventId() {
		return this.at ?? this.place.lastEventId
	}

	/** The delay before a reconnect that the server asked for, in milliseconds; 0 if it did not. */
	get reconnectionTime() {
		return this.source.retry
	}

	/** close ends the connection for good. */
	close() {
		this.state = 2
		this.source.close()
	}

	private turn(state: 0 | 1 | 2, event: Event) {
		if (this.state === 2) return
		this.state = state
		this.dispatchEvent(event)
	}
}

for (const type of ["open", "message", "error", "leat.gap", "leat.end"]) {
	const set = new WeakMap<LeatEventSource, { handler: unknown }>()
	Object.defineProperty(LeatEventSource.prototype, "on" + type.replace("leat.", ""), {
		configurable: true,
		enumerable: true,
		get(this: LeatEventSource) {
			return set.get(this)?.handler ?? null
		},
		set(this: LeatEventSource, handler: unknown) {
			if (typeof handler !== "function") handler = null
			const known = set.get(this)
			if (known) known.handler = handler
			else if (handler) {
				const mine: { handler: any } = { handler }
				set.set(this, mine)
				this.addEventListener(type, (e) => mine.handler?.call(this, e))
			}
		},
	})
}

export interface LeatEventSource {
	addEventListener(type: "open", listener: (this: LeatEventSource, event: Event) => any, options?: boolean | AddEventListenerOptions): void
	addEventListener(type: "error", listener: (this: LeatEventSource, event: LeatErrorEvent) => any, options?: boolean | AddEventListenerOptions): void
	addEventListener(type: string, listener: (this: LeatEventSource, event: LeatMessageEvent) => any, options?: boolean | AddEventListenerOptions): void
	addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void
}
