import { useSignal } from "@preact/signals"
import { publish, typeOf } from "./server"
import { attempt, tell } from "./ui"
import { shortOffset, t } from "./words"

/** Publish is the form that appends a record to a stream. */
export function Publish({ topic, contentType }: { topic: string; contentType?: string }) {
	const body = useSignal("")
	const type = useSignal("")
	const key = useSignal("")
	const send = async () => {
		await attempt(async () => {
			const id = await publish(topic, body.value, { contentType: contentType ?? typeOf(body.value), type: type.value, key: key.value })
			tell(t(`Published at ${shortOffset(id)}.`, `已发布于 ${shortOffset(id)}。`))
		})
	}
	return (
		<form
			class="card publish"
			aria-labelledby="publish-title"
			onSubmit={(e) => {
				e.preventDefault()
				void send()
			}}
		>
			<h2 id="publish-title">{t("Publish", "发布")}</h2>
			<label>
				{t("Body", "正文")} <span class="quiet">{contentType}</span>
				<textarea
					rows={4}
					required
					spellcheck={false}
					value={body.value}
					placeholder={contentType?.includes("json") ? '{"hello":"stream"}' : t("Hello, stream!", "你好，流！")}
					onInput={(e) => (body.value = e.currentTarget.value)}
					onKeyDown={(e) => {
						if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) e.currentTarget.form!.requestSubmit()
					}}
				/>
			</label>
			<div class="row bottom">
				<label class="grow">
					{t("Event type", "事件类型")}
					<input value={type.value} maxLength={256} placeholder="message" onInput={(e) => (type.value = e.currentTarget.value)} />
				</label>
				<label class="grow">
					{t("Key", "键")}
					<input
						value={key.value}
						maxLength={256}
						title={t("A record with a key that was published lately is not stored again.", "近期已发布过的键不会重复存储。")}
						onInput={(e) => (key.value = e.currentTarget.value)}
					/>
				</label>
				<button class="primary">{t("Publish", "发布")}</button>
			</div>
			<p class="quiet">{t("Ctrl+Enter publishes.", "按 Ctrl+Enter 发布。")}</p>
		</form>
	)
}
