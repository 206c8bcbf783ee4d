// What the page asks of its server: the public HTTP interface, and /api.
import { signal } from "@preact/signals"
import { t } from "./words"

export interface About {
	version?: string
	durability: string
	head: string
	readers: number
	lab: boolean
}

export interface Stream {
	name: string
	contentType: string
	offset: string
	records: number
	bytes: number
	end?: string
}

export interface Subscriber {
	id: number
	remote: string
	surface: string
	format: string
	transport: string
	topics: string[]
	since: string
	cursor: string
	lag: number
	more: boolean
	bytes: number
}

export interface Envelope {
	id: string
	topic?: string
	type?: string
	key?: string
	time?: string
	data?: unknown
	encoding?: "base64"
	gap?: Gap
	end?: { topic: string; state: string; reason?: string }
}

export interface Gap {
	reason: string
	asked: string
	next: string
}

/** about is what /api says of the server; undefined while nothing is known. */
export const about = signal<About>()

/** access says whether /api answers: it may want a token, or not answer this page at all. */
export const access = signal<"ok" | "token" | "refused" | "down">("ok")

export const token = signal(sessionStorage.getItem("token") ?? "")

export function useToken(text: string) {
	sessionStorage.setItem("token", text)
	token.value = text
	return askAbout()
}

/** A Problem is an answer that is an error. */
export class Problem extends Error {
	constructor(
		readonly status: number,
		readonly code: string,
		message: string,
	) {
		super(message)
	}
}

/** call makes a request; an answer that is an error is thrown as a Problem. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
	const headers = new Headers(init.headers)
	if (token.value) headers.set("Authorization", "Bearer " + token.value)
	const response = await fetch(path, { cache: "no-store", ...init, headers })
	if (response.ok) return response
	let text = `${response.status} ${response.statusText}`
	let code = ""
	try {
		const problem = await response.json()
		text = [problem.detail ?? problem.title, problem.advice].filter(Boolean).join(" ")
		code = problem.code ?? ""
	} catch {
		// It was no problem document; the status has to do.
	}
	throw new Problem(response.status, code, text)
}

/** said is what an error says to people. */
export const said = (error: unknown) =>
	error instanceof Problem ? error.message : t("The server does not answer.", "服务器没有响应。") + ` (${error instanceof Error ? error.message : error})`

/** askAbout asks what the server is, and thereby whether it answers. */
export async function askAbout() {
	try {
		about.value = await (await call("/api")).json()
		access.value = "ok"
	} catch (error) {
		access.value = error instanceof Problem ? (error.status === 401 ? "token" : "refused") : "down"
	}
}

/** streamURL is the path of a stream: each segment is encoded, the slashes stay. */
export const streamURL = (name: string) => "/streams/" + name.split("/").map(encodeURIComponent).join("/")

/** listStreams lists the streams whose names begin with a prefix. */
export async function listStreams(prefix: string, after: string, limit: number): Promise<{ streams: Stream[]; next?: string }> {
	const query = new URLSearchParams({ limit: String(limit) })
	if (prefix) query.set("prefix", prefix)
	if (after) query.set("after", after)
	return (await call("/streams/?" + query)).json()
}

/** publish appends one record to a topic, and returns its offset. */
export async function publish(topic: string, body: string, o: { contentType?: string; type?: string; key?: string } = {}): Promise<string> {
	const query = new URLSearchParams({ topic })
	if (o.type) query.set("type", o.type)
	if (o.key) query.set("key", o.key)
	const headers: Record<string, string> = o.contentType ? { "Content-Type": o.contentType } : {}
	return (await (await call("/events?" + query, { method: "POST", body: new Blob([body]), headers })).json()).id
}

/** typeOf is the content type that a body seems to have. */
export function typeOf(body: string) {
	try {
		JSON.parse(body)
		return "application/json"
	} catch {
		return "text/plain"
	}
}

/** lines yields the lines of a body; of an unfinished last one nothing. */
export async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string[]> {
	const reader = body.getReader()
	const decoder = new TextDecoder()
	let rest = ""
	try {
		for (;;) {
			const { done, value } = await reader.read()
			if (done) return
			const parts = (rest + decoder.decode(value, { stream: true })).split("\n")
			rest = parts.pop()!
			if (parts.length) yield parts
		}
	} finally {
		reader.cancel().catch(() => {}) // it may be broken already
	}
}

/** pieces reads the events of one of the taps of /api, each of which is one line of data. */
export async function pieces(path: string, signal: AbortSignal, take: (all: { conn?: number; at: number; dir: string; data?: string }[]) => void) {
	const response = await call(path, { signal })
	for await (const batch of lines(response.body!)) {
		take(batch.filter((l) => l.startsWith("data:")).map((l) => JSON.parse(l.slice(5))))
	}
}

/** bytesOf decodes base64. */
export function bytesOf(base64: string) {
	const text = atob(base64)
	const bytes = new Uint8Array(text.length)
	for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
	return bytes
}
