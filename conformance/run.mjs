// Runs the tests of this directory against the leat that was built: the official
// suite of the Durable Streams protocol over each store, then the official client.
//
//	node run.mjs [-t PATTERN] [memory] [pebble]
//
// expected-failures.txt has the tests that are known to fail, each with the reason.
// A failure that is not in it fails the run, and so does a test in it that passes:
// the list only says what is so.
//
// The suite has tests that wait for 1.5 s and want a stream with a TTL of 2 s to be there
// then. Where the machine stands still for long in between they fail whatever the server
// does. So it is looked for how long the processes did not come to their turn, and if that
// was too long and only such tests failed, the suite runs again, twice at most. Any other
// failure is one, and so is one while the machine ran well.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { directory, here, serve, watchStalls } from "./server.mjs"

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

/** runSuite runs the official suite over a store. */
async function runSuite(store) {
	const data = directory()
	const file = join(data.path, "stalled")
	const server = await serve(store, join(data.path, "data"))
	const stalled = watchStalls()
	try {
		const results = await runTests("suite.test.mjs", { LEAT_URL: server.url, LEAT_STALLED: file })
		return { results, stalled: Math.max(stalled(), Number(readFileSync(file, "utf8"))) }
	} finally {
		stalled()
		await server.stop()
		data.remove()
	}
}

/** judge prints what is not as expected, and returns the names of these tests. */
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
	return [...surprises.map((r) => r.fullName), ...stale.map((r) => r.fullName), ...unknown]
}

/** tooLong is how many milliseconds of standing still the suite does not bear: half of its margin. */
const tooLong = 250

/** timed are the tests that have that margin. */
const timed = /TTL|Expires-At|expir/i

const expected = expectedFailures()
let good = true
for (const store of stores) {
	for (let runs = 1; ; runs++) {
		const { results, stalled } = await runSuite(store)
		const wrong = judge(store, results, expected)
		if (wrong.length === 0) break
		if (stalled < tooLong || runs === 3 || !wrong.every((name) => timed.test(name))) {
			good = false
			break
		}
		console.log(`${store}: the machine stood still for ${stalled} ms; that is too long for the suite, which runs again`)
	}
}
good = judge("client", await runTests("client.test.mjs", {}), new Map()).length === 0 && good
process.exit(good ? 0 : 1)
