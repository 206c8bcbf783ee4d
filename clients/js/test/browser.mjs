// Pages in real browsers: Debian's Chromium and Firefox ESR, driven by puppeteer-core.
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import puppeteer from "puppeteer-core"
import { needs } from "./leat.mjs"

const programs = {
	chrome: { path: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"] },
	firefox: { path: "/usr/bin/firefox-esr", args: [] },
}

export const withoutBrowser = (name) => needs(programs[name].path, "apt-get install chromium firefox-esr")

/** pages serves an empty page, with the client in the variable leat, at an origin of its own. What it returns has its address, and ends it. */
export async function pages() {
	const files = {
		"/": ["text/html", '<!doctype html><title>leat</title><script type="module">import * as leat from "/leat.js"; window.leat = leat</script>'],
		"/leat.js": ["text/javascript", readFileSync(new URL("../dist/leat.js", import.meta.url))],
	}
	const server = createServer(({ url }, response) => {
		const [type, text] = files[url] ?? ["text/plain", ""]
		response.writeHead(text ? 200 : 404, { "content-type": type }).end(text)
	})
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
	return {
		origin: `http://127.0.0.1:${server.address().port}`,
		close() {
			server.close()
			server.closeAllConnections()
		},
	}
}

/** launch starts a browser. */
export async function launch(name) {
	const { path, args } = programs[name]
	const browser = await puppeteer.launch({ browser: name, executablePath: path, headless: true, args })
	return {
		/** open opens a page, which ends with the test t. */
		async open(t, origin) {
			const page = await browser.newPage()
			t.after(() => page.isClosed() || page.close())
			page.on("pageerror", (error) => console.error(`${name}: ${error}`))
			page.setDefaultTimeout(60_000)
			await page.goto(origin)
			await page.waitForFunction(() => window.leat)
			return page
		},
		close: () => browser.close(),
	}
}
