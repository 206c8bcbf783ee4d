import { useDrawing } from "./canvas"
import type { Item } from "./follow"
import type { Ring } from "./ring"
import { t } from "./words"

const span = 30_000 // milliseconds that the timeline shows

/** Writes is the timeline of a stream: when each record was stored, and when it arrived here. */
export function Writes({ arrivals }: { arrivals: Ring<Item> }) {
	const ref = useDrawing((c, width, height, colour, now) => {
		const x = (at: number) => width - ((now - at) / span) * width
		const written = height * 0.25
		const arrived = height * 0.75
		c.strokeStyle = colour("line")
		c.lineWidth = 1
		for (let s = 0; s <= span; s += 5000) {
			c.beginPath()
			c.moveTo(x(now - s), 0)
			c.lineTo(x(now - s), height)
			c.stroke()
		}
		const dots = new Set<number>()
		for (let i = arrivals.length - 1; i >= 0; i--) {
			const item = arrivals.at(i)
			if (now - item.arrived > span) break
			const to = x(item.arrived)
			const place = Math.round(to)
			// Many records in one pixel are one dot.
			if (dots.has(place)) continue
			dots.add(place)
			const since = Math.max(x(item.time), 0)
			c.strokeStyle = colour(item.gap ? "bad" : "accent-soft")
			c.beginPath()
			c.moveTo(since, written)
			c.lineTo(to, arrived)
			c.stroke()
			c.fillStyle = colour(item.gap ? "bad" : "accent")
			c.fillRect(since - 1.5, written - 3, 3, 6)
			c.fillRect(to - 1.5, arrived - 3, 3, 6)
		}
	})
	return (
		<section class="card" aria-labelledby="writes-title">
			<h2 id="writes-title">{t("Writes and deliveries", "写入与送达")}</h2>
			<canvas ref={ref} class="writes" role="img" aria-label={t("When records were stored and when they arrived here, over the last 30 seconds", "最近 30 秒内记录的存储时间与到达时间")} />
			<p class="quiet">{t("Above: stored by the server. Below: arrived in this page. The last 30 seconds.", "上：服务器存储。下：到达本页。最近 30 秒。")}</p>
		</section>
	)
}
