// In real browsers, against a real server that is killed and started again.
import assert from "node:assert/strict"
import { after, before, describe } from "node:test"
import { publish } from "../dist/leat.js"
import { launch, pages, withoutBrowser } from "./browser.mjs"
import { scripted, test, until } from "./kit.mjs"
import { start, withoutLeat } from "./leat.mjs"

const upTo = (n) => Array.from({ length: n }, (_, i) => i)

/** reaches waits until what a page has got is as long as that. */
const reaches = (page, n) => page.waitForFunction((n) => Object.values(window.got).every((list) => list.length >= n), { polling: 20 }, n)

for (const name of ["chrome", "firefox"])
	describe(name, { skip: withoutLeat() || withoutBrowser(name) }, () => {
		let browser
		let site
		before(async () => {
			site = await pages()
			browser = await launch(name)
		})
		after(async () => {
			await browser.close()
			site.close()
		})

		// Also with the EventSource of the browser itself, to which the server owes the same.
		test("nothing is lost or repeated when the server is killed", async (t) => {
			const { origin } = site
			const server = await start(t, "--cors-origin", origin)
			const page = await browser.open(t, origin)
			const half = 30
			await publish(server.url + "/events?topic=news", 0)
			await publish(server.url + "/events?topic=log", "0;")
			await page.evaluate((url) => {
				const { LeatEventSource, stream } = window.leat
				const got = (window.got = { native: [], source: [], lines: [], text: [] })
				window.done = []
				const events = url + "/events?topic=news&from=start"
				for (const [name, source] of [
					["native", new EventSource(events)],
					["source", new LeatEventSource(events)],
				])
					source.onmessage = (e) => got[name].push(+e.data)
				const read = async (name, items, numbers) => {
					for await (const item of items) got[name].push(...numbers(item))
					window.done.push(name)
				}
				let rest = ""
				read("lines", stream(url + "/streams/news", { as: "ndjson" }), (r) => (r.topic ? [r.data] : []))
				read("text", stream(url + "/streams/log?follow=1"), (text) => {
					const parts = (rest + text).split(";")
					rest = parts.pop()
					return parts.map(Number)
				})
			}, server.url)
			await reaches(page, 1)
			for (let n = 1; n < 2 * half; n++) {
				await publish(server.url + "/streams/news", n)
				await publish(server.url + "/streams/log", `${n};`)
				if (n === half) {
					await reaches(page, half / 2)
					await server.again()
				}
			}
			await reaches(page, 2 * half)
			const got = await page.evaluate(() => window.got)
			for (const name in got) assert.deepEqual(got[name], upTo(2 * half), name)

			for (const name of ["news", "log"]) await fetch(`${server.url}/streams/${name}`, { method: "POST", headers: { "stream-closed": "true" } })
			await page.waitForFunction(() => window.done.length === 2)
		})

		test("a page that was away mends its connections, and repeats no POST", async (t) => {
			const { origin } = site
			const allow = { "access-control-allow-origin": origin, "access-control-allow-headers": "last-event-id", "access-control-expose-headers": "retry-after" }
			const server = await scripted(t, (request, response) => {
				if (request.method === "OPTIONS") return response.writeHead(204, allow).end()
				if (request.url === "/refused") return response.writeHead(503, { ...allow, "retry-after": "1000" }).end()
				response.writeHead(200, { ...allow, "content-type": "text/event-stream" })
				response.write("id:7\ndata:x\n\n")
			})
			const seen = (method, url) => server.requests.filter((r) => r.method === method && r.url === url)
			const page = await browser.open(t, origin)
			await page.evaluate((url) => {
				const log = (window.got = { get: [], post: [], wait: [] })
				const sources = [new leat.LeatEventSource(url + "/get"), new leat.LeatEventSource(url + "/post", { method: "POST", body: "ask" })]
				sources[0].onmessage = () => log.get.push(1)
				sources[1].onmessage = () => log.post.push(1)
				window.refused = new leat.LeatEventSource(url + "/refused")
				window.refused.onerror = (e) => log.wait.push(e.delay)
			}, server.url)
			await reaches(page, 1)
			assert.ok((await page.evaluate(() => window.got.wait[0])) >= 1e6)

			// Who is looked at again does not wait, and is well where something came of late.
			await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")))
			await until(() => seen("GET", "/refused").length === 2)
			assert.equal(seen("GET", "/get").length, 1)
			// A network that came back, a page from the back/forward cache, one that was frozen,
			// and one that is looked at and has heard nothing for long: all may be cut.
			for (const [n, make] of [
				[2, () => window.dispatchEvent(new Event("online"))],
				[3, () => window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))],
				[4, () => document.dispatchEvent(new Event("resume"))],
				[
					5,
					() => {
						const { now } = Date
						Date.now = () => now() + 30_000
						document.dispatchEvent(new Event("visibilitychange"))
						Date.now = now
					},
				],
			]) {
				await page.evaluate(make)
				await until(() => seen("GET", "/get").length === n && seen("GET", "/get")[n - 2].gone)
				assert.equal(seen("GET", "/get").at(-1).headers["last-event-id"], "7")
				await page.waitForFunction((n) => window.got.get.length === n, { polling: 20 }, n)
			}
			await page.evaluate(() => window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: false })))
			assert.deepEqual([seen("GET", "/get").length, seen("POST", "/post").length], [5, 1])
		})

		test("what breaks off never ends well", async (t) => {
			const { origin } = site
			const forms = {
				"/length": { "content-type": "text/plain", "content-length": "100" },
				"/chunked": { "content-type": "text/plain" },
				"/close": { "content-type": "application/octet-stream", connection: "close" },
				"/lines": { "content-type": "application/x-ndjson" },
				"/array": { "content-type": "application/json" },
			}
			const open = {}
			const server = await scripted(t, ({ url }, response) => {
				const [path, query] = url.split("?")
				response.writeHead(200, { "access-control-allow-origin": "*", "x-content-type-options": "nosniff", ...(query ? {} : forms[path]) })
				if (query) {
					response.end()
					open[path].destroy()
				} else {
					open[path] = response
					response.write("[1,\n")
				}
			})
			const page = await browser.open(t, origin)
			for (const path in forms) {
				const code = await page.evaluate(async (url) => {
					const seen = () => fetch(url + "?cut")
					try {
						for await (const _ of leat.stream(url, { onProgress: seen, onInvalid: () => {} }));
						return "it ended"
					} catch (error) {
						return error.code
					}
				}, server.url + path)
				assert.equal(code, "truncated", path)
			}
		})
	})
