// The lanes: one reader for each technique, which counts what it gets.
import { type Gap, lines, streamURL } from "../server"
import { Ring } from "../ring"
import { t } from "../words"
import { now, type Payload, type Run } from "./run"

export type MarkKind = "request" | "first" | "event" | "beat" | "close" | "gap" | "end"

export interface Mark {
	at: number
	kind: MarkKind
}

/** A Resume is a connection that went on where the one before stopped. */
export interface Resume {
	at: number
	after: string // the position that was sent
	replayed: number
	from: number // the first and the last that had been published before
	to: number
	told: number // how many a gap has told of
}

export interface Technique {
	key: string
	name: () => string
	what: () => string
	read: (lane: Lane, signal: AbortSignal) => Promise<"ended" | "broken">
}

const wait = (ms: number, signal: AbortSignal) =>
	new Promise<void>((resolve) => {
		const timer = setTimeout(resolve, ms)
		signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true })
	})

export class Lane {
	/** The origin is the lane's own, since a browser allows six connections to each. */
	readonly origin: string
	state: "idle" | "connecting" | "open" | "waiting" | "held" | "ended" = "idle"

	received = 0
	repeated = 0
	missed = 0
	told = 0 // missing, but a gap has said so
	reconnects = 0
	payload = 0 // bytes of what was published
	readonly latencies = new Ring<number>(2000)
	readonly marks = new Ring<Mark>(3000)
	readonly resumes = new Ring<Resume>(20)

	position = "" // the id to go on after
	bytes = 0 // of raw bytes: how many there were
	rest = "" // of raw bytes: a line that has begun
	decoder = new TextDecoder()
	ignored = false // the first connection is no resume

	private last = 0
	private gap = false
	private resume?: Resume
	private openedAt = 0
	private over = new AbortController()

	constructor(
		readonly run: Run,
		readonly technique: Technique,
		readonly number: number,
	) {
		const { protocol, port } = location
		this.origin = `${protocol}//${number}.localhost${port ? ":" + port : ""}`
	}

	start() {
		if (this.state === "ended") return
		this.over.abort()
		this.over = new AbortController()
		void this.loop(this.over.signal)
	}

	stop() {
		this.over.abort()
		if (this.state !== "ended") this.state = "idle"
	}

	/** hold lets the connection go until the next start. */
	hold() {
		this.over.abort()
		if (this.state !== "ended") this.state = "held"
	}

	private async loop(signal: AbortSignal) {
		for (;;) {
			this.state = "connecting"
			let end: "ended" | "broken" = "broken"
			try {
				end = await this.technique.read(this, signal)
			} catch {
				// The connection has broken: the lane comes back.
			}
			if (signal.aborted) return
			if (end === "ended") {
				this.state = "ended"
				return
			}
			this.broke()
			await wait(this.run.retry.value, signal)
			if (signal.aborted) return
		}
	}

	/** broke counts a connection that did not last. */
	broke() {
		this.reconnects++
		this.state = "waiting"
	}

	/** query is what all requests of the lane have. lane= is for the wire, where it tells whose connection it is. */
	query(more: Record<string, string>) {
		return new URLSearchParams({ lane: `${this.number}`, run: this.run.name, ...more })
	}

	/** url asks for events from the lane's position. */
	url(more: Record<string, string>, scheme = this.origin) {
		const place: Record<string, string> = this.position ? { last_event_id: this.position } : { from: "start" }
		return `${scheme}/events?${this.query({ topic: this.run.name, ...place, ...more })}`
	}

	/** opened tells that the answer has begun. after is the position that was asked for. */
	opened(after: string) {
		this.state = "open"
		this.openedAt = now()
		if (this.ignored) {
			this.resume = { at: this.openedAt, after, replayed: 0, from: 0, to: 0, told: 0 }
			this.resumes.push(this.resume)
		}
		this.ignored = true
	}

	/** take counts a record. */
	take(text: string, payload: Payload = JSON.parse(text)) {
		const at = now()
		const { n, t } = payload
		this.received++
		this.payload += text.length
		this.latencies.push(at - t)
		this.mark("event", at)
		if (n <= this.last) {
			this.repeated++
			return
		}
		const lacks = n - this.last - 1
		if (lacks && this.gap) {
			this.told += lacks
			if (this.resume) this.resume.told += lacks
		} else this.missed += lacks
		this.gap = false
		this.last = n
		if (this.resume && t < this.openedAt) {
			this.resume.from ||= n
			this.resume.to = n
			this.resume.replayed++
		}
	}

	/** gapTold is called when the server has said that records are gone. */
	gapTold() {
		this.gap = true
		this.mark("gap", now())
	}

	/** mark adds to the timeline; of events one in a hundredth of a second will do. */
	mark(kind: MarkKind, at: number) {
		const last = this.marks.length ? this.marks.at(this.marks.length - 1) : undefined
		if (last?.kind === kind && at - last.at < 10) return
		this.marks.push({ at, kind })
	}

	/** takeEnvelope takes an object of lines, polls and WebSockets; true is the end. */
	takeEnvelope(e: { id?: string; topic?: string; data?: string; gap?: Gap; end?: unknown }) {
		if (e.id) this.position = e.id
		if (e.gap) this.gapTold()
		if (e.end) this.mark("end", now())
		else if (e.topic) this.take(e.data!)
		return e.end !== undefined
	}

	percentile(p: number) {
		if (!this.latencies.length) return undefined
		const sorted = Float64Array.from(this.latencies).sort()
		return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]
	}
}

/** polls asks again and again; of what comes back each time `wait` says how long the server may take. */
async function polls(lane: Lane, signal: AbortSignal, longest: string, pause: number): Promise<"ended" | "broken"> {
	for (let first = true; ; first = false) {
		const after = lane.position
		const response = await fetch(lane.url({ as: "json", wait: longest }), { signal, cache: "no-store" })
		if (response.status === 204) return "ended"
		if (!response.ok) return "broken"
		if (first) lane.opened(after)
		const { events, next } = await response.json()
		let ended = false
		for (const e of events) ended = lane.takeEnvelope(e) || ended
		if (next) lane.position = next
		if (ended) return "ended"
		await wait(pause, signal)
	}
}

export const techniques: Technique[] = [
	{
		key: "polling",
		name: () => t("Polling", "轮询"),
		what: () => t("asks once a second, and gets what there is", "每秒请求一次，取回已有内容"),
		read: (lane, signal) => polls(lane, signal, "0s", 1000),
	},
	{
		key: "longpoll",
		name: () => t("Long polling", "长轮询"),
		what: () => t("asks, and is answered when there is something", "请求后，有内容时才得到响应"),
		read: (lane, signal) => polls(lane, signal, "20s", 0),
	},
	{
		key: "sse",
		name: () => t("Event stream", "事件流 SSE"),
		what: () => t("EventSource; the browser itself comes back with Last-Event-ID", "EventSource；浏览器自动携带 Last-Event-ID 重连"),
		read: (lane, signal) =>
			new Promise((resolve) => {
				const source = new EventSource(lane.url({ heartbeat: lane.run.heartbeat.value, retry: `${lane.run.retry.value}ms` }))
				let ended = false
				const done = (how: "ended" | "broken") => {
					source.close()
					resolve(how)
				}
				signal.addEventListener("abort", () => done("broken"), { once: true })
				if (signal.aborted) done("broken")
				source.onopen = () => lane.opened(lane.position)
				source.onmessage = (e) => {
					lane.position = e.lastEventId
					lane.take(e.data)
				}
				source.addEventListener("leat.cursor", (e) => (lane.position = (e as MessageEvent).lastEventId))
				source.addEventListener("leat.gap", (e) => {
					lane.position = (e as MessageEvent).lastEventId
					lane.gapTold()
				})
				source.addEventListener("leat.end", (e) => {
					lane.position = (e as MessageEvent).lastEventId
					lane.mark("end", now())
					ended = true
				})
				source.onerror = () => {
					// Closed for good: by 204, which is how a server stops an EventSource, or by an error.
					if (source.readyState === EventSource.CLOSED) done(ended ? "ended" : "broken")
					else lane.broke()
				}
			}),
	},
	{
		key: "ndjson",
		name: () => t("NDJSON by fetch", "fetch 读 NDJSON"),
		what: () => t("a line of JSON for each record, in one response", "一个响应，每条记录一行 JSON"),
		read: async (lane, signal) => {
			const after = lane.position
			const response = await fetch(lane.url({ as: "ndjson", heartbeat: lane.run.heartbeat.value }), { signal, cache: "no-store" })
			if (response.status === 204) return "ended"
			if (!response.ok) return "broken"
			lane.opened(after)
			for await (const batch of lines(response.body!)) {
				for (const line of batch) if (line && lane.takeEnvelope(JSON.parse(line))) return "ended"
			}
			return "broken"
		},
	},
	{
		key: "bytes",
		name: () => t("Raw bytes by fetch", "fetch 读原始字节"),
		what: () => t("the content and nothing else; resumed by Range", "只有内容本身；用 Range 续传"),
		read: async (lane, signal) => {
			const headers: Record<string, string> = lane.bytes ? { Range: `bytes=${lane.bytes}-` } : {}
			const response = await fetch(`${lane.origin}${streamURL(lane.run.name)}?${lane.query({ follow: "1" })}`, { signal, cache: "no-store", headers })
			if (response.status === 410) {
				lane.bytes = (await response.json()).start
				lane.rest = ""
				lane.decoder = new TextDecoder()
				lane.gapTold()
				return "broken"
			}
			if (!response.ok) return "broken"
			lane.opened(headers.Range ?? "")
			const reader = response.body!.getReader()
			for (;;) {
				const { done, value } = await reader.read()
				if (done) break
				lane.bytes += value.length
				const parts = (lane.rest + lane.decoder.decode(value, { stream: true })).split("\n")
				lane.rest = parts.pop()!
				for (const line of parts) lane.take(line + "\n")
			}
			// What breaks off is an error of read(); this was a clean end.
			lane.mark("end", now())
			return "ended"
		},
	},
	{
		key: "array",
		name: () => t("JSON array", "JSON 数组"),
		what: () => t("an array of what is new, by offset (Durable Streams)", "按偏移取新内容的数组（Durable Streams）"),
		read: async (lane, signal) => {
			for (let first = true; ; first = false) {
				const after = lane.position
				const response = await fetch(`${lane.origin}${streamURL(lane.run.twin)}?${lane.query({ offset: after || "-1", live: "long-poll" })}`, { signal, cache: "no-store" })
				if (response.status === 410) {
					lane.position = response.headers.get("Leat-Earliest-Offset") ?? "-1"
					lane.gapTold()
					continue
				}
				if (!response.ok) return "broken"
				if (first) lane.opened(after)
				if (response.status === 200) for (const p of (await response.json()) as Payload[]) lane.take(JSON.stringify(p), p)
				lane.position = response.headers.get("Stream-Next-Offset") ?? lane.position
				if (response.headers.get("Stream-Closed")) {
					lane.mark("end", now())
					return "ended"
				}
			}
		},
	},
	{
		key: "websocket",
		name: () => "WebSocket",
		what: () => t("messages over a connection that is no longer HTTP; resumed by the page", "不再是 HTTP 的连接上的消息；由页面续传"),
		read: (lane, signal) =>
			new Promise((resolve) => {
				const after = lane.position
				const socket = new WebSocket(lane.url({ heartbeat: lane.run.heartbeat.value }, lane.origin.replace(/^http/, "ws")))
				let ended = false
				signal.addEventListener("abort", () => (socket.close(), resolve("broken")), { once: true })
				if (signal.aborted) socket.close()
				socket.onopen = () => lane.opened(after)
				socket.onmessage = (e) => (ended = (!signal.aborted && lane.takeEnvelope(JSON.parse(e.data))) || ended)
				socket.onclose = (e) => resolve(ended || (e.code === 1000 && e.reason === "ended") ? "ended" : "broken")
			}),
	},
]
