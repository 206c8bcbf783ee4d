// Pictures of the main views, for the documentation: `make screenshots` writes docs/images.
import { mkdirSync, statSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { button, launch, open, serve, until } from "./kit.mjs"

const out = fileURLToPath(new URL("../../../docs/images/", import.meta.url))
mkdirSync(out, { recursive: true })
const server = await serve("--lab")
const browser = await launch()
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function shoot(page, name) {
	const path = `${out}${name}.png`
	await page.screenshot({ path })
	const { size } = statSync(path)
	console.log(`${path} ${Math.round(size / 1024)} KiB`)
	if (size > 200_000) throw new Error(`${name} is larger than 200 kB`)
}

/** view opens a view in the colours and the language that are wanted. */
async function view(path, { width = 1280, height = 820, theme = "light", language = "en" } = {}) {
	const page = await open(undefined, browser, server.url, { width, height, language })
	await page.evaluate((theme) => localStorage.setItem("theme", theme), theme)
	await page.goto("about:blank")
	await page.goto(`${server.url}/#${path}`)
	await page.waitForSelector("main h1")
	return page
}

try {
	const items = ["kettle", "teapot", "cup", "spoon", "tray"]
	for (const [topic, n] of [["orders/eu", 60], ["orders/us", 40], ["sensors/boiler", 30]]) {
		for (let i = 0; i < n; i++) await server.publish(topic, { order: 1000 + i, item: items[i % 5], price: 4 + (i % 7), paid: i % 3 > 0 })
	}
	await server.publish("log/build", "compiling", "linking", "ok")
	let over = false
	const busy = (async () => {
		for (let i = 1060; !over; i++) {
			await server.publish("orders/eu", { order: i, item: items[i % 5], price: 4 + (i % 7), paid: i % 3 > 0 })
			await wait(150)
		}
	})()
	const readers = new AbortController()
	for (const topic of ["orders/*", "orders/eu", "**"]) void fetch(`${server.url}/events?topic=${topic}`, { signal: readers.signal }).then((r) => r.text()).catch(() => {})

	let page = await view("/")
	await until(page, () => document.querySelectorAll("table.streams tbody tr").length === 4)
	await wait(5000)
	await shoot(page, "streams")

	page = await view("/stream/orders/eu")
	await page.waitForSelector(".record")
	await wait(4000)
	await (await page.$(".record:nth-last-child(3)")).click()
	await shoot(page, "stream")

	page = await view("/readers", { height: 500 })
	await until(page, () => document.querySelectorAll("table.readers tbody tr").length >= 3)
	await shoot(page, "readers")

	page = await view("/server", { theme: "dark" })
	await wait(30_000)
	await shoot(page, "server-dark")

	for (const [name, o] of [["lab", { height: 1100 }], ["lab-dark-zh", { height: 1100, theme: "dark", language: "zh-CN" }], ["lab-wide", { width: 2560, height: 1300 }]]) {
		page = await view("/lab", o)
		await page.waitForSelector(".start button")
		await page.click(".start button")
		await wait(6000)
		await (await button(page, /^(Cut all|全部切断)$/)).click()
		await wait(7000)
		await page.evaluate(() => scrollTo(0, 0))
		await shoot(page, name)
		if (name === "lab") {
			await page.evaluate(() => document.querySelector("#compared").scrollIntoView())
			await page.evaluate(() => scrollBy(0, -190))
			await wait(1000)
			await shoot(page, "lab-wire")
		}
		await page.close()
	}

	page = await view("/stream/orders/eu", { width: 360, height: 780, theme: "dark" })
	await page.waitForSelector(".record")
	await wait(1000)
	await shoot(page, "stream-360")

	over = true
	await busy
	readers.abort()
} finally {
	await browser.close()
	await server.close()
}
