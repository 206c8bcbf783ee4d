// The server's figures over the last minutes.
import { signal, useSignal } from "@preact/signals"
import { useEffect, useRef } from "preact/hooks"
import uPlot from "uplot"
import { access, call } from "./server"
import { Fact } from "./stream"
import { clock, count, language, millis, rate, size, t } from "./words"

interface Times {
	count: number
	sum: number
	upTo: { bound: number; count: number }[]
}

interface Metrics {
	readers: { surface: string; format: string; transport: string; count: number }[]
	takenOver: number
	delivered: { records: number; bytes: number }
	published: { records: number; bytes: number }
	left: Record<string, number>
	turnedAway: Record<string, number>
	gaps: Record<string, number>
	refused: Record<string, number>
	waiting: number
	commits: Times
	syncs: Times
	durability: string
	failed?: string
	head: string
	storeBytes: number
	cacheBytes: number
	memoryBytes: number
}

const points = 300 // ten minutes

/** series are the columns of all charts: the time first. They are kept while the page is open, whichever view is seen. */
const names = ["at", "readers", "delivered", "published", "bytesOut", "bytesIn", "commitMean", "commitMost", "syncMean", "syncMost", "memory", "cache", "store"] as const
type Name = (typeof names)[number]
const series = Object.fromEntries(names.map((n) => [n, [] as (number | null)[]])) as Record<Name, (number | null)[]>
const latest = signal<Metrics>()
let before: Metrics | undefined
let beforeAt = 0

/** collect asks for the figures once, and adds a point to each series. */
export async function collect() {
	if (access.value !== "ok") return
	let m: Metrics
	try {
		m = await (await call("/api/metrics")).json()
	} catch {
		return // the head of the page says that the server does not answer
	}
	const now = Date.now() / 1000
	const s = now - beforeAt
	const per = (a: number, b: number) => (before && a >= b ? (a - b) / s : null)
	const [commitMean, commitMost] = spent(m.commits, before?.commits)
	const [syncMean, syncMost] = spent(m.syncs, before?.syncs)
	const point: Record<Name, number | null> = {
		at: now,
		readers: m.readers.reduce((n, r) => n + r.count, 0),
		delivered: per(m.delivered.records, before?.delivered.records ?? 0),
		published: per(m.published.records, before?.published.records ?? 0),
		bytesOut: per(m.delivered.bytes, before?.delivered.bytes ?? 0),
		bytesIn: per(m.published.bytes, before?.published.bytes ?? 0),
		commitMean,
		commitMost,
		syncMean,
		syncMost,
		memory: m.memoryBytes,
		cache: m.cacheBytes,
		store: m.storeBytes,
	}
	for (const n of names) {
		series[n].push(point[n])
		if (series[n].length > points) series[n].shift()
	}
	before = m
	beforeAt = now
	latest.value = m
}

/** spent is the mean and the 99th percentile, in milliseconds, of what was timed between two answers. */
function spent(now: Times, then?: Times): [number | null, number | null] {
	const n = now.count - (then?.count ?? now.count)
	if (!then || n <= 0) return [null, null]
	const past = now.upTo.find((u, i) => u.count - (then.upTo[i]?.count ?? 0) >= n * 0.99)
	return [((now.sum - then.sum) / n) * 1000, past ? past.bound * 1000 : null]
}

interface Line {
	name: Name
	label: string
}

/** Chart draws some of the series, in the colours of the page. */
function Chart({ title, lines, write }: { title: string; lines: Line[]; write: (n: number) => string }) {
	const box = useRef<HTMLDivElement>(null)
	const plot = useRef<uPlot>(undefined)
	const scheme = useScheme()
	useEffect(() => {
		const el = box.current!
		const style = getComputedStyle(el)
		const colour = (name: string) => style.getPropertyValue("--" + name)
		const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" }
		const chart = new uPlot(
			{
				width: el.clientWidth,
				height: 180,
				legend: { show: false },
				cursor: { drag: { x: false, y: false } },
				scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
				padding: [8, 16, 0, 0],
				axes: [{ ...axis, size: 28, space: 80, values: (_, all) => all.map((at) => clock(at * 1000).slice(0, 8)) }, { ...axis, size: 76, values: (_, all) => all.map(write) }],
				series: [{}, ...lines.map((_, i) => ({ stroke: colour(i ? "second" : "accent"), width: 2, points: { show: false }, spanGaps: true, fill: i ? undefined : colour("accent-faint") }))],
			},
			[[], ...lines.map(() => [])] as uPlot.AlignedData,
			el,
		)
		plot.current = chart
		const resized = new ResizeObserver(() => chart.setSize({ width: el.clientWidth, height: 180 }))
		resized.observe(el)
		return () => {
			resized.disconnect()
			chart.destroy()
		}
	}, [scheme, language.value])
	const m = latest.value
	useEffect(() => plot.current?.setData([series.at, ...lines.map((l) => series[l.name])] as uPlot.AlignedData), [m, scheme, language.value])
	const now = (l: Line) => {
		const v = series[l.name].at(-1)
		return v === null || v === undefined ? "–" : write(v)
	}
	return (
		<figure class="card">
			<figcaption class="row between">
				<h2>{title}</h2>
				<span class="legend">
					{lines.map((l, i) => (
						<span key={l.name} class={i ? "second" : undefined}>
							{l.label} <b>{now(l)}</b>
						</span>
					))}
				</span>
			</figcaption>
			<div ref={box} class="chart" role="img" aria-label={`${title}: ${lines.map((l) => `${l.label} ${now(l)}`).join(", ")}`} />
		</figure>
	)
}

/** useScheme changes when the colours of the page do. */
function useScheme() {
	const scheme = useSignal(0)
	useEffect(() => {
		const change = () => void scheme.value++
		const dark = matchMedia("(prefers-color-scheme: dark)")
		dark.addEventListener("change", change)
		const seen = new MutationObserver(change)
		seen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] })
		return () => {
			dark.removeEventListener("change", change)
			seen.disconnect()
		}
	}, [])
	return scheme.value
}

export function Figures() {
	const m = latest.value
	return (
		<>
			<h1>{t("Server", "服务器")}</h1>
			{m?.failed && <p class="banner bad">{m.failed}</p>}
			<dl class="facts">
				<Fact name={t("Durability", "持久性")} value={m?.durability ?? "–"} />
				<Fact name={t("Readers", "读者")} value={m ? count(m.readers.reduce((n, r) => n + r.count, 0)) : "–"} />
				<Fact name={t("Taken over by loops", "由事件循环接管")} value={m ? count(m.takenOver) : "–"} />
				<Fact name={t("Waiting to be stored", "等待存储")} value={m ? size(m.waiting) : "–"} />
				<Fact name={t("Head of the log", "日志末端")} value={m?.head ?? "–"} />
			</dl>
			<div class="charts">
				<Chart title={t("Connections", "连接")} lines={[{ name: "readers", label: t("readers", "读者") }]} write={(n) => count(n)} />
				<Chart
					title={t("Records per second", "每秒记录")}
					lines={[
						{ name: "delivered", label: t("delivered", "送达") },
						{ name: "published", label: t("published", "发布") },
					]}
					write={rate}
				/>
				<Chart
					title={t("Bytes per second", "每秒字节")}
					lines={[
						{ name: "bytesOut", label: t("out", "发出") },
						{ name: "bytesIn", label: t("in", "写入") },
					]}
					write={(n) => size(n)}
				/>
				<Chart
					title={t("Commit", "提交耗时")}
					lines={[
						{ name: "commitMean", label: t("mean", "平均") },
						{ name: "commitMost", label: "p99 ≤" },
					]}
					write={millis}
				/>
				<Chart
					title={t("Sync to disk", "同步到磁盘")}
					lines={[
						{ name: "syncMean", label: t("mean", "平均") },
						{ name: "syncMost", label: "p99 ≤" },
					]}
					write={millis}
				/>
				<Chart
					title={t("Memory", "内存")}
					lines={[
						{ name: "memory", label: t("process", "进程") },
						{ name: "cache", label: t("pages of records", "记录页缓存") },
					]}
					write={size}
				/>
				<Chart title={t("Store", "存储")} lines={[{ name: "store", label: t("size", "大小") }]} write={size} />
				<Reasons m={m} />
			</div>
		</>
	)
}

/** Reasons are the counts that have names. */
function Reasons({ m }: { m?: Metrics }) {
	const kinds: [string, Record<string, number> | undefined][] = [
		[t("Readers now", "当前读者"), m && Object.fromEntries(m.readers.map((r) => [`${r.format} · ${r.surface} · ${r.transport}`, r.count]))],
		[t("Left", "离开"), m?.left],
		[t("Told of a gap", "收到缺口通知"), m?.gaps],
		[t("Turned away", "被拒绝连接"), m?.turnedAway],
		[t("Publishes refused", "被拒绝的发布"), m?.refused],
	]
	return (
		<section class="card reasons" aria-labelledby="reasons-title">
			<h2 id="reasons-title">{t("Since the start, by reason", "启动以来，按原因")}</h2>
			{kinds.map(([name, counts]) => {
				const some = Object.entries(counts ?? {}).filter(([, n]) => n > 0)
				return (
					<p key={name}>
						<b>{name}</b> {some.length ? some.map(([reason, n]) => `${reason} ${count(n)}`).join(", ") : <span class="quiet">{t("none", "无")}</span>}
					</p>
				)
			})}
		</section>
	)
}
