// Starts the leat that was built (bin/leat), and takes it away again.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../../../bin/leat", import.meta.url))

/**
 * needs says whether a test can run: where what it needs is missing it is skipped loudly,
 * and fails in CI.
 */
export function needs(path, how) {
	if (existsSync(path)) return false
	const missing = `WITHOUT ${path}: ${how}`
	if (process.env.CI === "true") throw new Error(missing)
	console.error(missing)
	return missing
}

export const withoutLeat = () => needs(program, "run `make build` first")

/** start starts a server with a store of its own, which ends with the test t. */
export async function start(t, ...args) {
	const data = mkdtempSync(join(tmpdir(), "leat-js-"))
	let child
	let exited
	const run = async (listen) => {
		child = spawn(program, ["serve", "--listen", listen, "--data", data, ...args], { stdio: ["ignore", "pipe", "pipe"] })
		let log = ""
		child.stderr.on("data", (text) => (log += text))
		exited = once(child, "exit")
		const [first] = await Promise.race([once(createInterface(child.stdout), "line"), exited])
		if (child.exitCode !== null) throw new Error(`leat serve did not start:\n${log}`)
		return first
	}
	const kill = async () => {
		child.kill("SIGKILL")
		await exited
	}
	t.after(async () => {
		await kill()
		rmSync(data, { recursive: true })
	})
	const url = await run("127.0.0.1:0")
	return {
		url,
		/** again kills the server, and starts it at the same address and with the same data. */
		async again() {
			await kill()
			await run(new URL(url).host)
		},
		/** subscribers is how many readers it has. */
		subscribers: async () => (await (await fetch(url + "/healthz")).json()).subscribers,
	}
}
