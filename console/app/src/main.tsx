// The page: its head, and the view that its address names.
import { effect, signal } from "@preact/signals"
import { render } from "preact"
import { useEffect, useRef } from "preact/hooks"
import { collect, Figures } from "./figures"
import { Lab } from "./lab/lab"
import { Readers } from "./readers"
import { about, access, askAbout, useToken } from "./server"
import { StreamView } from "./stream"
import { Streams } from "./streams"
import "./style.css"
import "uplot/dist/uPlot.min.css"
import { Notice, path, useEvery } from "./ui"
import { chooseLanguage, language, t } from "./words"

type Theme = "auto" | "light" | "dark"
const theme = signal<Theme>((localStorage.getItem("theme") as Theme | null) ?? "auto")
effect(() => {
	document.documentElement.dataset.theme = theme.value
	localStorage.setItem("theme", theme.value)
})

/** decoded is the name of a stream in an address, also in one that somebody typed. */
function decoded(name: string) {
	try {
		return decodeURIComponent(name)
	} catch {
		return name
	}
}

function View() {
	const p = path.value
	if (p.startsWith("/stream/")) {
		const name = decoded(p.slice("/stream/".length))
		return <StreamView key={name} name={name} />
	}
	switch (p) {
		case "/readers":
			return <Readers />
		case "/server":
			return <Figures />
		case "/lab":
			return <Lab />
		default:
			return <Streams />
	}
}

/** State says how it stands with the server, in the head of the page. */
function State() {
	const a = about.value
	if (access.value === "down") {
		return (
			<span class="state bad" role="status">
				{t("No answer", "无响应")}
			</span>
		)
	}
	return (
		<span class="state" title={a?.version}>
			{a ? `${t("durability", "持久性")}: ${a.durability}` : ""}
		</span>
	)
}

/** Access asks for a token, or says why there is nothing to see. */
function Access() {
	const input = useRef<HTMLInputElement>(null)
	if (access.value === "refused") {
		return (
			<p class="banner">
				{t(
					"Readers and figures are shown to programs on the server's machine. Start it with --api-token to see them from here.",
					"读者和指标只对服务器本机开放。要从这里查看，请用 --api-token 启动服务器。",
				)}
			</p>
		)
	}
	if (access.value !== "token") return null
	return (
		<form
			class="banner row"
			onSubmit={(e) => {
				e.preventDefault()
				void useToken(input.current!.value.trim())
			}}
		>
			<label class="row">
				{t("This server asks for its API token", "此服务器需要 API 令牌")}
				<input ref={input} type="password" autocomplete="off" required />
			</label>
			<button class="primary">{t("Use it", "使用")}</button>
		</form>
	)
}

function Page() {
	const main = useRef<HTMLElement>(null)
	useEvery(5000, askAbout)
	useEvery(2000, collect)
	const section = path.value.split("/")[1]
	useEffect(() => main.current?.focus({ preventScroll: true }), [path.value])
	const here = (name: string) => (section === name || (name === "" && section === "stream") ? ("page" as const) : undefined)
	return (
		<>
			<header>
				<a class="logo" href="#/" aria-label="Leat">
					<svg viewBox="0 0 32 32" aria-hidden="true">
						<path d="M3 11c4.300-5 8.600 5 13 0s8.700 5 13 0M3 21c4.300-5 8.600 5 13 0s8.700 5 13 0" />
					</svg>
					Leat
				</a>
				<nav aria-label={t("Views", "视图")}>
					<a href="#/" aria-current={here("")}>
						{t("Streams", "流")}
					</a>
					<a href="#/readers" aria-current={here("readers")}>
						{t("Readers", "读者")}
					</a>
					<a href="#/server" aria-current={here("server")}>
						{t("Server", "服务器")}
					</a>
					<a href="#/lab" aria-current={here("lab")}>
						{t("Lab", "实验室")}
					</a>
				</nav>
				<div class="row settings">
					<State />
					<select aria-label={t("Colours", "配色")} value={theme.value} onChange={(e) => (theme.value = e.currentTarget.value as Theme)}>
						<option value="auto">{t("Auto", "自动")}</option>
						<option value="light">{t("Light", "浅色")}</option>
						<option value="dark">{t("Dark", "深色")}</option>
					</select>
					<select aria-label={t("Language", "语言")} value={language.value} onChange={(e) => chooseLanguage(e.currentTarget.value as "en" | "zh")}>
						<option value="en" lang="en">
							English
						</option>
						<option value="zh" lang="zh-Hans">
							中文
						</option>
					</select>
				</div>
			</header>
			<main ref={main} tabIndex={-1}>
				<Access />
				<View />
			</main>
			<Notice />
		</>
	)
}

const app = document.getElementById("app")!
app.replaceChildren()
render(<Page />, app)
