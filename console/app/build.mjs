// Builds ../dist, the three files that the server embeds. With the argument "check" it fails
// if they are not what src/ gives.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

const { outputFiles } = await build({
	absWorkingDir: here("."),
	entryPoints: { console: "src/main.tsx" },
	outdir: "../dist",
	bundle: true,
	format: "esm",
	target: "es2022",
	jsx: "automatic",
	jsxImportSource: "preact",
	minify: true,
	charset: "utf8",
	legalComments: "inline",
	write: false,
	logLevel: "warning",
})
const files = { "../dist/index.html": readFileSync(here("src/index.html")) }
for (const { path, contents } of outputFiles) files["../dist/" + path.split("/").pop()] = Buffer.from(contents)

mkdirSync(here("../dist"), { recursive: true })
for (const [path, bytes] of Object.entries(files)) {
	if (process.argv[2] !== "check") writeFileSync(here(path), bytes)
	else if (!existsSync(here(path)) || !readFileSync(here(path)).equals(bytes)) {
		console.error(`console/app/${path} is not what src/ gives: run \`make console\``)
		process.exitCode = 1
	}
}
