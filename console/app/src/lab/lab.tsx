// The lab: one stream, read at once in every way that HTTP has.
import { type Signal, signal, useSignal } from "@preact/signals"
import { useEffect } from "preact/hooks"
import { about } from "../server"
import { attempt, Code, tell } from "../ui"
import { count, millis, size, t } from "../words"
import { type Lane, techniques } from "./lanes"
import { Run } from "./run"
import { Strip } from "./strip"
import { overhead } from "./wire"
import { WireView } from "./wireview"

const run = signal<Run>()

/** beat is counted up four times a second: the figures are drawn then, and not with each record. */
const beat = signal(0)

/** local says that the page is on the machine of the server, where the lanes find it by the names that they use. */
const local = /^(localhost|127\.[\d.]+|\[::1\])$|\.localhost$/.test(location.hostname)

export function Lab() {
	const r = run.value
	const chosen = useSignal(2)
	useEffect(() => {
		const timer = setInterval(() => run.value && beat.value++, 250)
		return () => {
			clearInterval(timer)
			run.value?.stop()
			run.value = undefined
		}
	}, [])
	const start = (perSecond: number) =>
		attempt(async () => {
			run.value?.stop()
			const next = new Run()
			next.perSecond.value = perSecond
			await next.start()
			run.value = next
		})
	return (
		<>
			<h1>{t("Lab", "实验室")}</h1>
			<p class="lead">
				{t(
					"One stream, read at once by seven techniques. Break something, and see on the wire how each goes on without a gap and without a repeat.",
					"同一个流，由七种技术同时读取。制造一次故障，在线路上观察各自如何无缺失、无重复地继续。",
				)}
			</p>
			{about.value && !about.value.lab && <Without />}
			{about.value?.lab && !local && (
				<p class="banner">{t("The lanes read from 1.localhost to 7.localhost: open this page on the server's machine, or through a tunnel to it, as http://localhost.", "各通道使用 1.localhost 至 7.localhost：请在服务器本机或通过隧道以 http://localhost 打开本页。")}</p>
			)}
			{about.value?.lab && local && !r && (
				<div class="card start">
					<p>{t("A stream of its own is made for the run, and removed when you leave.", "运行时会创建一个专用的流，离开时删除。")}</p>
					<button type="button" class="primary" onClick={() => start(2)}>
						{t("Start the seven readers", "启动七个读者")}
					</button>
				</div>
			)}
			{r && (
				<>
					<Controls run={r} start={() => start(r.perSecond.value)} />
					<Legend />
					<div class="lanes">
						{r.lanes.map((lane, i) => (
							<LaneCard key={`${r.name}${i}`} lane={lane} chosen={chosen} at={i} />
						))}
					</div>
					<Table run={r} />
					<WireView run={r} chosen={chosen} beat={beat} />
				</>
			)}
			{!r && <Kinds />}
		</>
	)
}

function Without() {
	return (
		<div class="card start">
			<h2>{t("The lab is off", "实验室未开启")}</h2>
			<p>{t("It cuts and stalls connections and shows every byte, so a server has it only when asked:", "它会切断、停滞连接并显示每个字节，因此需要显式开启：")}</p>
			<Code text="leat serve --lab --store memory" label={t("Command", "命令")} />
			<p class="quiet">
				{t("Then this page compares the techniques below with measured figures: requests, bytes, overhead, latency, and what became of every record when a connection broke.", "随后本页将用实测数据比较以下技术：请求数、字节、开销、延迟，以及连接中断时每条记录的去向。")}
			</p>
		</div>
	)
}

function Kinds() {
	return (
		<dl class="kinds">
			{techniques.map((k) => (
				<div key={k.key} class="card">
					<dt>{k.name()}</dt>
					<dd>{k.what()}</dd>
				</div>
			))}
		</dl>
	)
}

function Choice<T extends string | number>(p: { label: string; value: Signal<T>; all: [T, string][]; then?: () => void }) {
	return (
		<label>
			{p.label}
			<select
				value={String(p.value.value)}
				onChange={(e) => {
					const { value } = e.currentTarget
					p.value.value = p.all.find(([v]) => String(v) === value)![0]
					p.then?.()
				}}
			>
				{p.all.map(([v, text]) => (
					<option key={v} value={String(v)}>
						{text}
					</option>
				))}
			</select>
		</label>
	)
}

function Controls({ run: r, start }: { run: Run; start: () => void }) {
	const text = useSignal("")
	const trimming = useSignal(false)
	beat.value
	const ended = r.ended.value
	const per = t("/s", "/秒")
	return (
		<section class="card controls" aria-label={t("Controls", "控制")}>
			<form
				class="row bottom"
				onSubmit={(e) => {
					e.preventDefault()
					void attempt(() => r.publish(text.value || t("by hand", "手动")))
				}}
			>
				<label class="grow">
					{t("By hand", "手动发布")}
					<input value={text.value} placeholder={t("a message", "一条消息")} onInput={(e) => (text.value = e.currentTarget.value)} />
				</label>
				<button disabled={ended}>{t("Publish", "发布")}</button>
			</form>
			<Choice label={t("Rate", "速率")} value={r.perSecond} all={[0, 1, 2, 10, 100, 1000].map((n) => [n, n ? `${n}${per}` : t("off", "关")])} />
			<Choice label={t("Payload", "负载")} value={r.padding} all={[40, 400, 4000].map((n) => [n, `~${n} B`])} />
			<Choice label={t("Heartbeat", "心跳")} value={r.heartbeat} all={["1s", "5s", "15s", "60s"].map((s) => [s, s])} then={() => r.reconnect()} />
			<Choice label={t("Retry", "重连间隔")} value={r.retry} all={[100, 1000, 3000, 10000].map((n) => [n, millis(n)])} then={() => r.reconnect()} />
			<div class="row buttons">
				<button type="button" class="pause" aria-pressed={r.paused.value} disabled={ended} onClick={() => (r.paused.value = !r.paused.value)}>
					{r.paused.value ? t("Go on", "继续") : t("Pause", "暂停")}
				</button>
				<button
					type="button"
					onClick={() =>
						attempt(async () => {
							const n = await r.cut()
							tell(t(`${n} connections were cut.`, `已切断 ${n} 个连接。`))
						})
					}
				>
					{t("Cut all", "全部切断")}
				</button>
				<button
					type="button"
					onClick={() =>
						attempt(async () => {
							await r.stall(3)
							tell(t("The server writes nothing for 3 seconds.", "服务器 3 秒内不写任何数据。"))
						})
					}
				>
					{t("Stall 3 s", "停滞 3 秒")}
				</button>
				<button
					type="button"
					disabled={ended || trimming.value}
					onClick={async () => {
						trimming.value = true
						if (await attempt(() => r.trim())) tell(t("Records were removed before they were read: look for the gap.", "记录在被读取之前已删除：请看缺口通知。"))
						trimming.value = false
					}}
				>
					{t("Trim under them", "裁剪未读历史")}
				</button>
				{ended ? (
					<button type="button" class="primary" onClick={start}>
						{t("New run", "重新开始")}
					</button>
				) : (
					<button type="button" class="danger" onClick={() => attempt(() => r.end())}>
						{t("End the stream", "结束流")}
					</button>
				)}
			</div>
			<p class="quiet tally" role="status">
				{ended ? t("The stream has ended. Event streams came back once, got 204, and stopped.", "流已结束。事件流重连一次，得到 204，随后停止。") : t("Published", "已发布") + ` ${count(r.published.value)}`}
				{r.wire.lost > 0 && ` · ${t("pieces of the wire not seen:", "未捕获的线路片段：")} ${count(r.wire.lost)}`}
			</p>
		</section>
	)
}

function Legend() {
	return (
		<p class="legend marks">
			<span class="m-request">{t("request", "请求")}</span>
			<span class="m-first">{t("first byte", "首字节")}</span>
			<span class="m-event">{t("record", "记录")}</span>
			<span class="m-beat">{t("heartbeat", "心跳")}</span>
			<span class="m-gap">{t("gap", "缺口")}</span>
			<span class="m-close">{t("closed", "关闭")}</span>
			<span class="m-end">{t("end", "结束")}</span>
			<span class="quiet">{t("the last 20 seconds", "最近 20 秒")}</span>
		</p>
	)
}

const states = () => ({
	idle: t("idle", "空闲"),
	connecting: t("connecting", "连接中"),
	open: t("open", "已连接"),
	waiting: t("coming back", "重连中"),
	held: t("held", "已挂起"),
	ended: t("ended", "已结束"),
})

function LaneCard({ lane, chosen, at }: { lane: Lane; chosen: Signal<number>; at: number }) {
	beat.value
	const right = lane.missed === 0 && lane.repeated === 0
	return (
		<section class="card lane" data-lane={lane.technique.key} aria-labelledby={`lane-${at}`}>
			<div class="row between">
				<h2 id={`lane-${at}`}>{lane.technique.name()}</h2>
				<span class={"live " + lane.state}>{states()[lane.state]}</span>
			</div>
			<p class="quiet what">{lane.technique.what()}</p>
			<Strip lane={lane} />
			<p class="row between figures">
				<span>
					<b data-figure="received">{count(lane.received)}</b> {t("records", "条记录")}
				</span>
				<span>
					p50 <b>{millis(lane.percentile(0.5))}</b>
				</span>
				<span class={right ? "good" : "bad"}>
					<b data-figure="missed">{lane.missed}</b> {t("missed", "缺失")}, <b data-figure="repeated">{lane.repeated}</b> {t("repeated", "重复")}
				</span>
				<button type="button" class="small" aria-pressed={chosen.value === at} aria-label={t(`Wire of ${lane.technique.name()}`, `${lane.technique.name()} 的线路`)} onClick={() => (chosen.value = at)}>
					{t("Wire", "线路")}
				</button>
			</p>
		</section>
	)
}

/** Table compares the techniques by what was measured here. */
function Table({ run: r }: { run: Run }) {
	beat.value
	return (
		<section>
			<h2 id="compared">{t("Compared, as measured on this page", "对比（本页实测）")}</h2>
			<div class="table" role="region" aria-labelledby="compared" tabIndex={0}>
				<table class="compared">
					<thead>
						<tr>
							<th scope="col">{t("Technique", "技术")}</th>
							{[
								t("Records", "记录"),
								t("Requests", "请求"),
								t("On the wire", "线路字节"),
								t("Per record", "每条记录"),
								t("Overhead", "开销占比"),
								"p50",
								"p99",
								t("Came back", "重连"),
								t("Told gone", "缺口告知"),
								t("Missed", "缺失"),
								t("Repeated", "重复"),
							].map((h) => (
								<th key={h} scope="col" class="num">
									{h}
								</th>
							))}
						</tr>
					</thead>
					<tbody>
						{r.lanes.map((lane, i) => {
							const trace = r.wire.traces[i]
							const all = trace.bytesIn + trace.bytesOut
							const share = overhead(lane, trace)
							return (
								<tr key={lane.number} data-row={lane.technique.key}>
									<th scope="row">{lane.technique.name()}</th>
									<td class="num">{count(lane.received)}</td>
									<td class="num">{count(trace.requests)}</td>
									<td class="num">{size(all)}</td>
									<td class="num">{lane.received ? size(all / lane.received) : "–"}</td>
									<td class="num">{share === undefined ? "–" : `${Math.round(share * 100)} %`}</td>
									<td class="num">{millis(lane.percentile(0.5))}</td>
									<td class="num">{millis(lane.percentile(0.99))}</td>
									<td class="num">{count(lane.reconnects)}</td>
									<td class="num">{count(lane.told)}</td>
									<td class={"num " + (lane.missed ? "bad" : "")}>{lane.missed}</td>
									<td class={"num " + (lane.repeated ? "bad" : "")}>{lane.repeated}</td>
								</tr>
							)
						})}
					</tbody>
				</table>
			</div>
			<p class="quiet">
				{t(
					"Bytes count both directions, heads, chunk borders and preflights included; overhead is what of them is no payload. Latency runs from the publish in this page to the arrival in this page; p50 and p99 are of the last 2,000 records. Missed and repeated are told by the number in each payload.",
					"字节含双向、头部、分块边界和预检请求；开销是其中非负载的部分。延迟从本页发布到本页收到为止；p50、p99 取最近 2000 条。缺失与重复由负载中的序号判断。",
				)}
			</p>
		</section>
	)
}
