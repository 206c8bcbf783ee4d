// The first view: the streams, and what to do first.
import { useSignal } from "@preact/signals"
import { useEffect, useRef } from "preact/hooks"
import { details, type Details, known } from "./details"
import { about, call, listStreams, publish, said, type Stream, streamURL, typeOf } from "./server"
import { attempt, Code, Dialog, go, tell, useEvery } from "./ui"
import { count, rate, shortOffset, size, t } from "./words"

const pageSize = 50

/** href is the address of the view of a stream. */
export const href = (name: string) => "#/stream/" + name.split("/").map(encodeURIComponent).join("/")

export function Streams() {
	const list = useSignal<Stream[]>()
	const more = useSignal(false)
	const pages = useSignal(1)
	const prefix = useSignal("")
	const failed = useSignal("")
	const rates = useRef(new Map<string, { records: number; at: number; rate: number }>())
	const asking = useSignal<{ what: "create" } | { what: "close" | "delete"; stream: Stream }>()

	const load = async () => {
		try {
			const { streams, next } = await listStreams(prefix.value, "", pageSize * pages.value)
			const now = performance.now()
			for (const s of streams) {
				const last = rates.current.get(s.name)
				const since = last ? (now - last.at) / 1000 : 0
				// Records only ever count up, unless retention removes some.
				if (!last || since > 0.5) rates.current.set(s.name, { records: s.records, at: now, rate: last ? Math.max(0, (s.records - last.records) / since) : 0 })
			}
			list.value = streams
			more.value = next !== undefined
			failed.value = ""
		} catch (error) {
			failed.value = said(error)
		}
	}
	useEvery(2000, load, [prefix.value, pages.value])

	const none = list.value?.length === 0 && !prefix.value
	return (
		<>
			<First />
			<section>
				<div class="row between">
					<h1 id="streams-title">{t("Streams", "流")}</h1>
					<div class="row">
						<input
							type="search"
							aria-label={t("Search by the beginning of the name", "按名称开头搜索")}
							placeholder={t("Name begins with…", "名称开头…")}
							value={prefix.value}
							onInput={(e) => {
								prefix.value = e.currentTarget.value
								pages.value = 1
							}}
						/>
						<button type="button" class="primary" onClick={() => (asking.value = { what: "create" })}>
							{t("New stream", "新建流")}
						</button>
					</div>
				</div>
				{failed.value && <p class="banner bad">{failed.value}</p>}
				<div class="table" role="region" aria-labelledby="streams-title" tabIndex={0}>
					<table class="streams">
						<thead>
							<tr>
								<th scope="col">{t("Name", "名称")}</th>
								<th scope="col" class="num">
									{t("Rate", "速率")}
								</th>
								<th scope="col" class="num">
									{t("Records", "记录")}
								</th>
								<th scope="col" class="num">
									{t("Size", "大小")}
								</th>
								<th scope="col" class="num">
									{t("First – last", "首 – 末")}
								</th>
								<th scope="col">{t("Content type", "内容类型")}</th>
								<th scope="col">{t("Kept", "保留")}</th>
								<th scope="col">{t("State", "状态")}</th>
								<th scope="col">
									<span class="hidden">{t("Actions", "操作")}</span>
								</th>
							</tr>
						</thead>
						<tbody>
							{list.value?.map((s) => (
								<Row key={s.name} s={s} rate={rates.current.get(s.name)?.rate ?? 0} ask={(what) => (asking.value = { what, stream: s })} />
							))}
						</tbody>
					</table>
				</div>
				{list.value?.length === 0 && prefix.value && <p class="quiet">{t("No stream begins like that.", "没有以此开头的流。")}</p>}
				{none && <p class="quiet">{t("There are no streams yet.", "还没有流。")}</p>}
				{more.value && (
					<button type="button" onClick={() => pages.value++}>
						{t("Show more", "显示更多")}
					</button>
				)}
			</section>
			{asking.value?.what === "create" && <Create close={() => (asking.value = undefined)} done={load} />}
			{asking.value && asking.value.what !== "create" && <Confirm what={asking.value.what} stream={asking.value.stream} close={() => (asking.value = undefined)} done={load} />}
		</>
	)
}

function Row({ s, rate: perSecond, ask }: { s: Stream; rate: number; ask: (what: "close" | "delete") => void }) {
	useEffect(() => details(s), [s.name, s.records === 0, s.end])
	const d = known.value.get(s.name)
	return (
		<tr>
			<th scope="row">
				<a href={href(s.name)}>{s.name}</a>
			</th>
			<td class="num">{rate(perSecond)}</td>
			<td class="num">{count(s.records)}</td>
			<td class="num">{size(s.bytes)}</td>
			<td class="num" title={d?.first ? `${d.first} – ${s.offset}` : s.offset}>
				{d?.first ? shortOffset(d.first) : "–"} – {shortOffset(s.offset)}
			</td>
			<td>{s.contentType}</td>
			<td>{d ? kept(d) : "…"}</td>
			<td>
				<State end={s.end} />
			</td>
			<td class="row end">
				{!s.end && (
					<button type="button" class="small" onClick={() => ask("close")} aria-label={t(`Close ${s.name}`, `关闭 ${s.name}`)}>
						{t("Close", "关闭")}
					</button>
				)}
				<button type="button" class="small danger" onClick={() => ask("delete")} aria-label={t(`Delete ${s.name}`, `删除 ${s.name}`)}>
					{t("Delete", "删除")}
				</button>
			</td>
		</tr>
	)
}

/** kept says in words how long a stream keeps what it has. */
export function kept(d: Details) {
	const parts = []
	if (d.retention) parts.push(d.retention)
	if (d.ttl) parts.push(`TTL ${d.ttl} s`)
	if (d.expires) parts.push(`${t("until", "至")} ${d.expires}`)
	return parts.join("; ") || t("server default", "服务器默认")
}

export function State({ end }: { end?: string }) {
	return end ? <span class={"tag " + end}>{end}</span> : <span class="tag open">{t("open", "开放")}</span>
}

/** First is what a newcomer does first: publish something, and see it arrive. */
function First() {
	const topic = useSignal("hello")
	const body = useSignal(t("Hello, stream!", "你好，流！"))
	const origin = location.origin
	return (
		<details
			class="card first"
			open={localStorage.getItem("first") !== "closed"}
			onToggle={(e) => localStorage.setItem("first", e.currentTarget.open ? "open" : "closed")}
		>
			<summary>
				<h2>{t("Publish something, see it arrive", "发布一条消息，看它到达")}</h2>
			</summary>
			<p>
				{t(
					"A stream is made by the first record that is published to it. Every reader gets each record once and in order, and goes on where it stopped when its connection breaks.",
					"第一条记录发布时，流便自动创建。每个读者按顺序收到每条记录一次；连接断开后，从中断处继续。",
				)}
			</p>
			<form
				class="row bottom"
				onSubmit={async (e) => {
					e.preventDefault()
					if (await attempt(() => publish(topic.value, body.value, { contentType: typeOf(body.value) }))) go(href(topic.value))
				}}
			>
				<label>
					{t("Stream", "流")}
					<input value={topic.value} required onInput={(e) => (topic.value = e.currentTarget.value)} />
				</label>
				<label class="grow">
					{t("Message", "消息")}
					<input value={body.value} required onInput={(e) => (body.value = e.currentTarget.value)} />
				</label>
				<button class="primary">{t("Publish and watch", "发布并查看")}</button>
			</form>
			<p class="quiet">{t("Or in two terminals, the reader first:", "或者在两个终端中，先启动读者：")}</p>
			<Code label={t("Commands", "命令")} text={`curl -N '${origin}/events?topic=hello'\ncurl -d 'Hello' '${origin}/events?topic=hello'`} />
			<p class="quiet">
				{about.value?.lab
					? t("The lab compares SSE with six other ways of HTTP to carry a stream, byte by byte.", "实验室逐字节比较 SSE 与其他六种 HTTP 流式传输方式。")
					: t("The lab shows seven techniques side by side; start the server with --lab for it.", "实验室可并排比较七种技术；请用 --lab 启动服务器。")}{" "}
				<a href="#/lab">{t("Open the lab", "打开实验室")}</a>
			</p>
		</details>
	)
}

function Create({ close, done }: { close: () => void; done: () => void }) {
	const name = useSignal("")
	const type = useSignal("application/json")
	const records = useSignal("")
	const age = useSignal("")
	const ttl = useSignal("")
	return (
		<Dialog
			title={t("New stream", "新建流")}
			act={t("Create", "创建")}
			onClose={close}
			onAct={async () => {
				const headers: Record<string, string> = { "Content-Type": type.value }
				const keep = [records.value && "records=" + records.value, age.value && "age=" + age.value].filter(Boolean)
				if (keep.length) headers["Leat-Retention"] = keep.join(", ")
				if (ttl.value) headers["Stream-TTL"] = ttl.value
				const { status } = await call(streamURL(name.value), { method: "PUT", headers })
				tell(status === 201 ? t("Created.", "已创建。") : t("It was there already, and is the same.", "流已存在且设置相同。"))
				done()
			}}
		>
			<label>
				{t("Name", "名称")}
				<input value={name.value} required maxLength={512} placeholder="orders/eu" onInput={(e) => (name.value = e.currentTarget.value)} />
			</label>
			<label>
				{t("Content type", "内容类型")}
				<input value={type.value} required list="types" onInput={(e) => (type.value = e.currentTarget.value)} />
			</label>
			<datalist id="types">
				<option value="application/json" />
				<option value="text/plain" />
				<option value="application/octet-stream" />
			</datalist>
			<fieldset>
				<legend>{t("Keep (empty: everything)", "保留（留空：全部）")}</legend>
				<label>
					{t("Newest records", "最新记录数")}
					<input type="number" min="1" value={records.value} onInput={(e) => (records.value = e.currentTarget.value)} />
				</label>
				<label>
					{t("Age in seconds", "时长（秒）")}
					<input type="number" min="1" value={age.value} onInput={(e) => (age.value = e.currentTarget.value)} />
				</label>
				<label>
					{t("Remove the stream when unused for (seconds)", "闲置多久后删除整个流（秒）")}
					<input type="number" min="1" value={ttl.value} onInput={(e) => (ttl.value = e.currentTarget.value)} />
				</label>
			</fieldset>
		</Dialog>
	)
}

/** Confirm asks before a stream is closed or deleted, which nothing undoes. */
export function Confirm({ what, stream, close, done }: { what: "close" | "delete"; stream: { name: string }; close: () => void; done: () => void }) {
	const state = useSignal("complete")
	const reason = useSignal("")
	if (what === "delete") {
		return (
			<Dialog
				title={t(`Delete ${stream.name}?`, `删除 ${stream.name}？`)}
				act={t("Delete", "删除")}
				danger
				onClose={close}
				onAct={async () => {
					await call(streamURL(stream.name), { method: "DELETE" })
					tell(t("Deleted.", "已删除。"))
					done()
				}}
			>
				<p>{t("All its records go, and its readers are told. This cannot be undone.", "其全部记录将被删除，并通知读者。此操作无法撤销。")}</p>
			</Dialog>
		)
	}
	return (
		<Dialog
			title={t(`Close ${stream.name}?`, `关闭 ${stream.name}？`)}
			act={t("Close it", "关闭")}
			danger
			onClose={close}
			onAct={async () => {
				const said = reason.value && state.value !== "complete" ? `; reason=${field(reason.value)}` : ""
				await call(streamURL(stream.name), { method: "POST", headers: { "Stream-Closed": "true", "Leat-End": state.value + said } })
				tell(t("Closed.", "已关闭。"))
				done()
			}}
		>
			<p>{t("Nothing can be appended any more. Readers get the rest, then the end.", "将不能再追加。读者会收到剩余内容，然后结束。")}</p>
			<label>
				{t("It ended", "结束状态")}
				<select value={state.value} onChange={(e) => (state.value = e.currentTarget.value)}>
					<option value="complete">complete</option>
					<option value="aborted">aborted</option>
					<option value="error">error</option>
				</select>
			</label>
			{state.value !== "complete" && (
				<label>
					{t("Reason", "原因")}
					<input value={reason.value} maxLength={200} onInput={(e) => (reason.value = e.currentTarget.value)} />
				</label>
			)}
		</Dialog>
	)
}

/** field writes text as a string of RFC 9651, or as a display string if it is not ASCII. */
function field(text: string) {
	if (/^[ -~]*$/.test(text)) return `"${text.replace(/["\\]/g, "\\$&")}"`
	let out = ""
	for (const byte of new TextEncoder().encode(text)) {
		const c = String.fromCharCode(byte)
		out += /[ !#-$&-~]/.test(c) ? c : "%" + byte.toString(16).padStart(2, "0")
	}
	return `%"${out}"`
}
