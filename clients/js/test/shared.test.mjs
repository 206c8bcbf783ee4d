// One connection for all tabs of an origin, in Chromium.
import assert from "node:assert/strict"
import { after, before, describe } from "node:test"
import { publish } from "../dist/leat.js"
import { launch, pages, withoutBrowser } from "./browser.mjs"
import { test, until } from "./kit.mjs"
import { start, withoutLeat } from "./leat.mjs"

const upTo = (n, from = 0) => Array.from({ length: n - from }, (_, i) => from + i)

/** watch opens a shared source in a page. */
const watch = (page, url) =>
	page.evaluate((url) => {
		window.got = []
		window.leads = 0 // connections of its own
		window.log = []
		const send = (request) => {
			window.leads++
			return fetch(request)
		}
		window.source = new leat.LeatEventSource(url, { shared: true, fetch: send })
		window.source.onmessage = (e) => window.got.push(+e.data)
		for (const type of ["open", "error"]) window.source.addEventListener(type, (e) => window.log.push(type + (e.status ?? "")))
	}, url)

const isOpen = (page) => page.waitForFunction(() => window.source.readyState === 1, { polling: 20 })
const hasGot = (page, n) => page.waitForFunction((n) => window.got.at(-1) >= n - 1, { polling: 20 }, n)
const leads = (page) => page.evaluate(() => window.leads)

describe("shared: true", { skip: withoutLeat() || withoutBrowser("chrome") }, () => {
	let browser
	let site
	before(async () => {
		site = await pages()
		browser = await launch("chrome")
	})
	after(async () => {
		await browser.close()
		site.close()
	})

	/** tabs opens a server and tabs that watch it, of which the first leads. */
	async function tabs(t, count) {
		const server = await start(t, "--cors-origin", site.origin)
		const url = server.url + "/events?topic=news"
		const pages = []
		for (let n = 0; n < count; n++) {
			const page = await browser.open(t, site.origin)
			await watch(page, url)
			await isOpen(page)
			pages.push(page)
		}
		let next = 0
		return {
			server,
			url,
			pages,
			/** publish publishes so many more. */
			async publish(count) {
				while (count--) await publish(url, next++)
				return next
			},
			/** agree waits until all have got all, and checks that they have each once. */
			async agree(pages, from = 0) {
				for (const page of pages) {
					await hasGot(page, next)
					assert.deepEqual(await page.evaluate(() => window.got), upTo(next, from))
				}
			},
			/** leader waits for a tab that makes connections. */
			async leader(pages) {
				for (;;) for (const page of pages) if (await leads(page)) return page
			},
		}
	}

	test("eight tabs have one connection, and lose and repeat nothing when the one that leads is closed", async (t) => {
		const { server, pages, ...all } = await tabs(t, 8)
		assert.equal(await server.subscribers(), 1)
		assert.deepEqual(await Promise.all(pages.map(leads)), [1, 0, 0, 0, 0, 0, 0, 0])
		await all.publish(20)
		await all.agree(pages)
		assert.equal(await server.subscribers(), 1)

		// Twice, while records are published: a tab goes as the user closes it.
		let left = pages
		for (let round = 0; round < 2; round++) {
			const leader = await all.leader(left)
			left = left.filter((page) => page !== leader)
			const publishing = all.publish(40)
			await hasGot(left[0], round * 40 + 30)
			await leader.close()
			await publishing
			await all.agree(left)
			await until(async () => (await server.subscribers()) === 1)
		}

		// And when the server is killed, or the tab that leads closes its source only.
		await Promise.all([server.again(), all.publish(20)])
		await all.agree(left)
		const last = await all.leader(left)
		await last.evaluate(() => window.source.close())
		await all.publish(20)
		await all.agree(left.filter((page) => page !== last))
	})

	test("a tab that comes later gets what it asks for", async (t) => {
		const { server, pages, url, ...all } = await tabs(t, 2)
		await all.publish(20)
		await all.agree(pages)
		// From now on, as it is the same as the others ask for.
		const now = await browser.open(t, site.origin)
		await watch(now, url)
		await isOpen(now)
		const all20 = await browser.open(t, site.origin)
		const start = url + "&from=start"
		await watch(all20, start)
		const later = await browser.open(t, site.origin)
		await isOpen(all20)
		await hasGot(all20, 20)
		await watch(later, start)
		await all.publish(10)
		await all.agree([...pages, all20, later])
		await all.agree([now], 20)
		// The last two share a connection of their own; that of who came later was only for a while.
		await until(async () => (await server.subscribers()) === 2)
	})

	test("a tab that is frozen does not hold up the others, and misses nothing", async (t) => {
		const { pages, ...all } = await tabs(t, 3)
		const [leader, ...others] = pages
		await all.publish(10)
		await all.agree(pages)
		const devtools = await leader.createCDPSession()
		await devtools.send("Page.setWebLifecycleState", { state: "frozen" })
		await all.publish(10)
		await all.agree(others)
		await devtools.send("Page.setWebLifecycleState", { state: "active" })
		await all.publish(10)
		await all.agree(pages)
	})

	// As where a browser stops a tab without a word.
	test("a tab that does not answer is passed over, and misses nothing", async (t) => {
		const { pages, ...all } = await tabs(t, 3)
		const [leader, ...others] = pages
		await all.publish(10)
		await all.agree(pages)
		await leader.evaluate(() => {
			window.say = BroadcastChannel.prototype.postMessage
			BroadcastChannel.prototype.postMessage = () => {}
		})
		await all.publish(10)
		await others[0].bringToFront()
		await others[0].evaluate(() => dispatchEvent(new Event("pageshow")))
		await all.agree(others)
		await leader.evaluate(() => (BroadcastChannel.prototype.postMessage = window.say))
		await all.publish(10)
		await all.agree(pages)
		assert.equal(await leads(await all.leader(others)), 1)
	})

	test("all tabs are told of a refusal, and of the end", async (t) => {
		const { server, pages, url } = await tabs(t, 2)
		await fetch(url.replace("/events?topic=", "/streams/"), { method: "PUT", headers: { "content-type": "text/plain", "stream-closed": "true" } })
		for (const page of pages) {
			await page.waitForFunction(() => window.source.readyState === 2, { polling: 20 })
			assert.deepEqual(await page.evaluate(() => window.log), ["open", "error204"])
		}
		for (const page of pages) await watch(page, server.url + "/events?topic=a//b")
		for (const page of pages) {
			await page.waitForFunction(() => window.source.readyState === 2, { polling: 20 })
			assert.deepEqual(await page.evaluate(() => window.log), ["error400"])
		}
	})
})
