import { LeatError } from "./error"
import { tooLarge } from "./sse"

const quote = 0x22
const comma = 0x2c
const backslash = 0x5c

/**
 * An ArrayParser hands over the elements of a JSON array as they arrive, cut anywhere.
 * It looks at each character once. A value that is no array is handed over whole.
 *
 * @internal
 */
export class ArrayParser {
	/** The value at the top has ended. */
	whole = false
	private decoder = new TextDecoder()
	private pieces: string[] = []
	private held = 0
	private array = false
	private depth = 0
	private inString = false
	private escaped = false
	private count = 0
	private begun = false // something of the value at the top has come

	constructor(
		private most: number,
		private element: (value: any) => void,
	) {}

	feed(chunk: Uint8Array) {
		const text = this.decoder.decode(chunk, { stream: true })
		let from = 0
		for (let i = 0; i < text.length; i++) {
			const c = text.charCodeAt(i)
			if (this.inString) {
				if (this.escaped) this.escaped = false
				else if (c === backslash) this.escaped = true
				else if (c === quote) this.inString = false
				continue
			}
			if (c === 0x20 || (c >= 9 && c <= 13)) continue
			if (this.whole) throw this.wrong("something follows the end of the array")
			if (!this.begun) {
				this.begun = true
				if (c === 0x5b) {
					this.array = true
					from = i + 1
					continue
				}
			}
			if (c === quote) this.inString = true
			else if (c === 0x5b || c === 0x7b) this.depth++
			else if (c === 0x5d || c === 0x7d) {
				if (this.depth) this.depth--
				else if (this.array && c === 0x7d) throw this.wrong("} without {")
				else {
					this.whole = true
					this.take(text, from, i, c === 0x5d && !this.count)
				}
			} else if (c === comma && this.array && !this.depth) {
				this.take(text, from, i)
				from = i + 1
			}
		}
		if (from < text.length && !this.whole) {
			this.pieces.push(text.slice(from))
			this.held += text.length - from
			if (this.held > this.most) throw tooLarge(this.most)
		}
	}

	/** end takes the end of the body, and reports whether all has come that was to come. */
	end(): boolean {
		if (!this.begun || this.array) return this.whole
		try {
			this.take("", 0, 0)
			return true
		} catch {
			return false
		}
	}

	private take(text: string, from: number, to: number, mayBeNone = false) {
		const element = this.pieces.join("") + text.slice(from, to)
		this.pieces = []
		this.held = 0
		if (mayBeNone && !element.trim()) return
		let value
		try {
			value = JSON.parse(element)
		} catch (e) {
			throw this.wrong((e as Error).message)
		}
		this.count++
		this.element(value)
	}

	private wrong(what: string) {
		return new LeatError("invalid_body", `element ${this.count + 1} is not JSON: ${what}`, { line: this.count + 1 })
	}
}
