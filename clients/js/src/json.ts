import { LeatError } from "./error"
import { tooLarge } from "./sse"

/** @internal */
export interface ArrayParser {
	/** feed takes bytes, cut anywhere. */
	feed(chunk: Uint8Array): void
	/** end takes the end of the body, and reports whether all has come that was to come. */
	end(): boolean
}

/**
 * arrayParser hands over the elements of a JSON array as they arrive. It looks at each
 * character once. A value that is no array is handed over whole, at the end.
 *
 * @internal
 */
export function arrayParser(most: number, element: (value: any) => void): ArrayParser {
	const decoder = new TextDecoder()
	let pieces: string[] = []
	let held = 0
	let begun = false // something other than white space has come,
	let array = false // a bracket at first,
	let whole = false // and the one that ends the array
	let depth = 0 // inside the element
	let inString = false
	let escaped = false
	let count = 0

	const wrong = (what: unknown) => new LeatError("invalid_body", `element ${count + 1} is not JSON: ${what}`, { line: count + 1 })

	function take(rest: string, mayBeNone = false) {
		const text = pieces.join("") + rest
		pieces = []
		held = 0
		if (mayBeNone && !text.trim()) return
		let value
		try {
			value = JSON.parse(text)
		} catch (e) {
			throw wrong((e as Error).message)
		}
		count++
		element(value)
	}

	return {
		feed(chunk) {
			const text = decoder.decode(chunk, { stream: true })
			let from = 0
			for (let i = 0; i < text.length; i++) {
				const c = text[i]
				if (inString) {
					if (escaped) escaped = false
					else if (c === "\\") escaped = true
					else inString = c !== '"'
				} else if (c > " ") {
					if (whole) throw wrong("unexpected " + c)
					if (!begun) {
						begun = true
						array = c === "["
						if (array) {
							from = i + 1
							continue
						}
					}
					if (c === '"') inString = true
					else if (c === "[" || c === "{") depth++
					else if (c === "]" || c === "}") {
						if (array && !depth && c === "]") {
							whole = true
							take(text.slice(from, i), !count)
						} else if (!depth--) throw wrong("unexpected " + c)
					} else if (c === "," && array && !depth) {
						take(text.slice(from, i))
						from = i + 1
					}
				}
			}
			if (whole) return
			pieces.push(text.slice(from))
			held += text.length - from
			if (held > most) throw tooLarge(most)
		},
		end() {
			if (!begun || array) return whole
			try {
				take("")
				return true
			} catch {
				return false
			}
		},
	}
}
