import { LeatError, network, refusal } from "./error"

/** How a request is made, and what becomes of it when the connection does not last. */
export interface ConnectOptions {
	/** GET by default. */
	method?: string
	/** A function is called for each attempt, for example to get a fresh token. */
	headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>)
	/** Sent with each attempt. */
	body?: BodyInit | null
	/** As of fetch: `same-origin` by default. */
	credentials?: RequestCredentials
	/**
	 * Whether the request may be made again by itself: after the end, a failure or
	 * silence. True by default for GET, and false for every other method, since it may
	 * do its work twice.
	 */
	repeat?: boolean
	/**
	 * For how many milliseconds nothing may arrive before the connection is taken for
	 * dead. Any byte counts, a heartbeat's too. 0 is for ever. By default 45000, three
	 * heartbeats of a Leat server, if the request may be made again; and for ever
	 * where nobody sends heartbeats, once the answer has begun.
	 */
	stall?: number
	/**
	 * About how many milliseconds to wait before another attempt, until the server names
	 * a delay. 1000 by default. It grows with each failure in a row, to 30 s.
	 */
	retry?: number
	/** How many failures in a row to endure. No limit by default. */
	maxFailures?: number
	/** The largest event, line or element, in characters. 16 Mi by default. */
	maxSize?: number
	/** Called with each comment of an event stream, such as a heartbeat. */
	onComment?: (text: string) => void
	/** Sends the requests in place of the global fetch. */
	fetch?: typeof fetch
}

/** Where a reader stands, and another one can go on. */
export interface Place {
	/** Of events and of a Leat server's lines. */
	lastEventId: string
	/** How many bytes have come. */
	position: number
	/** What position belongs to: without it bytes cannot be resumed. */
	etag?: string
	/** How many bytes there will be, if that is known. */
	total?: number
}

/**
 * A Form is what one kind of body means, over all connections of a reader.
 *
 * @internal
 */
export interface Form<T> {
	/** Another connection can go on where this one stopped. */
	resumable(): boolean
	/** The other side sends something from time to time. */
	beats: boolean
	/** begin looks at the head of an answer, and throws if it is not what it should be. */
	begin(response: Response): void
	/** feed puts what is complete with chunk into out. */
	feed(chunk: Uint8Array, out: T[]): void
	/**
	 * end takes the clean end of a body, the last one if there will be no other, puts
	 * what is complete with it into out, and reports whether there is more to come. It
	 * throws if something is missing.
	 */
	end(last: boolean, out: T[]): boolean
	/** over is why it is no use to come back, if a body broke off. */
	over?(): LeatError | undefined
}

const leastRetry = 100 // whatever a server asks for
const mostRetry = 24 * 3600e3 // larger numbers overflow timers
const mostWait = 30e3 // where the back-off ends, unless the server asks for more
const stable = 10e3 // who was connected for so long has not failed

const clamp = (retry: number) => Math.min(Math.max(retry, leastRetry), mostRetry)

/**
 * wait is a random time between what the other side asked for and a ceiling that doubles
 * with each failure. All of the range is used ("full jitter"), so that readers cut off
 * together do not come back together.
 *
 * @internal
 */
export function wait(failures: number, floor: number, base: number): number {
	floor = clamp(floor)
	const ceiling = clamp(Math.max(Math.min(base * 2 ** failures, mostWait), floor * 1.5))
	return floor + Math.random() * (ceiling - floor)
}

/** @internal */
export const isSafe = (method = "GET") => /^(get|head)$/i.test(method)

/** @internal headersOf makes the headers of one attempt. */
export async function headersOf({ headers }: Pick<ConnectOptions, "headers">) {
	return new Headers(typeof headers === "function" ? await headers() : headers)
}

/**
 * A Follower makes one connection after another, and hands over what arrives on them.
 *
 * @internal
 */
export class Follower<T> {
	/** What the server asked for, in milliseconds; 0 if nothing. */
	retry = 0
	closed = false
	/** Why it was closed. */
	reason: unknown
	private failures = 0
	private attempt = new AbortController()
	private cut?: LeatError // why we ended the attempt
	private heard = 0 // when the last byte came
	private awake?: () => void // ends a wait
	private repeat: boolean

	constructor(
		private url: string,
		private options: ConnectOptions,
		private accept: string,
		readonly place: Place,
		/** What comes; known when the first answer has begun, if choose finds it out. */
		public form: Form<T> | undefined,
		private choose?: (response: Response) => Form<T>,
	) {
		this.repeat = options.repeat ?? isSafe(options.method)
	}

	onopen?: (response: Response) => void
	/** The connection ended, and there will be another attempt after delay. */
	onwait?: (error: LeatError, delay: number) => void
	onprogress?: (place: Place) => void

	/** close ends it. Who waits for more gets reason as an error, if there is one. */
	close(reason?: unknown) {
		this.reason ??= reason
		this.closed = true
		this.attempt.abort()
		this.awake?.()
	}

	/** setRetry takes over a delay that the server named. */
	setRetry = (retry: number) => {
		this.retry = clamp(retry)
	}

	/** run yields what arrives, as it arrives. An answer that is there already is not asked for again. */
	async *run(first?: Response): AsyncGenerator<T[], void, undefined> {
		if (first) this.repeat = false
		const stop = this.repeat ? this.watchPage() : undefined
		try {
			while (!this.closed) {
				const began = Date.now()
				let error: LeatError
				try {
					const response = first ?? (await this.connect())
					if (!response) return
					this.form ??= this.choose!(response)
					this.form.begin(response)
					this.onopen?.(response)
					const before = this.place.position
					yield* this.read(response)
					if (this.closed) break
					const out: T[] = []
					const more = this.form.end(!this.repeat, out)
					if (out.length) yield out
					if (!more || !this.repeat) return
					error = new LeatError("unavailable", "the server ended the stream", { again: true })
					if (this.place.position > before) this.failures = 0
				} catch (e) {
					if (this.closed) break
					error = this.cut ?? this.form?.over?.() ?? (e as LeatError)
					if (Date.now() - began >= stable) this.failures = 0
				} finally {
					this.attempt.abort()
				}
				await this.pause(error)
			}
		} finally {
			this.closed = true
			stop?.()
		}
	}

	/** connect makes one attempt. It returns nothing if there is no more to come. */
	private async connect(): Promise<Response | undefined> {
		const { method, body, credentials, fetch = globalThis.fetch } = this.options
		const { place } = this
		this.attempt = new AbortController()
		this.cut = undefined
		const headers = await headersOf(this.options)
		// Browsers do not let it be set; elsewhere compression would hold back what is due.
		headers.set("accept-encoding", "identity")
		if (!headers.has("accept")) headers.set("accept", this.accept)
		if (place.lastEventId) headers.set("last-event-id", encodeId(place.lastEventId))
		if (place.position && place.etag) {
			headers.set("range", `bytes=${place.position}-`)
			headers.set("if-range", place.etag)
		}
		const request = new Request(this.url, { method, body, credentials, headers, cache: "no-store", signal: this.attempt.signal })
		const response = await this.inTime(true, () => fetch(request)).catch((e) => {
			throw network(this.url, e, "unavailable")
		})
		if (response.status === 204) return
		if (response.status === 416 && response.headers.get("content-range") === `bytes */${place.position}`) return
		if (!response.ok) throw await this.inTime(true, () => refusal(response))
		return response
	}

	private async *read(response: Response): AsyncGenerator<T[], void, undefined> {
		const form = this.form!
		const reader = response.body?.getReader()
		try {
			while (reader && !this.closed) {
				const { value, done } = await this.inTime(form.beats, () => reader.read()).catch((e) => {
					throw network(this.url, e, "truncated")
				})
				if (done) return
				this.place.position += value.length
				const out: T[] = []
				let wrong
				try {
					form.feed(value, out)
				} catch (e) {
					wrong = e
				}
				this.onprogress?.(this.place)
				if (out.length) yield out
				if (wrong) throw wrong
			}
		} finally {
			reader?.cancel().catch(() => {})
		}
	}

	/** inTime ends the attempt if what is done takes longer than the other side may be silent. */
	private async inTime<R>(expected: boolean, what: () => Promise<R>): Promise<R> {
		const limit = this.options.stall ?? (expected && this.repeat ? 45e3 : 0)
		this.heard = Date.now()
		const timer = limit > 0 && setTimeout(() => this.interrupt(`nothing arrived for ${limit} ms`), clamp(limit))
		try {
			return await what()
		} finally {
			if (timer) clearTimeout(timer)
		}
	}

	/** interrupt ends the attempt. */
	private interrupt(why: string, hurry = false) {
		this.cut = new LeatError("unavailable", why, { again: true, hurry })
		this.attempt.abort()
	}

	/** pause waits for the next attempt, and throws if there will be none. */
	private async pause(error: LeatError) {
		if (!error.again || !this.repeat || this.form?.resumable() === false) throw error
		const delay = error.hurry ? 0 : wait(this.failures, Math.max(this.retry, error.retryAfter), 2 * (this.retry || (this.options.retry ?? 1000)))
		if (!error.hurry && ++this.failures > (this.options.maxFailures ?? Infinity)) throw error
		await new Promise<void>((resolve) => {
			const timer = setTimeout(resolve, delay)
			this.awake = () => {
				clearTimeout(timer)
				resolve()
			}
			this.onwait?.(error, delay)
			if (this.closed) this.awake()
		})
		this.awake = undefined
	}

	/**
	 * watchPage mends the connection when a page is looked at again, comes back from the
	 * back/forward cache, or has a network again: it may have been cut without a word
	 * meanwhile. What it returns ends that.
	 */
	private watchPage() {
		if (typeof document === "undefined") return
		const mend = (e: Event) => {
			if (e.type === "visibilitychange" && document.visibilityState !== "visible") return
			if (e.type === "pageshow" && !(e as PageTransitionEvent).persisted) return
			if (this.awake) return this.awake()
			// Who is looked at and has heard a heartbeat is well.
			if (e.type === "visibilitychange" && (!this.form?.beats || Date.now() - this.heard < 20e3)) return
			if (this.form?.resumable() === false) return
			this.interrupt("the page was away", true)
		}
		const where: [EventTarget, string][] = [
			[document, "visibilitychange"],
			[window, "pageshow"],
			[window, "online"],
		]
		for (const [target, type] of where) target.addEventListener(type, mend)
		return () => {
			for (const [target, type] of where) target.removeEventListener(type, mend)
		}
	}
}

/**
 * encodeId writes an id as the bytes of its UTF-8, one character each, as Headers takes
 * them.
 */
function encodeId(id: string) {
	return /^[\0-\x7f]*$/.test(id) ? id : String.fromCharCode(...new TextEncoder().encode(id))
}
