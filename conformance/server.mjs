// Starts and stops the leat that was built.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export const here = dirname(fileURLToPath(import.meta.url))

/** directory makes one for what is gone afterwards. */
export function directory() {
	const path = mkdtempSync(join(tmpdir(), "leat-conformance-"))
	return { path, remove: () => rmSync(path, { recursive: true }) }
}

/**
 * watchStalls looks for how long this process does not come to its turn. What it
 * returns ends that, and returns the longest time in milliseconds.
 */
export function watchStalls() {
	const every = 20
	let longest = 0
	let last = performance.now()
	const timer = setInterval(() => {
		const now = performance.now()
		longest = Math.max(longest, now - last - every)
		last = now
	}, every)
	return () => {
		clearInterval(timer)
		return Math.round(longest)
	}
}

/** serve starts a server, and returns it when it takes requests. */
export async function serve(store, data, listen = "127.0.0.1:0") {
	// Two tests of the suite wait for the server's own timeout of a long poll.
	const args = ["serve", "--listen", listen, "--store", store, "--data", data, "--long-poll-timeout", "500ms", "--subscriptions"]
	const child = spawn(join(here, "../bin/leat"), args, { stdio: ["ignore", "pipe", "pipe"] })
	let log = ""
	child.stderr.on("data", (text) => (log += text))
	const exited = once(child, "exit")
	const first = await Promise.race([once(createInterface(child.stdout), "line"), exited])
	if (child.exitCode !== null) throw new Error(`leat serve did not start:\n${log}`)
	return {
		url: first[0],

		/** kill ends it at once. */
		async kill() {
			child.kill("SIGKILL")
			await exited
		},

		/** stop ends it, and fails if it does not end well. */
		async stop() {
			child.kill("SIGTERM")
			const [code] = await exited
			if (code !== 0 || /panic/.test(log)) throw new Error(`leat serve ended with ${code}:\n${log}`)
		},
	}
}
