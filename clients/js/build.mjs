// Builds dist/leat.js, one readable file, and dist/leat.d.ts beside it. With the argument
// "check" it fails if they are not what src/ gives, or not what test/types.ts uses.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const { version } = JSON.parse(readFileSync(here("package.json"), "utf8"))
const banner = `// leat ${version}: built from clients/js/src by \`npm run build\`. Do not edit.\n`

const compile = (...args) => execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), ...args], { stdio: "inherit" })

/** script returns the bundle. */
export async function script(minify = false) {
	const { outputFiles } = await build({
		entryPoints: [here("src/leat.ts")],
		bundle: true,
		format: "esm",
		target: "es2022",
		minify,
		charset: "utf8",
		write: false,
		logLevel: "warning",
	})
	return outputFiles[0].text
}

/** declarations checks the types and returns the declarations of all modules as those of one. */
function declarations() {
	const out = mkdtempSync(join(tmpdir(), "leat-types-"))
	try {
		compile("-p", here("."), "--outDir", out)
		const modules = ["error", "sse", "follow", "stream", "eventsource", "publish"]
		const text = modules.map((name) => readFileSync(join(out, name + ".d.ts"), "utf8")).join("")
		return text.replace(/^import .*\n/gm, "").replace(/^export \{\};\n/gm, "")
	} finally {
		rmSync(out, { recursive: true })
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const files = { "dist/leat.js": banner + (await script()), "dist/leat.d.ts": banner + declarations() }
	for (const [path, text] of Object.entries(files)) {
		if (process.argv[2] !== "check") writeFileSync(here(path), text)
		else if (readFileSync(here(path), "utf8") !== text) {
			console.error(`${path} is not what src/ gives: run \`npm run build\` in clients/js`)
			process.exitCode = 1
		}
	}
	compile("-p", here("test"))
}
