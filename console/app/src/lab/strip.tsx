import { useDrawing } from "../canvas"
import { t } from "../words"
import type { Lane, MarkKind } from "./lanes"

const span = 20_000

const shapes: Record<MarkKind, { colour: string; from: number; to: number; width: number }> = {
	event: { colour: "accent", from: 0.48, to: 0.78, width: 2 },
	beat: { colour: "beat", from: 0.82, to: 0.95, width: 2 },
	request: { colour: "second", from: 0.04, to: 0.28, width: 2 },
	first: { colour: "good", from: 0.3, to: 0.46, width: 2 },
	close: { colour: "quiet", from: 0.05, to: 0.95, width: 1 },
	gap: { colour: "bad", from: 0.05, to: 0.95, width: 4 },
	end: { colour: "text", from: 0.05, to: 0.95, width: 4 },
}

/** Strip is the timeline of a lane; now is at its right. */
export function Strip({ lane }: { lane: Lane }) {
	const ref = useDrawing((c, width, height, colour, now) => {
		c.fillStyle = colour("line")
		for (let s = 0; s <= span; s += 5000) c.fillRect(Math.round(width - (s / span) * width) - 1, 0, 1, height)
		c.fillRect(0, height - 1, width, 1)
		const seen = new Set<string>()
		for (let i = lane.marks.length - 1; i >= 0; i--) {
			const { at, kind } = lane.marks.at(i)
			if (now - at > span) continue
			const x = Math.round(width - ((now - at) / span) * width)
			const place = kind + x
			if (seen.has(place)) continue
			seen.add(place)
			const shape = shapes[kind]
			c.fillStyle = colour(shape.colour)
			c.fillRect(x - shape.width / 2, height * shape.from, shape.width, height * (shape.to - shape.from))
		}
	}, 20)
	return <canvas ref={ref} class="strip" role="img" aria-label={t(`Timeline of ${lane.technique.name()}`, `${lane.technique.name()} 的时间线`)} />
}
