/** How a failure of an answer or a connection is told. */
export class LeatError extends Error {
	/**
	 * What kind of failure it is. That of the server's problem document, or one of
	 * `unavailable` (no connection, or it fell silent), `unexpected_answer` (a status or a
	 * content type that was not asked for), `truncated` (what came is not whole),
	 * `changed` (there is something else now where this was read from), `invalid_line`,
	 * `invalid_body`, `too_large`, `ended` (there is no more to come).
	 */
	declare code: string
	/** The status of the answer, 0 if there was none. */
	declare status: number
	/** The body of an answer that was refused, empty if there was none. */
	declare body: string
	/** The members of the problem document, if the body is one. */
	declare problem?: Record<string, any>
	/** The line of NDJSON, or the element of an array, that is wrong, counted from 1. */
	declare line?: number
	/** @internal Another attempt may succeed, */
	declare again?: boolean
	/** @internal not sooner than in so many milliseconds, as the server says, */
	declare after: number
	/** @internal or at once. */
	declare hurry?: boolean

	constructor(code: string, message: string, members?: Partial<LeatError>) {
		super(message)
		Object.assign(this, { name: "LeatError", code, status: 0, body: "", after: 0 }, members)
	}
}

/** bare is a URL as it may stand in a log: without what it asks for, which may be a token. */
const bare = (url: string) => url.split("?", 1)[0]

/** network makes an error of one of the network. @internal */
export function network(url: string, cause: any, truncated?: boolean): LeatError {
	return new LeatError(truncated ? "truncated" : "unavailable", `${bare(url)} failed: ${cause?.cause?.message || cause?.message}`, { cause, again: true })
}

/** refusal makes an error of an answer with another status than was hoped for. @internal */
export async function refusal(response: Response): Promise<LeatError> {
	const { status } = response
	const body = await response.text().catch(() => "")
	let problem: Record<string, any> | undefined
	let said = body.trim().split("\n", 1)[0].slice(0, 200)
	try {
		problem = JSON.parse(body)
		said = [problem!.detail ?? problem!.title, problem!.advice].filter(Boolean).join(". ")
	} catch {
		// it is no JSON: its text says as much
	}
	// 501 and 507 will not go away by themselves.
	const again = /408|429|5(?!0[17])../.test(`${status}`)
	// Seconds or a date.
	const wanted = header(response, "retry-after")
	const after = +wanted * 1000 || Date.parse(wanted) - Date.now() || 0
	return new LeatError(problem?.code ?? (again ? "unavailable" : "unexpected_answer"), `${bare(response.url)} answered ${status}${said && ": " + said}`, {
		status,
		body,
		problem,
		again,
		after,
	})
}

/** header is empty if there is none. @internal */
export const header = (response: Response, name: string) => response.headers.get(name) ?? ""

/** mediaType is the Content-Type without its parameters. @internal */
export const mediaType = (response: Response) => header(response, "content-type").split(";", 1)[0].trim().toLowerCase()
