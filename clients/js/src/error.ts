/** How a failure of an answer or a connection is told. */
export class LeatError extends Error {
	/**
	 * What kind of failure it is. That of the server's problem document, or one of
	 * `unavailable` (no connection, or it broke, or fell silent), `unexpected_answer`
	 * (a status or a content type that was not asked for), `truncated` (what came is
	 * not whole), `changed` (there is something else now where this was read from),
	 * `invalid_line`, `invalid_body`, `too_large`.
	 */
	code: string
	/** The status of the answer, 0 if there was none. */
	status = 0
	/** The body of an answer that was refused, its first 64 KiB at most. */
	body = ""
	/** The members of the problem document, if the body is one. */
	problem?: Record<string, any>
	/** The line of NDJSON, or the element of an array, that is wrong, counted from 1. */
	line?: number
	/** How long the server wants to be left alone, in milliseconds. */
	retryAfter = 0
	/** @internal Another attempt may succeed. */
	again = false
	/** @internal And does not have to wait. */
	hurry = false

	constructor(code: string, message: string, members?: Partial<LeatError>) {
		super(message)
		this.name = "LeatError"
		this.code = code
		Object.assign(this, members)
	}
}

/** @internal network makes an error of one of the network. */
export function network(url: string, e: any, code: string): LeatError {
	const why = e?.cause?.message || e?.message || e
	return new LeatError(code, code === "truncated" ? `the answer of ${url} broke off: ${why}` : `${url} could not be reached: ${why}`, { cause: e, again: true })
}

const mostBody = 64 << 10

/** @internal refusal makes an error of an answer that is not the one hoped for. */
export async function refusal(response: Response, advice = ""): Promise<LeatError> {
	const { status, headers } = response
	let body = ""
	let problem: Record<string, any> | undefined
	let said = ""
	if (response.status !== 200) {
		body = await beginning(response).catch(() => "")
		said = body.trim().split("\n", 1)[0].slice(0, 200)
		if (mediaType(response).endsWith("json")) {
			try {
				problem = JSON.parse(body)
				said = [problem!.detail ?? problem!.title, problem!.advice].filter(Boolean).join(". ")
			} catch {
				// it is no JSON: its text says as much
			}
		}
	}
	const again = status === 429 || status >= 500
	return new LeatError(
		problem?.code ?? (again ? "unavailable" : "unexpected_answer"),
		`${response.url} answered ${status}${said && ": " + said}${advice && ". " + advice}`,
		{ status, body, problem, again, retryAfter: retryAfter(headers.get("retry-after")) },
	)
}

/** beginning reads no more of a body than an error needs. */
async function beginning(response: Response): Promise<string> {
	const reader = response.body?.getReader()
	const decoder = new TextDecoder()
	let text = ""
	for (let chunk; reader && text.length < mostBody && !(chunk = await reader.read()).done; ) text += decoder.decode(chunk.value, { stream: true })
	reader?.cancel().catch(() => {})
	return text.slice(0, mostBody)
}

/** retryAfter reads the header of that name: seconds or a date. */
function retryAfter(value: string | null): number {
	if (!value) return 0
	const delay = /^\d+$/.test(value) ? +value * 1000 : Date.parse(value) - Date.now()
	return delay > 0 ? delay : 0
}

/** @internal mediaType is the Content-Type without its parameters. */
export const mediaType = (response: Response) => (response.headers.get("content-type") ?? "").split(";", 1)[0].trim().toLowerCase()
