// A list of any length, of which only what is seen is in the page.
import { type Signal, useSignal } from "@preact/signals"
import { useLayoutEffect, useRef } from "preact/hooks"
import type { Item } from "./follow"
import type { Ring } from "./ring"
import { clock, shortOffset, t } from "./words"

const height = 28 // of a row, as in the style sheet

/** Records shows a ring of records. version tells that the ring has changed. */
export function Records({ items, version, chosen }: { items: Ring<Item>; version: Signal<number>; chosen: Signal<Item | undefined> }) {
	const box = useRef<HTMLDivElement>(null)
	const top = useSignal(0)
	const view = useSignal(400)
	const follows = useRef(true)
	const dropped = useRef(0)
	version.value // drawn again when it changes

	useLayoutEffect(() => {
		const el = box.current!
		const seen = new ResizeObserver(() => (view.value = el.clientHeight))
		seen.observe(el)
		return () => seen.disconnect()
	}, [])
	useLayoutEffect(() => {
		const el = box.current!
		if (follows.current) el.scrollTop = items.length * height
		// What fell out of the ring must not move what is being read.
		else if (items.dropped > dropped.current) el.scrollTop -= (items.dropped - dropped.current) * height
		dropped.current = items.dropped
	}, [version.value])

	const first = Math.max(0, Math.min(Math.floor(top.value / height), items.length - 1) - 5)
	const last = Math.min(items.length, first + Math.ceil(view.value / height) + 10)
	const rows = []
	for (let i = first; i < last; i++) rows.push(items.at(i))

	const place = () => {
		for (let i = 0; i < items.length; i++) if (items.at(i).seq === chosen.value?.seq) return i
		return -1
	}
	const onKey = (e: KeyboardEvent) => {
		const page = Math.max(1, Math.floor(view.value / height) - 1)
		const at = place()
		const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? items.length - 1 : at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: items.length - 1 }[e.key]
		if (to === undefined || items.length === 0) return
		e.preventDefault()
		const i = Math.max(0, Math.min(items.length - 1, to))
		follows.current = i === items.length - 1
		chosen.value = items.at(i)
		const el = box.current!
		if (i * height < el.scrollTop) el.scrollTop = i * height
		else if ((i + 1) * height > el.scrollTop + el.clientHeight) el.scrollTop = (i + 1) * height - el.clientHeight
	}
	return (
		<div
			class="records"
			ref={box}
			tabIndex={0}
			role={items.length ? "listbox" : "group"}
			aria-label={t("Records", "记录")}
			aria-activedescendant={chosen.value && rows.includes(chosen.value) ? `record-${chosen.value.seq}` : undefined}
			onKeyDown={onKey}
			onScroll={(e) => {
				const el = e.currentTarget
				top.value = el.scrollTop
				follows.current = el.scrollTop + el.clientHeight >= el.scrollHeight - height
			}}
		>
			<div class="tall" role="presentation" style={{ height: `${items.length * height}px` }}>
				{rows.map((item, i) => (
					<div
						key={item.seq}
						id={`record-${item.seq}`}
						class={"record" + (item.gap ? " gap" : "")}
						role="option"
						aria-selected={item.seq === chosen.value?.seq}
						aria-posinset={first + i + 1}
						aria-setsize={items.length}
						style={{ transform: `translateY(${(first + i) * height}px)` }}
						onClick={() => (chosen.value = item)}
					>
						<span class="offset">{shortOffset(item.id)}</span>
						<time>{clock(item.time)}</time>
						<span class="text">
							{(item.gap || item.type) && <b class="type">{item.gap ? "leat.gap" : item.type}</b>}
							{item.text.length > 500 ? item.text.slice(0, 500) : item.text}
						</span>
					</div>
				))}
			</div>
		</div>
	)
}
