// The bytes of one lane, as they were on the wire.
import type { Signal } from "@preact/signals"
import { useSignal } from "@preact/signals"
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks"
import { clock, count, shortOffset, t } from "../words"
import type { Run } from "./run"
import type { Seen } from "./wire"

const decoder = new TextDecoder()
const decode = (bytes: string) => decoder.decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0) & 255))

export function WireView({ run, chosen, beat }: { run: Run; chosen: Signal<number>; beat: Signal<number> }) {
	const frozen = useSignal(false)
	const at = useSignal(0)
	useEffect(() => beat.subscribe((n) => !frozen.peek() && (at.value = n)), [])
	const lane = run.lanes[chosen.value]
	const trace = run.wire.traces[chosen.value]
	const drawn = useMemo(() => [...trace.seen].slice(-30).map((s, i) => <Piece key={i} s={s} />), [at.value, chosen.value, run])
	// The newest is at the bottom and stays in sight, unless somebody reads further up.
	const box = useRef<HTMLPreElement>(null)
	const below = useRef(true)
	useLayoutEffect(() => {
		if (below.current) box.current!.scrollTop = box.current!.scrollHeight
	}, [drawn])
	return (
		<section class="card wireview" aria-labelledby="wire-title">
			<div class="row between">
				<h2 id="wire-title">{t("On the wire:", "线路：")} {lane.technique.name()}</h2>
				<div class="row">
					<select aria-label={t("Lane", "通道")} value={String(chosen.value)} onChange={(e) => (chosen.value = Number(e.currentTarget.value))}>
						{run.lanes.map((l, i) => (
							<option key={l.number} value={String(i)}>
								{l.technique.name()}
							</option>
						))}
					</select>
					<button type="button" class="pause" aria-pressed={frozen.value} onClick={() => (frozen.value = !frozen.value)}>
						{frozen.value ? t("Go on", "继续") : t("Freeze", "冻结")}
					</button>
				</div>
			</div>
			<div class="heads">
				<div>
					<h3>{t("Last request", "最近的请求")}</h3>
					<pre role="group" tabIndex={0} class="wire" aria-label={t("Last request", "最近的请求")}>
						{marked(trace.request)}
					</pre>
				</div>
				<div>
					<h3>{t("Last response head", "最近的响应头")}</h3>
					<pre role="group" tabIndex={0} class="wire" aria-label={t("Last response head", "最近的响应头")}>
						{trace.response}
					</pre>
				</div>
			</div>
			<h3>{t("What it came back with, and what was replayed", "重连时发送的位置与重放内容")}</h3>
			<ul class="resumes">
				{[...lane.resumes].reverse().map((r) => (
					<li key={r.at}>
						<time>{clock(r.at)}</time>{" "}
						{r.after ? (
							<code title={r.after}>{/^bytes/.test(r.after) ? `Range: ${r.after}` : `${chosen.value === 5 ? "offset" : "Last-Event-ID"} …${shortOffset(r.after)}`}</code>
						) : (
							t("from the start", "从头开始")
						)}{" "}
						→ {r.replayed ? t(`${count(r.replayed)} replayed (${r.from} to ${r.to})`, `重放 ${count(r.replayed)} 条（${r.from} 至 ${r.to}）`) : t("nothing was due", "无需重放")}
						{r.told > 0 && <b class="bad"> · {t(`a gap told of ${r.told}`, `缺口告知 ${r.told} 条`)}</b>}
					</li>
				))}
				{lane.resumes.length === 0 && <li class="quiet">{t("It has not come back yet. Try “Cut all”.", "尚未重连。试试“全部切断”。")}</li>}
			</ul>
			<h3>{t("Bytes", "字节")}</h3>
			<pre
				role="group"
				class="wire bytes"
				ref={box}
				tabIndex={0}
				onScroll={(e) => {
					const el = e.currentTarget
					below.current = el.scrollTop + el.clientHeight > el.scrollHeight - 40
				}}
				aria-label={t("Bytes", "字节")}
			>
				{drawn}
			</pre>
			<p class="quiet">{t("▸ from the client, ◂ from the server. The sizes of chunks and the heads of WebSocket frames stand out.", "▸ 来自客户端，◂ 来自服务器。分块大小与 WebSocket 帧头以颜色标出。")}</p>
		</section>
	)
}

/** marked sets off the position in a request. */
function marked(request: string) {
	return request.split(/((?:last_event_id|offset)=[^& ]+|^(?:Last-Event-ID|Range): .*$)/im).map((part, i) => (i % 2 ? <mark key={i}>{part}</mark> : part))
}

function Piece({ s }: { s: Seen }) {
	if (s.dir === "closed") {
		return (
			<span class="closed">
				{clock(s.at)} #{s.conn} {t("— closed —", "— 已关闭 —")}
				{"\n"}
			</span>
		)
	}
	return (
		<span class={s.dir}>
			<i>
				{clock(s.at)} #{s.conn} {s.dir === "in" ? "▸" : "◂"}
				{"\n"}
			</i>
			{s.frames ? frame(s.text) : s.head ? decode(s.text) : body(s.text)}
			{"\n"}
		</span>
	)
}

/** body sets off the borders of chunks, the comments and the names of fields. */
function body(text: string) {
	return text.split(/(^[0-9a-f]+\r\n|\r\n$|^:.*$|^(?:id|event|data|retry)(?=:))/im).map((part, i) => {
		if (i % 2 === 0) return visible(decode(part))
		const kind = /^[0-9a-f]+\r\n$|^\r\n$/i.test(part) ? "border" : part.startsWith(":") ? "comment" : "field"
		return (
			<em key={i} class={kind}>
				{visible(part)}
			</em>
		)
	})
}

/** visible writes control characters as programs do. */
const visible = (text: string) => text.replace(/\r\n|\r|\n/g, (s) => (s === "\n" ? "\\n\n" : s === "\r" ? "\\r" : "\\r\\n\n"))

/** frame shows the frames of a WebSocket: the head in hexadecimal, the text of the server as it is. */
function frame(text: string) {
	const out = []
	for (let i = 0; i + 2 <= text.length; ) {
		const masked = (text.charCodeAt(i + 1) & 128) !== 0
		let length = text.charCodeAt(i + 1) & 127
		let head = 2
		if (length === 126) {
			length = (text.charCodeAt(i + 2) << 8) | text.charCodeAt(i + 3)
			head = 4
		} else if (length === 127) {
			length = text.length
			head = 10
		}
		if (masked) head += 4
		out.push(
			<em key={i} class="border">
				{hex(text.slice(i, i + head))}{" "}
			</em>,
			masked ? hex(text.slice(i + head, i + head + length)) : decode(text.slice(i + head, i + head + length)),
			"\n",
		)
		i += head + length
	}
	return out
}

const hex = (text: string) => Array.from(text, (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ")
