// What README.md shows runs, in Node.js, against a Leat that has what it reads.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import * as leat from "../dist/leat.js"
import { test } from "./kit.mjs"
import { start, withoutLeat } from "./leat.mjs"

const blocks = [...readFileSync(new URL("../README.md", import.meta.url), "utf8").matchAll(/^```js\n(.*?)^```/gms)].map(([, text]) => text)

test("the examples run", { skip: withoutLeat() }, async (t) => {
	assert.equal(blocks.length, 5)
	const server = await start(t, "--store", "memory")
	const put = (name, type, body) => fetch(`${server.url}/streams/${name}`, { method: "PUT", headers: { "content-type": type }, body })
	await put("news", "application/json", '{"text":"first"}')
	await put("list", "application/json", "[1,2]")
	await put("log", "text/plain", "begin\n")
	await put("file.bin", "application/octet-stream", "x".repeat(1000))
	const shown = []
	const console = { log: (...args) => shown.push(args.join(" ")), warn: assert.fail }
	for (const block of blocks) {
		const run = Object.getPrototypeOf(async () => {}).constructor(...Object.keys(leat), "console", block.replaceAll("https://example.org", server.url) + '\nreturn typeof source === "object" && source')
		const source = await run(...Object.values(leat), console)
		if (!source) continue
		t.after(() => source.close())
		await new Promise((resolve, reject) => {
			source.addEventListener("open", resolve)
			source.addEventListener("error", (e) => reject(e.error))
		})
	}
	const seen = shown.join("\n")
	for (const part of [/message {"text":"first"}/, /Z \[object Object\]/, /^1\n2$/m, /^1000 of 1000$/m]) assert.match(seen, part)
})
