// The lab in Chromium: whatever is done to the lanes, no record is missed or repeated but
// those that a gap has told of.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { button, launch, missing, open, serve, until } from "./kit.mjs"

const skip = missing()
let server
let browser
before(async () => {
	if (skip) return console.error(skip)
	server = await serve("--lab")
	browser = await launch()
})
after(async () => {
	await browser?.close()
	await server?.close()
})

/** number reads a number of the page; published is how many records there were. Both are there for what runs in the page. */
const helpers = () => {
	window.number = (text) => Number((text ?? "").replaceAll(",", ""))
	window.published = () => window.number(/Published ([\d,]+)/.exec(document.querySelector(".tally").innerText)?.[1])
	window.column = (n) => [...document.querySelectorAll(`[data-row] td:nth-child(${n})`)].map((td) => window.number(td.innerText))
}

/** table is the comparison, by lane and column. */
const table = (page) =>
	page.$$eval("[data-row]", (rows) =>
		rows.map((row) => {
			const number = (text) => Number(text.replaceAll(",", ""))
			const [records, requests, wire, per, overhead, p50, p99, reconnects, told, missed, repeated] = [...row.querySelectorAll("td")].map((td) => td.innerText)
			return { lane: row.dataset.row, records: number(records), requests: number(requests), wire, per, overhead, p50, p99, reconnects: number(reconnects), told: number(told), missed: number(missed), repeated: number(repeated) }
		}),
	)

/** all waits until each lane has all records that were published. */
async function all(page, told = 0) {
	await until(page, (told) => column(2).every((n) => n + told === published()), told)
}

const right = async (page) => {
	for (const lane of await table(page)) assert.deepEqual([lane.missed, lane.repeated], [0, 0], JSON.stringify(lane))
}

test("seven lanes are cut, stalled, overtaken and ended, and miss nothing", { skip, timeout: 120_000 }, async (t) => {
	const page = await open(t, browser, server.url + "/#/lab")
	await page.evaluate(helpers)
	await (await button(page, "Start the seven readers")).click()
	await page.waitForSelector("[data-row]")
	const set = (label, value) => page.evaluate((label, value) => {
		const select = [...document.querySelectorAll(".controls label")].find((l) => l.firstChild.textContent === label).querySelector("select")
		select.value = value
		select.dispatchEvent(new Event("change", { bubbles: true }))
	}, label, value)
	// One after the other: two connections that are begun at once may arrive in any order.
	const asks = (text) => until(page, (text) => document.querySelector("pre[aria-label='Last request']").innerText.includes(text), text)
	await asks("retry=1000ms")
	await set("Retry", "100")
	await asks("retry=100ms")
	await set("Heartbeat", "1s")
	await asks("heartbeat=1s&retry=100ms")
	await set("Rate", "100")
	await until(page, () => published() > 50)

	await t.test("cut", async () => {
		await (await button(page, "Cut all")).click()
		await until(page, () => ["sse", "ndjson", "bytes", "websocket"].every((k) => number(document.querySelector(`[data-row=${k}] td:nth-child(9)`).innerText) > 0))
		// The browser itself has sent the header, and it is shown as it was on the wire.
		await until(page, () => /Last-Event-ID: \d{16}_\d{16}/.test(document.querySelector("pre[aria-label='Last request']").innerText))
		assert.ok((await page.$$("pre[aria-label='Last request'] mark")).length > 0)
		await until(page, () => /Last-Event-ID …\d+ → (\d+ replayed|nothing)/.test(document.querySelector(".resumes").innerText))
		await right(page)
	})

	await t.test("stall", async () => {
		await (await button(page, "Stall 3 s")).click()
		const before = (await table(page)).find((l) => l.lane === "sse").records
		await until(page, (before) => number(document.querySelector("[data-row=sse] td:nth-child(2)").innerText) > before + 300, before)
		await right(page)
	})

	await t.test("pause, publish by hand", async () => {
		await (await button(page, "Pause", ".controls")).click()
		await all(page)
		const [before] = await table(page)
		await page.type(".controls input", "by hand")
		await (await button(page, "Publish")).click()
		await until(page, (n) => column(2).every((m) => m === n), before.records + 1)
		await until(page, () => /data: \{"n":\d+,"t":[\d.]+,"text":"by hand"\}/.test(document.querySelector(".wire.bytes").innerText))
		await right(page)
	})

	await t.test("the wire of each lane", async () => {
		for (const [lane, has] of [
			["0", /"events":\[/],
			["1", /"events":\[/],
			["2", /[0-9a-f]+\\r\\n\nid: \d{16}_\d{16}\\n/], // the border of a chunk, then a field
			["3", /"topic":"lab\//],
			["4", /[0-9a-f]+\\r\\n\n\{"n":/],
			["5", /\[\{"n":/],
			["6", /81 7e [0-9a-f]{2} [0-9a-f]{2} \{"id":/], // the head of a frame
		]) {
			await page.select("select[aria-label=Lane]", lane)
			await until(page, (source) => new RegExp(source).test(document.querySelector(".wire.bytes").innerText), has.source)
		}
		for (const lane of await table(page)) {
			assert.ok(lane.requests > 0 && /KiB|MiB/.test(lane.wire) && /%/.test(lane.overhead) && /ms|s/.test(lane.p99), JSON.stringify(lane))
		}
	})

	await t.test("trim", async () => {
		await (await button(page, "Trim under them")).click()
		await until(page, () => column(10).every((n) => n === 5))
		await all(page, 5)
		await right(page)
		await page.select("select[aria-label=Lane]", "2")
		await until(page, () => /event: leat\.gap/.test(document.querySelector(".wire.bytes").innerText) && /a gap told of 5/.test(document.querySelector(".resumes").innerText))
	})

	await t.test("end", async () => {
		await (await button(page, "End the stream")).click()
		await until(page, () => [...document.querySelectorAll(".lane .live")].every((e) => e.innerText === "ended"))
		await until(page, () => /204 No Content/.test(document.querySelector("pre[aria-label='Last response head']").innerText))
		await right(page)
	})

	await t.test("again, at 1,000 records a second", async () => {
		await set("Rate", "1000")
		await (await button(page, "New run")).click()
		await until(page, () => published() > 2000)
		await (await button(page, "Pause", ".controls")).click()
		await all(page)
		await right(page)
	})
	assert.deepEqual(page.errors, [])
})

test("without the lab the page says how to have it", { skip }, async (t) => {
	const plain = await serve()
	t.after(() => plain.close())
	const page = await open(t, browser, plain.url + "/#/lab")
	await until(page, () => /leat serve --lab/.test(document.body.innerText) && document.querySelectorAll(".kinds .card").length === 7)
})
