// The few things that all views are made of.
import { signal, useSignal } from "@preact/signals"
import type { ComponentChildren } from "preact"
import { useEffect, useLayoutEffect, useRef } from "preact/hooks"
import { said } from "./server"
import { t } from "./words"

/** path is where the page is: the views are told apart by the fragment of its address. */
export const path = signal(location.hash.slice(1) || "/")
addEventListener("hashchange", () => (path.value = location.hash.slice(1) || "/"))

/** go leads to another view. */
export const go = (to: string) => (location.hash = to)

const notice = signal<{ text: string; bad: boolean }>()
let noticeTimer = 0

/** tell says something at the bottom of the page for a while; screen readers say it too. */
export function tell(text: string, bad = false) {
	notice.value = { text, bad }
	clearTimeout(noticeTimer)
	noticeTimer = window.setTimeout(() => (notice.value = undefined), bad ? 10_000 : 4_000)
}

export function Notice() {
	const n = notice.value
	return (
		<div class="notice" role="status" aria-live="polite">
			{n && <p class={n.bad ? "bad" : ""}>{n.text}</p>}
		</div>
	)
}

/** attempt does something, and tells what went wrong. */
export async function attempt(what: () => Promise<unknown>) {
	try {
		await what()
		return true
	} catch (error) {
		tell(said(error), true)
		return false
	}
}

/** copy puts text on the clipboard. Pages without TLS on other machines have none: there it is selected in a dialog of the browser. */
export async function copy(text: string) {
	try {
		await navigator.clipboard.writeText(text)
		tell(t("Copied.", "已复制。"))
	} catch {
		prompt(t("Copy this:", "复制以下内容："), text)
	}
}

/** Code is a text that is meant to be copied. */
export function Code({ text, label }: { text: string; label: string }) {
	return (
		<div class="code">
			<pre role="group" tabIndex={0} aria-label={label}>
				{text}
			</pre>
			<button type="button" class="small" onClick={() => copy(text)}>
				{t("Copy", "复制")}
			</button>
		</div>
	)
}

/** Dialog asks for something before it is done. It is modal: the browser keeps the focus inside, and Escape closes it. */
export function Dialog(p: { title: string; act: string; danger?: boolean; onAct: () => Promise<unknown>; onClose: () => void; children?: ComponentChildren }) {
	const ref = useRef<HTMLDialogElement>(null)
	const busy = useSignal(false)
	useLayoutEffect(() => ref.current!.showModal(), [])
	return (
		<dialog ref={ref} onClose={p.onClose} aria-labelledby="dialog-title">
			<form
				onSubmit={async (e) => {
					e.preventDefault()
					busy.value = true
					if (await attempt(p.onAct)) ref.current?.close()
					busy.value = false
				}}
			>
				<h2 id="dialog-title">{p.title}</h2>
				{p.children}
				<div class="row end">
					<button type="button" onClick={() => ref.current!.close()}>
						{t("Cancel", "取消")}
					</button>
					<button type="submit" class={p.danger ? "danger" : "primary"} disabled={busy}>
						{p.act}
					</button>
				</div>
			</form>
		</dialog>
	)
}

/** every calls a function now, and again after each pause, while a view is there and the page is seen. */
export function useEvery(ms: number, f: () => unknown, deps: unknown[] = []) {
	useEffect(() => {
		let over = false
		let timer = 0
		const turn = async () => {
			if (!document.hidden) await f()
			if (!over) timer = window.setTimeout(turn, ms)
		}
		void turn()
		return () => {
			over = true
			clearTimeout(timer)
		}
	}, deps)
}
