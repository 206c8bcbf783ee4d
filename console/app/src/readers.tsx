// Who reads from the server over a connection.
import { useSignal } from "@preact/signals"
import { useEffect, useRef } from "preact/hooks"
import { bytesOf, call, pieces, said, type Subscriber } from "./server"
import { attempt, Dialog, tell, useEvery } from "./ui"
import { ago, count, shortOffset, size, t } from "./words"

const pageSize = 100

export function Readers() {
	const list = useSignal<Subscriber[]>()
	const next = useSignal<number>()
	const pages = useSignal(1)
	const failed = useSignal("")
	const filter = useSignal("")
	const leaving = useSignal<Subscriber>()
	const tapped = useSignal<Subscriber>()
	const load = async () => {
		try {
			const answer = await (await call(`/api/subscribers?limit=${Math.min(1000, pageSize * pages.value)}`)).json()
			list.value = answer.subscribers
			next.value = answer.next
			failed.value = ""
		} catch (error) {
			failed.value = said(error)
			list.value = undefined
		}
	}
	useEvery(2000, load, [pages.value])
	const f = filter.value.toLowerCase()
	const shown = list.value?.filter((s) => !f || `${s.remote} ${s.format} ${s.surface} ${s.transport} ${s.topics.join(" ")}`.toLowerCase().includes(f))
	return (
		<section>
			<div class="row between">
				<h1 id="readers-title">{t("Readers", "读者")}</h1>
				<input type="search" aria-label={t("Filter the readers", "筛选读者")} placeholder={t("Address, topic, format…", "地址、主题、格式…")} value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} />
			</div>
			<p class="quiet">{t("Everybody who reads over a connection that stays open. Lag is how many records a reader is still due.", "所有保持连接的读者。滞后是其尚未收到的记录数。")}</p>
			{failed.value && <p class="banner bad">{failed.value}</p>}
			<div class="table" role="region" aria-labelledby="readers-title" tabIndex={0}>
				<table class="readers">
					<thead>
						<tr>
							<th scope="col">{t("Address", "地址")}</th>
							<th scope="col">{t("Form", "形式")}</th>
							<th scope="col">{t("Transport", "传输")}</th>
							<th scope="col">{t("Filter", "过滤器")}</th>
							<th scope="col" class="num">
								{t("Cursor", "游标")}
							</th>
							<th scope="col" class="num">
								{t("Lag", "滞后")}
							</th>
							<th scope="col" class="num">
								{t("Sent", "已发送")}
							</th>
							<th scope="col">{t("Since", "连接于")}</th>
							<th scope="col">
								<span class="hidden">{t("Actions", "操作")}</span>
							</th>
						</tr>
					</thead>
					<tbody>
						{shown?.map((s) => (
							<tr key={s.id}>
								<th scope="row">{s.remote}</th>
								<td>
									{s.format} <span class="quiet">/{s.surface}</span>
								</td>
								<td>{s.transport}</td>
								<td class="topics">{s.topics.join(", ")}</td>
								<td class="num" title={s.cursor}>
									{shortOffset(s.cursor)}
								</td>
								<td class={"num" + (s.lag > 0 ? " lags" : "")}>
									{count(s.lag)}
									{s.more && "+"}
								</td>
								<td class="num">{size(s.bytes)}</td>
								<td title={s.since}>{ago(Date.parse(s.since))}</td>
								<td class="row end">
									<button type="button" class="small" onClick={() => (tapped.value = s)} aria-label={t(`Watch ${s.remote}`, `查看 ${s.remote}`)}>
										{t("Watch", "查看")}
									</button>
									<button type="button" class="small danger" onClick={() => (leaving.value = s)} aria-label={t(`Disconnect ${s.remote}`, `断开 ${s.remote}`)}>
										{t("Disconnect", "断开")}
									</button>
								</td>
							</tr>
						))}
					</tbody>
				</table>
			</div>
			{shown?.length === 0 && <p class="quiet">{t("Nobody reads right now.", "目前没有读者。")}</p>}
			{next.value !== undefined && pages.value < 10 && (
				<button type="button" onClick={() => pages.value++}>
					{t("Show more", "显示更多")}
				</button>
			)}
			{tapped.value && <Tap key={tapped.value.id} s={tapped.value} close={() => (tapped.value = undefined)} />}
			{leaving.value && <Disconnect s={leaving.value} close={() => (leaving.value = undefined)} done={load} />}
		</section>
	)
}

function Disconnect({ s, close, done }: { s: Subscriber; close: () => void; done: () => void }) {
	const reason = useSignal(t("maintenance", "维护"))
	return (
		<Dialog
			title={t(`Disconnect ${s.remote}?`, `断开 ${s.remote}？`)}
			act={t("Disconnect", "断开")}
			danger
			onClose={close}
			onAct={async () => {
				await call(`/api/subscribers/${s.id}?reason=${encodeURIComponent(reason.value)}`, { method: "DELETE" })
				tell(t("Disconnected.", "已断开。"))
				done()
			}}
		>
			<label>
				{t("Reason that it will see", "对方将看到的原因")}
				<input value={reason.value} maxLength={60} onInput={(e) => (reason.value = e.currentTarget.value)} />
			</label>
			<p class="quiet">{t("A client that comes back by itself will, after 5 to 20 seconds, and goes on where it stopped.", "会自动重连的客户端将在 5 至 20 秒后回来，并从中断处继续。")}</p>
		</Dialog>
	)
}

/** Tap shows what one reader is sent. */
function Tap({ s, close }: { s: Subscriber; close: () => void }) {
	const text = useSignal("")
	const over = useSignal(false)
	const box = useRef<HTMLPreElement>(null)
	useEffect(() => {
		const abort = new AbortController()
		const decoder = new TextDecoder()
		void attempt(async () => {
			try {
				await pieces(`/api/subscribers/${s.id}/tap`, abort.signal, (all) => {
					for (const p of all) if (p.data) text.value = (text.value + decoder.decode(bytesOf(p.data), { stream: true })).slice(-32_000)
				})
			} catch (error) {
				if (!abort.signal.aborted) throw error
			}
			over.value = true
		})
		return () => abort.abort()
	}, [])
	useEffect(() => {
		box.current!.scrollTop = box.current!.scrollHeight
	}, [text.value])
	return (
		<section class="card tap" aria-labelledby="tap-title">
			<div class="row between">
				<h2 id="tap-title">{t(`What ${s.remote} is sent`, `发送给 ${s.remote} 的内容`)}</h2>
				<button type="button" onClick={close}>
					{t("Close", "关闭")}
				</button>
			</div>
			<pre role="group" class="wire" tabIndex={0} ref={box} aria-labelledby="tap-title">
				{text.value || t("Nothing so far.", "暂无内容。")}
				{over.value && "\n" + t("— it has left —", "— 已离开 —")}
			</pre>
		</section>
	)
}
