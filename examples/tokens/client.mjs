// node tokens/client.mjs [URL of the server] [question]
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', question = 'What is a leat?'] = process.argv.slice(2)

const response = await fetch(server + '/answers', { method: 'POST', body: question })
if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
for await (const event of stream(new URL(response.headers.get('Location'), server), { as: 'sse' })) {
  if (event.type === 'message') process.stdout.write(event.data)
  if (event.end) console.log(`\n(${event.end.state})`)
}
