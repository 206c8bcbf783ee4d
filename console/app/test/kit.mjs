// What the tests share: the leat that was built, and Debian's Chromium before it.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import puppeteer from "puppeteer-core"

const program = fileURLToPath(new URL("../../../bin/leat", import.meta.url))
const chromium = "/usr/bin/chromium"

/** missing says what the tests need and do not have; in CI that is an error. */
export function missing() {
	for (const [path, how] of [
		[program, "run `make build`"],
		[chromium, "apt-get install chromium"],
	]) {
		if (existsSync(path)) continue
		if (process.env.CI === "true") throw new Error(`WITHOUT ${path}: ${how}`)
		return `WITHOUT ${path}: ${how}`
	}
	return false
}

/** serve starts a server that keeps nothing. */
export async function serve(...args) {
	const child = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--store", "memory", ...args], { stdio: ["ignore", "pipe", "pipe"] })
	let log = ""
	child.stderr.on("data", (text) => (log += text))
	const exited = once(child, "exit")
	let wanted = false
	child.on("exit", (code, signal) => wanted || console.error(`leat serve has ended: ${code ?? signal}\n${log}`))
	const [url] = await Promise.race([once(createInterface(child.stdout), "line"), exited])
	if (child.exitCode !== null) throw new Error(`leat serve did not start:\n${log}`)
	return {
		url,
		async close() {
			wanted = true
			child.kill("SIGKILL")
			await exited
		},
		/** publish appends records of a topic. */
		async publish(topic, ...bodies) {
			let id
			for (const body of bodies) {
				const contentType = typeof body === "string" ? "text/plain" : "application/json"
				const response = await fetch(`${url}/events?topic=${topic}`, {
					method: "POST",
					headers: { "Content-Type": contentType },
					body: typeof body === "string" ? body : JSON.stringify(body),
				})
				if (!response.ok) throw new Error(await response.text())
				id = (await response.json()).id
			}
			return id
		},
	}
}

/** launch starts the browser. */
export const launch = (...args) =>
	puppeteer.launch({
		executablePath: chromium,
		headless: true,
		args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--font-render-hinting=none", ...args],
	})

/** open opens a view of the page, which ends with the test t. What the page logs as an error is collected in page.errors. */
export async function open(t, browser, url, { width = 1280, height = 900, language = "en" } = {}) {
	const context = await browser.createBrowserContext()
	const page = await context.newPage()
	t?.after(() => context.close())
	page.errors = []
	page.on("pageerror", (error) => page.errors.push(String(error)))
	page.on("console", (m) => {
		// That a connection was refused or broken is what many tests are about.
		if (m.type() === "error" && !/Failed to load resource|net::ERR|WebSocket connection/.test(m.text())) page.errors.push(m.text())
	})
	await page.setViewport({ width, height })
	await page.evaluateOnNewDocument((l) => {
		Object.defineProperty(navigator, "languages", { get: () => [l] })
	}, language)
	await page.goto(url)
	await page.waitForSelector("main h1")
	return page
}

/** until waits for what a function says of the page. What it stumbles over may not be there yet. */
export async function until(page, f, ...args) {
	let failed = ""
	for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
		try {
			if (await page.evaluate(f, ...args)) return
			failed = ""
		} catch (error) {
			failed = error.message
		}
		await new Promise((resolve) => setTimeout(resolve, 50))
	}
	throw new Error(`not so after 30 s: ${f}\n${failed}\n${await page.$eval("#app", (e) => e.innerText)}\n${page.errors.join("\n")}`)
}

/** button finds a button by its name, where there is only one of that name. */
export async function button(page, name, within = "body") {
	const [source, exact] = name instanceof RegExp ? [name.source, false] : [name, true]
	const found = await page.waitForFunction(
		(source, exact, within) => {
			const all = [...document.querySelectorAll(`${within} button`)].filter((b) => {
				const text = b.getAttribute("aria-label") ?? b.textContent
				return !b.disabled && (exact ? text === source : new RegExp(source).test(text))
			})
			return all.length === 1 && all[0]
		},
		{ polling: 50, timeout: 30_000 },
		source,
		exact,
		within,
	)
	// As a keyboard does it: where the button is on the screen, and what moves, does not matter.
	return {
		click: async () => {
			await found.evaluate((b) => b.focus())
			await page.keyboard.press("Enter")
		},
	}
}

/** audit returns what axe-core has to say against the page. */
export async function audit(page) {
	await page.evaluate(readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8"))
	return page.evaluate(async () => {
		const { violations } = await window.axe.run(document, { resultTypes: ["violations"] })
		return violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join("; ")}`)
	})
}
