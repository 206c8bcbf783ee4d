// A run of the lab: a stream, who publishes to it, and the lanes that read it.
import { signal } from "@preact/signals"
import { call, Problem, said, streamURL } from "../server"
import { tell } from "../ui"
import { Lane, techniques } from "./lanes"
import { Wire } from "./wire"

export interface Payload {
	n: number // counts the records of a run, from 1
	t: number // when it was published, in milliseconds since 1970
	text: string
}

/** now is the clock of the page, which is finer than Date's. */
export const now = () => performance.timeOrigin + performance.now()

const tick = 50 // milliseconds between batches of the producer

/**
 * A Run has two streams of the same records, since an array of JSON and a body of raw bytes
 * cannot be read of one: NAME is text, each record a line, and NAME.json has JSON.
 */
export class Run {
	readonly name = "lab/" + Date.now().toString(36)
	readonly twin = this.name + ".json"
	readonly lanes: Lane[]
	readonly wire: Wire
	readonly perSecond = signal(0)
	readonly heartbeat = signal("5s")
	readonly retry = signal(1000)
	readonly padding = signal(40)
	readonly paused = signal(false)
	readonly ended = signal(false)
	readonly published = signal(0)

	private over = new AbortController()
	private n = 0
	private due = 0
	private timer = 0
	private sending: Promise<unknown> = Promise.resolve()
	private queue: Payload[] = []
	private last = ""

	constructor() {
		this.lanes = techniques.map((t, i) => new Lane(this, t, i + 1))
		this.wire = new Wire(this, this.over.signal)
	}

	async start() {
		const made = (name: string, contentType: string) =>
			call(streamURL(name), { method: "PUT", headers: { "Content-Type": contentType, "Stream-TTL": "3600" } })
		await Promise.all([made(this.name, "text/plain"), made(this.twin, "application/json")])
		await this.wire.start()
		for (const lane of this.lanes) lane.start()
		let last = now()
		this.timer = window.setInterval(() => {
			const at = now()
			if (!this.paused.value) this.due = Math.min(this.due + (this.perSecond.value * (at - last)) / 1000, 1000)
			last = at
			for (; this.due >= 1; this.due--) this.make("")
			this.send()
		}, tick)
	}

	/** stop ends all of it, and takes the streams away. */
	stop() {
		clearInterval(this.timer)
		for (const lane of this.lanes) lane.stop()
		this.over.abort()
		for (const name of [this.name, this.twin]) call(streamURL(name), { method: "DELETE", keepalive: true }).catch(() => {}) // they go by their TTL too
	}

	/** publish appends one record, and returns when it is stored. */
	async publish(text: string) {
		this.make(text)
		do {
			this.send()
			await this.sending
		} while (this.queue.length && !this.ended.value && !this.over.signal.aborted)
	}

	private make(text: string) {
		if (!this.ended.value) this.queue.push({ n: ++this.n, t: now(), text: text || "·".padEnd(this.padding.value, "-") })
	}

	private busy = false

	/** send appends what waits, one request at a time so that the order stays. */
	private send() {
		if (this.busy || !this.queue.length) return
		this.busy = true
		const batch = this.queue.splice(0, 500)
		this.sending = this.deliver(batch)
			.catch((error) => tell(said(error), true))
			.finally(() => (this.busy = false))
	}

	/** deliver repeats a batch until it is answered. The server knows by its sequence what it has stored already. */
	private async deliver(batch: Payload[]) {
		const texts = batch.map((p) => JSON.stringify(p))
		const bodies: [string, string, string][] = [
			[this.name, "text/event-stream", texts.map((t) => `data: ${t}\ndata:\n\n`).join("")],
			[this.twin, "application/x-ndjson", texts.map((t) => t + "\n").join("")],
		]
		const producer = { "Producer-Id": "lab", "Producer-Epoch": "0", "Producer-Seq": String(batch[0].n - 1) }
		const append = async ([name, contentType, body]: [string, string, string]) => {
			for (;;) {
				try {
					const answer = await call(streamURL(name), { method: "POST", body, headers: { "Content-Type": contentType, ...producer }, signal: this.over.signal })
					return (await answer.json()).last as string
				} catch (error) {
					if (error instanceof Problem && error.status < 500 && error.status !== 429) throw error
					if (this.over.signal.aborted) return ""
					await new Promise((resolve) => setTimeout(resolve, 200))
				}
			}
		}
		const lasts = await Promise.all(bodies.map(append))
		this.last = lasts.sort().at(-1) || this.last
		this.published.value = batch.at(-1)!.n
	}

	/** cut breaks every connection but those of the console. */
	async cut(): Promise<number> {
		return (await (await call("/api/lab/cut", { method: "POST" })).json()).cut
	}

	stall(seconds: number) {
		return call(`/api/lab/stall?for=${seconds}s`, { method: "POST" })
	}

	/** trim removes records that readers are owed: all lanes let go, five records are published and removed, three more follow, and the lanes come back. */
	async trim() {
		for (const lane of this.lanes) lane.hold()
		try {
			for (let i = 0; i < 5; i++) await this.publish("gone before it was read")
			const { last } = this
			await Promise.all([this.name, this.twin].map((name) => call(streamURL(name), { method: "POST", headers: { "Leat-Trim": last } })))
			for (let i = 0; i < 3; i++) await this.publish("after the gap")
		} finally {
			for (const lane of this.lanes) lane.start()
		}
	}

	/** end closes the streams: readers get the rest and the end, and are not let in again. */
	async end() {
		await this.sending
		this.ended.value = true
		this.queue = []
		await Promise.all([this.name, this.twin].map((name) => call(streamURL(name), { method: "POST", headers: { "Stream-Closed": "true" } })))
	}

	/** reconnect has the lanes that take the heartbeat and the retry with their request come back. */
	reconnect() {
		for (const lane of this.lanes) {
			if (lane.state === "ended") continue
			lane.hold()
			lane.start()
		}
	}
}
