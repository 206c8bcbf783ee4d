// Runs the tests of this directory against the leat that was built: the official
// suite of the Durable Streams protocol over each store, then the official client.
//
//	node run.mjs [-t PATTERN] [memory] [pebble]
//
// expected-failures.txt has the tests that are known to fail, each with the reason.
// A failure that is not in it fails the run, and so does a test in it that passes:
// the list only says what is so.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { directory, here, serve } from "./server.mjs"

const { values, positionals } = parseArgs({ allowPositionals: true, options: { t: { type: "string" } } })
const stores = positionals.length > 0 ? positionals : ["memory", "pebble"]

/** expectedFailures reads the list: a name, two spaces, #, and why it fails. */
function expectedFailures() {
	const list = new Map()
	for (const line of readFileSync(join(here, "expected-failures.txt"), "utf8").split("\n")) {
		if (line === "" || line.startsWith("#")) continue
		const [, name, reason] = line.match(/^(.*?) {2}# (.+)$/) ?? []
		if (reason === undefined) throw new Error(`expected-failures.txt: a line without a reason: ${line}`)
		list.set(name, reason)
	}
	return list
}

/** runTests runs a file of tests, and returns what became of each test. */
async function runTests(file, env) {
	const dir = directory()
	const out = join(dir.path, "report.json")
	const args = [join(here, "node_modules/vitest/vitest.mjs"), "run", file, "--reporter=json", `--outputFile=${out}`]
	if (values.t !== undefined) args.push("-t", values.t)
	const child = spawn(process.execPath, args, {
		cwd: here,
		env: { ...process.env, ...env },
		stdio: ["ignore", "ignore", "pipe"],
	})
	let complaints = ""
	child.stderr.on("data", (text) => (complaints += text))
	await once(child, "exit")
	let report
	try {
		report = JSON.parse(readFileSync(out, "utf8"))
	} catch {
		throw new Error(`vitest wrote no report:\n${complaints}`)
	}
	dir.remove()
	for (const file of report.testResults) {
		if (file.assertionResults.length === 0) throw new Error(`${file.name} has no tests: ${file.message}`)
	}
	return report.testResults.flatMap((file) => file.assertionResults)
}

/** judge prints what is not as expected, and returns whether all is. */
function judge(what, results, expected) {
	const passed = results.filter((r) => r.status === "passed")
	const failed = results.filter((r) => r.status === "failed")
	const surprises = failed.filter((r) => !expected.has(r.fullName))
	const stale = passed.filter((r) => expected.has(r.fullName))
	for (const r of surprises) console.log(`FAILED ${r.fullName}\n    ${r.failureMessages.join("\n").replaceAll("\n", "\n    ")}`)
	for (const r of stale) console.log(`PASSES, and is in expected-failures.txt: ${r.fullName}`)
	const names = new Set(results.map((r) => r.fullName))
	const unknown = [...expected.keys()].filter((name) => !names.has(name))
	for (const name of unknown) console.log(`IS NO TEST, and is in expected-failures.txt: ${name}`)
	console.log(`${what}: ${passed.length} passed, ${failed.length} failed, of which ${failed.length - surprises.length} are expected`)
	return surprises.length + stale.length + unknown.length === 0
}

const expected = expectedFailures()
let good = true
for (const store of stores) {
	const data = directory()
	const server = await serve(store, data.path)
	let results
	try {
		results = await runTests("suite.test.mjs", { LEAT_URL: server.url })
	} finally {
		await server.stop()
		data.remove()
	}
	good = judge(store, results, expected) && good
}
good = judge("client", await runTests("client.test.mjs", {}), new Map()) && good
process.exit(good ? 0 : 1)
