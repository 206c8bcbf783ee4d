import { useSignal } from "@preact/signals"
import { streamURL } from "./server"
import { Code } from "./ui"
import { t } from "./words"

/** programs read this very stream, and publish to it. They need nothing that is not named in them. */
function programs(name: string, contentType: string): Record<string, string> {
	const base = location.origin
	const events = `${base}/events?topic=${encodeURIComponent(name)}`
	const json = /[/+]json/.test(contentType)
	const sample = json ? '{"hello":"stream"}' : "Hello, stream!"
	return {
		curl: `# read it from the start, live; Ctrl-C ends it
curl -N '${base}${streamURL(name)}?as=sse'

# publish to it
curl -H 'Content-Type: ${contentType}' -d '${sample}' \\
  '${events}'`,
		[t("Browser", "浏览器")]: `const source = new EventSource('${events}&from=-10&envelope=1')
source.onmessage = (e) => console.log(e.lastEventId, JSON.parse(e.data).data)
source.addEventListener('leat.gap', (e) => console.warn('missed', e.data))
source.addEventListener('leat.end', () => source.close())`,
		"Node.js": `// npm install leat
import { stream } from 'leat'

for await (const event of stream('${events}&from=-10')) {
  console.log(event.id, event.data)
}`,
		Go: `// go get github.com/leat-dev/leat
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-dev/leat/client"
)

func main() {
	url := "${events}&from=-10"
	for event, err := range client.Subscribe(context.Background(), url, client.SubscribeOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.ID, string(event.Data))
	}
}`,
		Python: `# pip install leat
import leat

client = leat.Client("${base}")
with client.records(${JSON.stringify(name)}, from_="-10") as records:
    for record in records:
        print(record.id, record.data)`,
	}
}

/** Snippets are programs for the stream that is looked at. */
export function Snippets({ name, contentType }: { name: string; contentType: string }) {
	const all = programs(name, contentType)
	const chosen = useSignal("curl")
	const text = all[chosen.value] ?? all.curl
	return (
		<section class="card" aria-labelledby="snippets-title">
			<div class="row between">
				<h2 id="snippets-title">{t("Use it from", "使用方式")}</h2>
				<select aria-label={t("Language of the program", "程序语言")} value={chosen.value} onChange={(e) => (chosen.value = e.currentTarget.value)}>
					{Object.keys(all).map((k) => (
						<option key={k} value={k}>
							{k}
						</option>
					))}
				</select>
			</div>
			<Code text={text} label={t("Program", "程序")} />
		</section>
	)
}
