// What the listing of streams does not have: asked for once for each stream that is seen.
import { signal } from "@preact/signals"
import { call, type Envelope, lines, type Stream, streamURL } from "./server"

export interface Details {
	first?: string
	retention?: string
	ttl?: string
	expires?: string
	contentType?: string
	end?: string
}

export const known = signal(new Map<string, Details>())

const queue: Stream[] = []
let running = 0

/** details asks for the details of a stream, a few streams at a time. */
export function details(s: Stream) {
	if (!queue.some((q) => q.name === s.name)) queue.push(s)
	work()
}

async function work() {
	if (running >= 3) return
	running++
	for (let s = queue.shift(); s; s = queue.shift()) {
		try {
			const d = await ask(s.name, s.records)
			known.value = new Map(known.value).set(s.name, d)
		} catch {
			// It has gone meanwhile, or is asked about again with the next list.
		}
	}
	running--
}

/** ask asks for the details of one stream; of an empty one there is no first record to wait for. */
export async function ask(name: string, records: number): Promise<Details> {
	const { headers } = await call(streamURL(name), { method: "HEAD" })
	return {
		first: records > 0 ? await firstOf(name) : undefined,
		retention: headers.get("Leat-Retention") ?? undefined,
		ttl: headers.get("Stream-TTL") ?? undefined,
		expires: headers.get("Stream-Expires-At") ?? undefined,
		contentType: headers.get("Content-Type") ?? undefined,
		end: headers.get("Leat-End") ?? (headers.get("Stream-Closed") ? "complete" : undefined),
	}
}

async function firstOf(name: string) {
	const { body } = await call(streamURL(name) + "?as=ndjson&from=start", { signal: AbortSignal.timeout(3000) })
	for await (const batch of lines(body!)) {
		for (const line of batch) {
			const e = line && (JSON.parse(line) as Envelope)
			if (e && e.topic) return e.id
		}
	}
	return undefined
}
