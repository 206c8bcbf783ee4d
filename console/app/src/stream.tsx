// The view of one stream: its records as they arrive, and what can be done with it.
import { useSignal } from "@preact/signals"
import { useEffect, useRef } from "preact/hooks"
import { ask, type Details } from "./details"
import { Follow, type Item } from "./follow"
import { Publish } from "./publish"
import { Records } from "./records"
import { Ring } from "./ring"
import { call, listStreams, type Stream, streamURL } from "./server"
import { Snippets } from "./snippets"
import { Confirm, kept, State } from "./streams"
import { attempt, copy, Dialog, go, tell, useEvery } from "./ui"
import { clock, count, millis, rate, shortOffset, size, t } from "./words"
import { Writes } from "./writes"

export function StreamView({ name }: { name: string }) {
	const from = useSignal("-200")
	const again = useSignal(0)
	const filter = useSignal("")
	const paused = useSignal(false)
	const waiting = useSignal(0)
	const version = useSignal(0)
	const chosen = useSignal<Item>()
	const follow = useSignal<Follow>()
	const meta = useSignal<Stream>()
	const more = useSignal<Details>()
	const perSecond = useSignal(0)
	const asking = useSignal<"close" | "delete" | "trim">()
	// What is shown: a ring of its own, so that a filter and a pause leave the rest alone.
	const shown = useRef(new Ring<Item>(20_000))
	const held = useRef(new Ring<Item>(20_000))
	const arrivals = useRef(new Ring<Item>(3000))

	const matches = (item: Item) => {
		const f = filter.value.toLowerCase()
		return !f || item.text.toLowerCase().includes(f) || (item.type ?? "").toLowerCase().includes(f) || item.id.includes(f)
	}
	useEffect(() => {
		shown.current.clear()
		held.current.clear()
		arrivals.current.clear()
		waiting.value = 0
		chosen.value = undefined
		const f = new Follow(name, from.value, (fresh) => {
			for (const item of fresh) {
				arrivals.current.push(item)
				if (paused.value) held.current.push(item)
				else if (matches(item)) shown.current.push(item)
			}
			if (paused.value) waiting.value = held.current.length
			else version.value++
		})
		follow.value = f
		version.value++
		return () => f.close()
	}, [name, from.value, again.value])

	const refilter = () => {
		shown.current.clear()
		for (const item of follow.value!.items) if (matches(item)) shown.current.push(item)
		held.current.clear()
		waiting.value = 0
		version.value++
	}
	const pause = () => {
		paused.value = !paused.value
		if (paused.value) return
		for (const item of held.current) if (matches(item)) shown.current.push(item)
		held.current.clear()
		waiting.value = 0
		version.value++
	}
	const last = useRef<{ records: number; at: number }>(undefined)
	const look = async () => {
		try {
			const found = (await listStreams(name, "", 1)).streams.find((s) => s.name === name)
			const now = performance.now()
			if (found && last.current) perSecond.value = Math.max(0, ((found.records - last.current.records) * 1000) / (now - last.current.at))
			if (found) last.current = { records: found.records, at: now }
			if (found && (!more.value || meta.value?.end !== found.end || found.records < (meta.value?.records ?? 0))) {
				more.value = await ask(name, found.records)
			}
			meta.value = found
		} catch {
			// The state in the head of the page says that the server does not answer.
		}
	}
	useEvery(2000, look, [name])

	const f = follow.value
	const m = meta.value
	return (
		<>
			<div class="row between">
				<h1 class="name">
					<a href="#/">{t("Streams", "流")}</a> <span aria-hidden="true">/</span> {name} {m && <State end={m.end} />}
				</h1>
				<div class="row">
					{m && !m.end && (
						<button type="button" onClick={() => (asking.value = "close")}>
							{t("Close", "关闭")}
						</button>
					)}
					<button type="button" class="danger" onClick={() => (asking.value = "delete")}>
						{t("Delete", "删除")}
					</button>
				</div>
			</div>
			<dl class="facts">
				<Fact name={t("Rate", "速率")} value={rate(perSecond.value)} />
				<Fact name={t("Records", "记录")} value={m ? count(m.records) : "–"} />
				<Fact name={t("Size", "大小")} value={m ? size(m.bytes) : "–"} />
				<Fact name={t("First offset", "首偏移")} value={more.value?.first ? shortOffset(more.value.first) : "–"} full={more.value?.first} />
				<Fact name={t("Last offset", "末偏移")} value={m ? shortOffset(m.offset) : "–"} full={m?.offset} />
				<Fact name={t("Content type", "内容类型")} value={m?.contentType ?? "–"} />
				<Fact name={t("Kept", "保留")} value={more.value ? kept(more.value) : "–"} />
			</dl>
			<div class="stream">
				<section aria-labelledby="records-title" class="card">
					<div class="row between">
						<h2 id="records-title">{t("Records", "记录")}</h2>
						<span class={"live " + f?.state.value} role="status">
							{f && stateText(f)}
						</span>
					</div>
					<div class="row tools">
						<input
							type="search"
							aria-label={t("Filter the records", "筛选记录")}
							placeholder={t("Filter…", "筛选…")}
							value={filter.value}
							onInput={(e) => {
								filter.value = e.currentTarget.value
								refilter()
							}}
						/>
						<Jump
							onJump={(to) => {
								from.value = to
								again.value++
							}}
						/>
						<button type="button" class="pause" aria-pressed={paused.value} onClick={pause}>
							{paused.value ? t(`Go on (${count(waiting.value)} new)`, `继续（${count(waiting.value)} 条新记录）`) : t("Pause", "暂停")}
						</button>
					</div>
					<Records items={shown.current} version={version} chosen={chosen} />
					<p class="quiet under">
						{version.value >= 0 && t(`${count(shown.current.length)} records here`, `此处 ${count(shown.current.length)} 条记录`)}
						{m?.records === 0 && " · " + t("Publish the first one on this page.", "在此页发布第一条记录。")}
					</p>
					<One item={chosen.value} name={name} trim={() => (asking.value = "trim")} />
				</section>
				<div class="side">
					{!m?.end && <Publish topic={name} contentType={m?.contentType} />}
					<Writes arrivals={arrivals.current} />
					<Snippets name={name} contentType={m?.contentType ?? "text/plain"} />
				</div>
			</div>
			{(asking.value === "close" || asking.value === "delete") && (
				<Confirm what={asking.value} stream={{ name }} close={() => (asking.value = undefined)} done={() => (asking.value === "delete" ? go("/") : look())} />
			)}
			{asking.value === "trim" && chosen.value && (
				<Dialog
					title={t("Remove what is older?", "删除更早的记录？")}
					act={t("Trim", "裁剪")}
					danger
					onClose={() => (asking.value = undefined)}
					onAct={async () => {
						await call(streamURL(name), { method: "POST", headers: { "Leat-Trim": chosen.value!.id } })
						tell(t("Trimmed.", "已裁剪。"))
						await look()
					}}
				>
					<p>
						{t("All records up to this one go, itself included:", "删除直到此记录（含）的所有记录：")} <code>{chosen.value.id}</code>
					</p>
				</Dialog>
			)}
		</>
	)
}

function stateText(f: Follow) {
	switch (f.state.value) {
		case "live":
			return t("live", "实时")
		case "connecting":
			return t("connecting…", "连接中…")
		case "waiting":
			return t("reconnecting…", "重新连接…")
		case "ended":
			return f.end.value ? t("ended", "已结束") + ` (${f.end.value})` : f.failed.value || t("ended", "已结束")
	}
}

export function Fact({ name, value, full }: { name: string; value: string; full?: string }) {
	return (
		<div>
			<dt>{name}</dt>
			<dd title={full ?? value}>{value}</dd>
		</div>
	)
}

/** Jump chooses where reading begins. */
function Jump({ onJump }: { onJump: (from: string) => void }) {
	const kind = useSignal("latest")
	const text = useSignal("")
	const jump = () => {
		switch (kind.value) {
			case "latest":
				return onJump("-200")
			case "start":
				return onJump("start")
			case "offset":
				return text.value.trim() && onJump(text.value.trim())
			case "time": {
				// The interface knows spans of time, so that clocks need not agree.
				const s = Math.ceil((Date.now() - Date.parse(text.value)) / 1000)
				if (s > 0) onJump(`-${s}s`)
			}
		}
	}
	return (
		<form
			class="row"
			onSubmit={(e) => {
				e.preventDefault()
				jump()
			}}
		>
			<select
				aria-label={t("Begin with", "起点")}
				value={kind.value}
				onChange={(e) => {
					kind.value = e.currentTarget.value
					text.value = ""
					if (kind.value === "latest" || kind.value === "start") jump()
				}}
			>
				<option value="latest">{t("The latest 200", "最新 200 条")}</option>
				<option value="start">{t("The start", "最早")}</option>
				<option value="offset">{t("After an offset", "某偏移之后")}</option>
				<option value="time">{t("A time", "某时刻")}</option>
			</select>
			{kind.value === "offset" && <input aria-label={t("Offset", "偏移")} size={34} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />}
			{kind.value === "time" && <input type="datetime-local" step="1" aria-label={t("Time", "时刻")} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />}
			{(kind.value === "offset" || kind.value === "time") && <button>{t("Jump", "跳转")}</button>}
		</form>
	)
}

/** One shows the record that was chosen. */
function One({ item, name, trim }: { item?: Item; name: string; trim: () => void }) {
	const pretty = useSignal(true)
	if (!item) return <p class="quiet record-view">{t("Choose a record to see all of it.", "选择一条记录查看全部内容。")}</p>
	let text = item.text
	if (item.json && pretty.value) text = JSON.stringify(JSON.parse(item.text), null, 2)
	return (
		<div class="record-view">
			<div class="row between">
				<span class="quiet">
					<code>{item.id}</code> · {clock(item.time)} · {t("arrived after", "到达耗时")} {millis(item.arrived - item.time)}
					{item.key && ` · key ${item.key}`}
					{item.binary && " · base64"}
				</span>
				<span class="row">
					{item.json && (
						<button type="button" class="small" aria-pressed={pretty.value} onClick={() => (pretty.value = !pretty.value)}>
							{t("Pretty", "格式化")}
						</button>
					)}
					<button type="button" class="small" onClick={() => copy(text)}>
						{t("Copy", "复制")}
					</button>
					<button type="button" class="small" onClick={() => copy(`curl -N '${location.origin}${streamURL(name)}?as=sse&from=${item.id}'`)}>
						{t("Copy as curl", "复制为 curl")}
					</button>
					<button type="button" class="small danger" onClick={() => attempt(async () => trim())}>
						{t("Trim up to here", "裁剪至此")}
					</button>
				</span>
			</div>
			<pre role="group" tabIndex={0} aria-label={t("The record", "记录内容")}>
				{text}
			</pre>
		</div>
	)
}
