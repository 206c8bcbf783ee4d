import { header, LeatError, network, refusal } from "./error"

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
	/** Called with the head of each answer that is good. */
	onOpen?: (response: Response) => void
	/** Called when the connection is lost, or could not be made: there is another attempt in delay milliseconds. */
	onWait?: (error: LeatError, delay: number) => void
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

/** In milliseconds. The compiler puts the numbers in their places. */
const enum Limit {
	leastRetry = 100, // whatever a server asks for
	mostRetry = 24 * 3600e3, // larger numbers overflow timers
	mostWait = 30e3, // where the back-off ends, unless the server asks for more
	stable = 10e3, // who was connected for so long has not failed
	stall = 45e3, // three heartbeats
	heartbeat = 20e3, // one, and some time for the way
}

const clamp = (retry: number) => Math.min(Math.max(retry, Limit.leastRetry), Limit.mostRetry)

/**
 * wait is a random time between what the other side asked for and a ceiling that doubles
 * with each failure. All of the range is used ("full jitter"), so that readers cut off
 * together do not come back together.
 *
 * @internal
 */
export function wait(failures: number, floor: number, base: number): number {
	floor = clamp(floor)
	const ceiling = clamp(Math.max(Math.min(base * 2 ** failures, Limit.mostWait), floor * 1.5))
	return floor + Math.random() * (ceiling - floor)
}

/** @internal */
export const isSafe = (method = "GET") => /^get$/i.test(method)

/** resolve makes a URL of one that a page may have written without its own address. @internal */
export const resolve = (url: string | URL) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href)

/** headersOf makes the headers of one attempt. @internal */
export const headersOf = async ({ headers }: Pick<ConnectOptions, "headers">) => new Headers(typeof headers === "function" ? await headers() : headers)

/** @internal */
export interface Follower<T> {
	/** run yields what arrives, as it arrives together. */
	run(first?: Response): AsyncGenerator<T[], void, undefined>
	/** close ends it. */
	close(): void
	/** setRetry takes over a delay that the server named. */
	setRetry(milliseconds: number): void
}

/**
 * follow makes one connection after another. What comes is of a form that is known, or
 * chosen by the first answer. place moves with what comes.
 *
 * @internal
 */
export function follow<T>(
	url: string,
	options: ConnectOptions & { onProgress?: (place: Place) => void },
	accept: string,
	place: Place,
	form: Form<T> | undefined,
	choose?: (response: Response) => Form<T>,
): Follower<T> {
	const { method, body, credentials, fetch = globalThis.fetch, onOpen, onWait, onProgress } = options
	let repeat = options.repeat ?? isSafe(method)
	let retry = 0
	let failures = 0 // in a row
	let closed = false
	let attempt: AbortController | undefined
	let cut: LeatError | undefined // why we ended the attempt
	let heard = 0 // when something was waited for, after what came before
	let awake: (() => void) | undefined // ends a pause

	function interrupt(why: string, hurry?: boolean) {
		cut = new LeatError("unavailable", why, { again: true, hurry })
		attempt?.abort()
	}

	/** inTime ends the attempt if what is waited for takes longer than the other side may be silent. */
	async function inTime<R>(beats: boolean, what: Promise<R>): Promise<R> {
		const limit = options.stall ?? (beats && repeat ? Limit.stall : 0)
		heard = Date.now()
		const timer = limit > 0 ? setTimeout(() => interrupt(`nothing arrived for ${limit} ms`), clamp(limit)) : 0
		try {
			return await what
		} finally {
			clearTimeout(timer)
		}
	}

	/** connect makes one attempt. It returns nothing if there is no more to come. */
	async function connect(): Promise<Response | undefined> {
		attempt = new AbortController()
		const request = new Request(url, { method, body, credentials, headers: await headersOf(options), cache: "no-store", signal: attempt.signal })
		const { headers } = request
		// Compression would hold back what is due. Browsers do not let it be set, and do by
		// themselves what the next one asks for; from a page it would need a preflight.
		headers.set("accept-encoding", "identity")
		if (headers.has("accept-encoding")) headers.set("cache-control", "no-cache")
		if (!headers.has("accept")) headers.set("accept", accept)
		// As the bytes of its UTF-8, one character each, which is what Headers takes.
		if (place.lastEventId) headers.set("last-event-id", String.fromCharCode(...new TextEncoder().encode(place.lastEventId)))
		if (place.etag) {
			headers.set("range", `bytes=${place.position}-`)
			headers.set("if-range", place.etag)
		}
		const response = await inTime(
			true,
			fetch(request).catch((e) => {
				throw network(url, e)
			}),
		)
		const { status } = response
		if (status === 204 || (status === 416 && header(response, "content-range") === `bytes */${place.position}`)) return
		if (!response.ok) throw await inTime(true, refusal(response))
		return response
	}

	async function* read({ body }: Response, form: Form<T>): AsyncGenerator<T[], void, undefined> {
		const reader = body?.getReader()
		try {
			while (reader && !closed) {
				const next = reader.read().catch((e) => {
					throw network(url, e, true)
				})
				const { value, done } = await inTime(form.beats, next)
				if (done) return
				place.position += value.length
				const out: T[] = []
				let wrong
				try {
					form.feed(value, out)
				} catch (e) {
					wrong = e // after what came before it
				}
				onProgress?.(place)
				if (out.length) yield out
				if (wrong) throw wrong
			}
		} finally {
			reader?.cancel().catch(() => {})
		}
	}

	/** pause waits for the next attempt. It throws if there will be none. */
	async function pause(error: LeatError) {
		const { again, hurry, after } = error
		if (!again || !repeat || form?.resumable() === false || (!hurry && failures >= options.maxFailures!)) throw error
		const delay = hurry ? 0 : wait(failures++, Math.max(retry, after), 2 * (retry || (options.retry ?? 1000)))
		await new Promise<void>((resolve) => {
			const timer = setTimeout(resolve, delay)
			awake = () => {
				clearTimeout(timer)
				resolve()
			}
			onWait?.(error, delay)
			if (closed) awake()
		})
		awake = undefined
	}

	/**
	 * mend is for a page that is looked at again, was frozen, comes back from the
	 * back/forward cache, or has a network again: its connection may have been cut
	 * without a word meanwhile.
	 */
	function mend({ type, persisted }: Event & { persisted?: boolean }) {
		const looked = type === "visibilitychange"
		if (looked ? document.hidden : persisted === false) return
		if (awake) awake()
		// Who has heard a heartbeat of late is well.
		else if (form?.resumable() && (!looked || (form.beats && Date.now() - heard > Limit.heartbeat))) interrupt("the page was away", true)
	}

	async function* run(first?: Response): AsyncGenerator<T[], void, undefined> {
		if (first) repeat = false
		const stop = new AbortController()
		if (repeat && globalThis.document) {
			// The first two are the document's; not all bubble, so they are caught on their way there.
			for (const type of ["visibilitychange", "resume", "pageshow", "online"]) addEventListener(type, mend, { signal: stop.signal, capture: true })
		}
		try {
			while (!closed) {
				const began = Date.now()
				const before = place.position
				let error: LeatError
				try {
					const response = first ?? (await connect())
					if (!response) return
					form ??= choose!(response)
					form.begin(response)
					onOpen?.(response)
					yield* read(response, form)
					const out: T[] = []
					const more = form.end(!repeat, out)
					if (out.length) yield out
					if (!more || !repeat) return
					error = new LeatError("unavailable", "the server ended the stream", { again: true })
					if (place.position > before) failures = 0
				} catch (e) {
					error = cut ?? form?.over?.() ?? (e as LeatError)
				}
				attempt?.abort()
				cut = undefined
				// Bytes that came need not come again: it was no failure that they were not all.
				if (Date.now() - began > Limit.stable || (place.position > before && !form?.beats)) failures = 0
				if (!closed) await pause(error)
			}
		} finally {
			closed = true
			attempt?.abort()
			stop.abort()
		}
	}

	return {
		run,
		close() {
			closed = true
			attempt?.abort()
			awake?.()
		},
		setRetry(milliseconds) {
			retry = clamp(milliseconds)
		},
	}
}

