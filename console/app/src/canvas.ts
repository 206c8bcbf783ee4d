// Drawing on a canvas that has the size of its element, in the colours of the page.
import { useEffect, useRef } from "preact/hooks"

export type Draw = (c: CanvasRenderingContext2D, width: number, height: number, colour: (name: string) => string, now: number) => void

/** useDrawing draws as often as the browser does, but not more than `often` times a second, while the canvas is seen. */
export function useDrawing(draw: Draw, often = 30) {
	const ref = useRef<HTMLCanvasElement>(null)
	const latest = useRef(draw)
	latest.current = draw
	useEffect(() => {
		const canvas = ref.current!
		const c = canvas.getContext("2d")!
		let frame = 0
		let last = 0
		const style = getComputedStyle(canvas) // it is live
		const turn = (at: number) => {
			frame = requestAnimationFrame(turn)
			if (at - last < 1000 / often - 2) return
			last = at
			const ratio = devicePixelRatio || 1
			const width = canvas.clientWidth
			const height = canvas.clientHeight
			if (width === 0) return
			if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
				canvas.width = Math.round(width * ratio)
				canvas.height = Math.round(height * ratio)
			}
			c.setTransform(ratio, 0, 0, ratio, 0, 0)
			c.clearRect(0, 0, width, height)
			const known = new Map<string, string>()
			const colour = (name: string) => {
				if (!known.has(name)) known.set(name, style.getPropertyValue("--" + name))
				return known.get(name)!
			}
			latest.current(c, width, height, colour, performance.timeOrigin + performance.now())
		}
		frame = requestAnimationFrame(turn)
		return () => cancelAnimationFrame(frame)
	}, [])
	return ref
}
