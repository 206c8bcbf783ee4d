// What is on the wire, by lane: the server tells of every read and write, and a query
// parameter in the request tells whose it is.
import { Ring } from "../ring"
import { call, lines } from "../server"
import type { Lane } from "./lanes"
import { type Run } from "./run"

export interface Seen {
	at: number
	conn: number
	dir: "in" | "out" | "closed"
	text: string // each character is a byte
	head: boolean // a head of HTTP, or its beginning
	frames: boolean // of a WebSocket
}

/** A Trace is what the wire has told of a lane. */
export class Trace {
	requests = 0
	bytesIn = 0
	bytesOut = 0
	request = ""
	response = ""
	readonly seen = new Ring<Seen>(60)
}

interface Connection {
	lane?: Lane
	trace?: Trace
	asked: string // the request so far
	head: string // of the response, so far
	inHead: boolean
	frames: boolean
	chunked: boolean
}

const longest = 4096 // bytes kept of one piece

export class Wire {
	readonly traces: Trace[]
	lost = 0 // pieces that the server could not keep for us

	private connections = new Map<number, Connection>()
	private unknown = new Map<number, { at: number; text: string }>() // requests whose first line has not come whole
	private number = 0

	constructor(
		private readonly run: Run,
		private readonly signal: AbortSignal,
	) {
		this.traces = run.lanes.map(() => new Trace())
	}

	/** start returns once nothing can be missed. */
	async start() {
		const response = await this.ask()
		void this.read(response)
	}

	private ask() {
		return call("/api/lab/wire", { signal: this.signal, headers: this.number ? { "Last-Event-ID": `${this.number}` } : {} })
	}

	private async read(response: Response) {
		for (;;) {
			try {
				for await (const batch of lines(response.body!)) for (const line of batch) this.line(line)
			} catch {
				// It is asked for again.
			}
			for (;;) {
				if (this.signal.aborted) return
				await new Promise((resolve) => setTimeout(resolve, 500))
				try {
					response = await this.ask()
					break
				} catch {
					// The server is away: once more.
				}
			}
		}
	}

	private line(line: string) {
		if (line.startsWith("id:")) {
			const number = Number(line.slice(3))
			if (this.number && number > this.number + 1) this.lost += number - this.number - 1
			this.number = number
		} else if (line.startsWith("data:")) {
			const p = JSON.parse(line.slice(5))
			this.piece(p.conn, p.at / 1000, p.dir, p.data ?? "")
		}
	}

	private piece(conn: number, at: number, dir: Seen["dir"], base64: string) {
		let c = this.connections.get(conn)
		if (dir === "closed") {
			if (c?.trace) {
				c.lane!.mark("close", at)
				this.see(c.trace, { at, conn, dir, text: "", head: false, frames: false })
			}
			this.connections.delete(conn)
			this.unknown.delete(conn)
			return
		}
		let text = atob(base64)
		if (dir === "in") {
			if (!c) {
				const begun = this.unknown.get(conn)
				text = (begun?.text ?? "") + text
				at = begun?.at ?? at
				if (!text.includes("\n") && text.length < longest) {
					this.unknown.set(conn, { at, text })
					return
				}
				this.unknown.delete(conn)
				const m = /^[A-Z]+ [^ ]*[?&]lane=(\d+)&run=([^& ]*)/.exec(text)
				if (!m || decodeURIComponent(m[2]) !== this.run.name) return
				const i = Number(m[1]) - 1
				c = { lane: this.run.lanes[i], trace: this.traces[i], asked: "", head: "", inHead: false, frames: false, chunked: false }
				this.connections.set(conn, c)
			}
			this.asked(c, conn, at, text)
		} else if (c) this.answered(c, conn, at, text)
	}

	private asked(c: Connection, conn: number, at: number, text: string) {
		const trace = c.trace!
		trace.bytesIn += text.length
		const head = !c.frames
		if (head) {
			if (!c.inHead) {
				trace.requests++
				c.asked = ""
				c.head = ""
				c.inHead = true
				c.lane!.mark("request", at)
			}
			c.asked += text
			trace.request = c.asked
		}
		this.see(trace, { at, conn, dir: "in", text, head, frames: c.frames })
	}

	private answered(c: Connection, conn: number, at: number, text: string) {
		const trace = c.trace!
		trace.bytesOut += text.length
		let body = text
		if (c.inHead) {
			if (!c.head) c.lane!.mark("first", at)
			c.head += text
			const end = c.head.indexOf("\r\n\r\n")
			if (end < 0) {
				this.see(trace, { at, conn, dir: "out", text, head: true, frames: false })
				return
			}
			body = c.head.slice(end + 4)
			trace.response = c.head.slice(0, end + 4)
			c.inHead = false
			c.frames = /^HTTP\/1\.1 101/.test(c.head)
			c.chunked = /\r\ntransfer-encoding: *chunked/i.test(c.head)
			this.see(trace, { at, conn, dir: "out", text: text.slice(0, text.length - body.length), head: true, frames: false })
			if (!body) return
		}
		if (beats(body, c)) c.lane!.mark("beat", at)
		this.see(trace, { at, conn, dir: "out", text: body, head: false, frames: c.frames })
	}

	private see(trace: Trace, s: Seen) {
		if (s.text.length > longest) s.text = s.text.slice(0, longest) + "…"
		trace.seen.push(s)
	}
}

/** beats reports whether what was written is a heartbeat: a comment, a cursor, an empty line or an empty message. */
function beats(body: string, c: Connection) {
	if (body.length > 200) return false
	if (c.frames) return body === "\x81\x02{}"
	if (c.chunked) body = body.replace(/^[0-9a-f]+\r\n/i, "").replace(/\r\n$/, "")
	return /^(\n|:[^\n]*\n+|id: ?\S+\nevent: leat\.cursor\ndata:? ?\n\n)+$/.test(body)
}

/** overhead is how much of what was moved was not payload. */
export const overhead = (lane: Lane, trace: Trace) => {
	const all = trace.bytesIn + trace.bytesOut
	return all ? Math.max(0, 1 - lane.payload / all) : undefined
}

