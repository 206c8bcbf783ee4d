import { LeatError } from "./error"
import { type ConnectOptions, follow, type Follower, type Place, resolve } from "./follow"
import { events, eventStream } from "./forms"
import { canShare, share } from "./shared"
import type { End, Gap, LeatEvent } from "./sse"

export interface LeatEventSourceInit extends Omit<ConnectOptions, "credentials" | "onOpen" | "onWait"> {
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
export interface LeatErrorEvent extends Event {
	readonly error: LeatError
	/** In how many milliseconds there is another attempt; undefined if there is none. */
	readonly delay?: number
	/** The status of the answer, 0 if there was none. */
	readonly status: number
	/** The body of an answer that was refused. */
	readonly body: string
}

const errorEvent = (error: LeatError, delay?: number) => Object.assign(new Event("error"), { error, delay, status: error.status, body: error.body })

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
}

/** pump reads event streams into a sink, until it is closed or there is no more to come. @internal */
export function pump(url: string, options: LeatEventSourceInit, sink: Sink): Source {
	const { withCredentials, maxSize = 16 << 20, onComment } = options
	const follower: Follower<LeatEvent> = follow(
		url,
		{
			...options,
			credentials: withCredentials ? "include" : undefined,
			onOpen: (response) => sink.opened(new URL(response.url || url).origin),
			onWait: sink.waiting,
		},
		eventStream,
		sink.place,
		events({ place: sink.place, maxSize, onComment, setRetry: (ms) => follower.setRetry(ms) }),
	)
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
	#state: 0 | 1 | 2 = 0
	#place: Place
	#at?: string // the id of the event that is dispatched
	#source: Source

	onopen: Handler<Event> = null
	onmessage: Handler<MessageEvent<string>> = null
	onerror: Handler<LeatErrorEvent> = null
	/** Records are gone that were due: the event `leat.gap`. */
	ongap: Handler<LeatMessageEvent> = null
	/** A topic has ended: the event `leat.end`. */
	onend: Handler<LeatMessageEvent> = null

	constructor(url: string | URL, options: LeatEventSourceInit = {}) {
		super()
		try {
			this.url = resolve(url).href
		} catch {
			throw new DOMException(`"${url}" is no URL`, "SyntaxError")
		}
		this.withCredentials = !!options.withCredentials
		for (const type of ["open", "message", "error", "leat.gap", "leat.end"])
			this.addEventListener(type, (e: any) => this[("on" + type.replace("leat.", "")) as "onopen"]?.(e))
		let origin: string
		this.#place = { lastEventId: options.lastEventId ?? "", position: 0 }
		const sink: Sink = {
			place: this.#place,
			opened: (from) => {
				origin = from
				if (!this.#state) this.#turn(1, new Event("open"))
			},
			events: (batch) => {
				for (const e of batch) {
					if (this.#state === 2) return
					this.#at = e.id
					const event = new MessageEvent(e.type, { data: e.data, lastEventId: e.id, origin })
					this.dispatchEvent(Object.assign(event, { gap: e.gap, end: e.end }))
				}
				this.#at = undefined
			},
			waiting: (error, delay) => this.#turn(0, errorEvent(error, delay)),
			ended: (error) => this.#turn(2, errorEvent(error)),
		}
		this.#source = options.shared && canShare(options) ? share(this.url, options, sink) : pump(this.url, options, sink)
	}

	get readyState() {
		return this.#state
	}

	/** The last event ID: where another reader can go on. */
	get lastEventId() {
		return this.#at ?? this.#place.lastEventId
	}

	/** close ends the connection for good. */
	close() {
		this.#state = 2
		this.#source.close()
	}

	#turn(state: 0 | 1 | 2, event: Event) {
		if (this.#state === 2) return
		this.#state = state
		this.dispatchEvent(event)
	}
}

export interface LeatEventSource {
	addEventListener(type: "open", listener: (this: LeatEventSource, event: Event) => any, options?: boolean | AddEventListenerOptions): void
	addEventListener(type: "error", listener: (this: LeatEventSource, event: LeatErrorEvent) => any, options?: boolean | AddEventListenerOptions): void
	addEventListener(type: string, listener: (this: LeatEventSource, event: LeatMessageEvent) => any, options?: boolean | AddEventListenerOptions): void
	addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void
}
