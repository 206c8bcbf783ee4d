// One stream, read as lines and resumed by the last id, into a ring.
import { signal } from "@preact/signals"
import { call, type Envelope, type Gap, lines, Problem, said, streamURL } from "./server"
import { Ring } from "./ring"

export interface Item {
	id: string
	type?: string
	key?: string
	time: number // milliseconds since 1970, when it was stored
	arrived: number
	text: string // what is shown in the list and searched
	json: boolean
	binary: boolean
	gap?: Gap
	seq: number // counts what this page was given
}

/** capacity is how many records the page holds, and longest how much of each: a list in a browser is no archive. */
const capacity = 20_000
const longest = 16 << 10

/** A Follow reads a stream until it is closed. What arrives is handed on once for each frame that the browser draws. */
export class Follow {
	readonly state = signal<"connecting" | "live" | "ended" | "waiting">("connecting")
	readonly failed = signal("")
	readonly end = signal("")
	readonly items = new Ring<Item>(capacity)

	private pending: Item[] = []
	private frame = 0
	private seq = 0
	private last = ""
	private abort = new AbortController()

	constructor(
		readonly name: string,
		from: string,
		private changed: (fresh: Item[]) => void,
	) {
		void this.run(from)
	}

	close() {
		this.abort.abort()
		cancelAnimationFrame(this.frame)
		this.changed = () => {}
	}

	private async run(from: string) {
		const { signal } = this.abort
		for (let pause = 500; !signal.aborted; pause = Math.min(pause * 2, 10_000)) {
			try {
				const query = new URLSearchParams({ as: "ndjson", heartbeat: "15s" })
				if (this.last) query.set("last_event_id", this.last)
				else query.set("from", from)
				const response = await call(`${streamURL(this.name)}?${query}`, { signal })
				if (response.status === 204) {
					this.state.value = "ended"
					return
				}
				this.state.value = "live"
				this.failed.value = ""
				pause = 500
				for await (const batch of lines(response.body!)) {
					for (const line of batch) if (line) this.take(JSON.parse(line))
					if (this.end.value) break
				}
			} catch (error) {
				if (signal.aborted) return
				this.failed.value = said(error)
				if (error instanceof Problem && error.status < 500 && error.status !== 429) {
					this.state.value = "ended"
					return
				}
			}
			if (this.end.value) {
				this.state.value = "ended"
				return
			}
			this.state.value = "waiting"
			await new Promise((resolve) => setTimeout(resolve, pause))
		}
	}

	private take(e: Envelope) {
		if (e.id) this.last = e.id
		if (e.end) {
			this.end.value = e.end.state + (e.end.reason ? `: ${e.end.reason}` : "")
			return
		}
		if (!e.topic && !e.gap) return
		const json = typeof e.data !== "string"
		const text = e.gap ? `${e.gap.reason}: ${e.gap.asked} → ${e.gap.next}` : json ? JSON.stringify(e.data) : (e.data as string)
		const now = performance.timeOrigin + performance.now()
		this.pending.push({
			id: e.id,
			type: e.type,
			key: e.key,
			time: e.time ? Date.parse(e.time) : now,
			arrived: now,
			text: text.length > longest ? text.slice(0, longest) + "…" : text,
			json: json && !e.gap && text.length <= longest,
			binary: e.encoding === "base64",
			gap: e.gap,
			seq: this.seq++,
		})
		// A hidden page draws no frames: it must not pile up what it has not drawn.
		if (this.pending.length > 5000) this.flush()
		else if (!this.frame) this.frame = requestAnimationFrame(this.flush)
	}

	private flush = () => {
		cancelAnimationFrame(this.frame)
		this.frame = 0
		const fresh = this.pending
		this.pending = []
		for (const item of fresh) this.items.push(item)
		this.changed(fresh)
	}
}
