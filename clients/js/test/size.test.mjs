import assert from "node:assert/strict"
import { test } from "node:test"
import { gzipSync } from "node:zlib"
import { script } from "../build.mjs"

test("all of it is less than 6 KiB, minified and gzipped", async (t) => {
	const size = gzipSync(await script(true), { level: 9 }).length
	t.diagnostic(`${size} bytes`)
	assert.ok(size < 6 * 1024, `${size} bytes`)
})
