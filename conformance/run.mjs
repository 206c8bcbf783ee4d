// Runs the tests of this directory against the leat that was built: the official
// suite of the Durable Streams protocol over each store.
//
//	node run.mjs [-t PATTERN] [memory] [pebble]
//
// expected-failures.txt has the tests that are known to fail, each with the reason.
// A failure that is not in it fails the run, and so does a test in it that passes:
// the list only says what is so.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const here = dirname(fileURLToPath(import.meta.url))
const { values, positionals } = parseArgs({ allowPositionals: true, options: { t: { type: "string" } } })
const stores = positionals.length > 0 ? positionals : ["memory", "pebble"]

// Two tests of the suite wait for the server's own timeout of a long poll.
const flags = ["--listen", "127.0.0.1:0", "--long-poll-timeout", "500ms"]

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

/** serve starts a server with an empty store, and returns it when it takes requests. */
async function serve(store) {
	const data = mkdtempSync(join(tmpdir(), "leat-conformance-"))
	const child = spawn(join(here, "../bin/leat"), ["serve", "--store", store, "--data", data, ...flags], {
		stdio: ["ignore", "pipe", "pipe"],
	})
	let log = ""
	child.stderr.on("data", (text) => (log += text))
	const exited = once(child, "exit")
	const first = await Promise.race([once(createInterface(child.stdout), "line"), exited])
	if (child.exitCode !== null) throw new Error(`leat serve did not start:\n${log}`)
	return {
		url: first[0],
		async stop() {
			child.kill("SIGTERM")
			const [code] = await exited
			rmSync(data, { recursive: true })
			if (code !== 0 || /panic/.test(log)) throw new Error(`leat serve ended with ${code}:\n${log}`)
		},
	}
}

/** runTests runs the suite against a server, and returns what became of each test. */
async function runTests(url) {
	const out = join(mkdtempSync(join(tmpdir(), "leat-conformance-")), "report.json")
	const args = [join(here, "node_modules/vitest/vitest.mjs"), "run", "--reporter=json", `--outputFile=${out}`]
	if (values.t !== undefined) args.push("-t", values.t)
	const child = spawn(process.execPath, args, {
		cwd: here,
		env: { ...process.env, LEAT_URL: url },
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
	rmSync(dirname(out), { recursive: true })
	for (const file of report.testResults) {
		if (file.assertionResults.length === 0) throw new Error(`${file.name} has no tests: ${file.message}`)
	}
	return report.testResults.flatMap((file) => file.assertionResults)
}

/** judge prints what is not as expected, and returns whether all is. */
function judge(store, results, expected) {
	const passed = results.filter((r) => r.status === "passed")
	const failed = results.filter((r) => r.status === "failed")
	const surprises = failed.filter((r) => !expected.has(r.fullName))
	const stale = passed.filter((r) => expected.has(r.fullName))
	for (const r of surprises) console.log(`FAILED ${r.fullName}\n    ${r.failureMessages.join("\n").replaceAll("\n", "\n    ")}`)
	for (const r of stale) console.log(`PASSES, and is in expected-failures.txt: ${r.fullName}`)
	const names = new Set(results.map((r) => r.fullName))
	const unknown = [...expected.keys()].filter((name) => !names.has(name))
	for (const name of unknown) console.log(`IS NO TEST, and is in expected-failures.txt: ${name}`)
	console.log(`${store}: ${passed.length} passed, ${failed.length} failed, of which ${failed.length - surprises.length} are expected`)
	return surprises.length + stale.length + unknown.length === 0
}

const expected = expectedFailures()
let good = true
for (const store of stores) {
	const server = await serve(store)
	let results
	try {
		results = await runTests(server.url)
	} finally {
		await server.stop()
	}
	good = judge(store, results, expected) && good
}
process.exit(good ? 0 : 1)
