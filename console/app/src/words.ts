// The two languages of the page, and how numbers and times are written.
import { effect, signal } from "@preact/signals"

export type Language = "en" | "zh"

const preferred = navigator.languages.find((l) => /^(en|zh)\b/i.test(l)) ?? "en"

export const language = signal<Language>(kept() ?? (/^zh/i.test(preferred) ? "zh" : "en"))

function kept(): Language | undefined {
	const l = localStorage.getItem("language")
	return l === "en" || l === "zh" ? l : undefined
}

effect(() => {
	document.documentElement.lang = language.value === "zh" ? "zh-Hans" : "en"
})

/** chooseLanguage keeps a choice for the next time. */
export function chooseLanguage(l: Language) {
	localStorage.setItem("language", l)
	language.value = l
}

/** t is a text in the language of the page. Both stand where they are used, so that neither can be forgotten. */
export const t = (en: string, zh: string) => (language.value === "zh" ? zh : en)

/** count writes a number with separators. */
export const count = (n: number) => Math.round(n).toLocaleString(language.value === "zh" ? "zh-CN" : "en")

/** size writes a number of bytes. */
export function size(bytes: number) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"]
	let u = 0
	while (bytes >= 1024 && u < units.length - 1) {
		bytes /= 1024
		u++
	}
	return `${bytes >= 100 || u === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[u]}`
}

/** rate writes how many there are in a second. */
export const rate = (n: number) => (n === 0 ? "0" : n < 10 ? n.toFixed(1) : count(n)) + t("/s", "/秒")

/** millis writes a time in milliseconds. */
export const millis = (ms: number | undefined) =>
	ms === undefined || Number.isNaN(ms) ? "–" : ms > 0 && ms < 1 ? `${Math.round(ms * 1000)} µs` : ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`

/** ago writes how long ago a moment was. */
export function ago(ms: number) {
	const s = Math.max(0, Math.round((Date.now() - ms) / 1000))
	const [n, en, zh] = s < 60 ? [s, "s", "秒"] : s < 3600 ? [Math.floor(s / 60), "min", "分钟"] : s < 86400 ? [Math.floor(s / 3600), "h", "小时"] : [Math.floor(s / 86400), "d", "天"]
	return t(`${n} ${en} ago`, `${n} ${zh}前`)
}

/** clock writes the time of day, to the millisecond. */
export function clock(ms: number) {
	const d = new Date(ms)
	const two = (n: number) => String(n).padStart(2, "0")
	return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`
}

/** shortOffset is the part of an offset that tells records apart. */
export const shortOffset = (offset: string) => offset.replace(/^\d+_0*(?=\d)/, "")
