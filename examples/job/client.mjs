// node job/client.mjs [URL of the server] [step that fails]
// Starts a job and waits for its end. Its exit code is that of the job.
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', fail = '0'] = process.argv.slice(2)

const response = await fetch(`${server}/jobs?fail=${fail}`, { method: 'POST' })
if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
const events = stream(new URL(response.headers.get('Location'), server), { as: 'sse' })
for await (const event of events) {
  if (event.end) {
    console.log(event.end.state, event.end.reason ?? '')
    process.exitCode = event.end.state === 'complete' ? 0 : 1
  } else if (event.type === 'message') {
    const { done, of, step } = JSON.parse(event.data)
    console.log(`${done}/${of} ${step}`)
  }
}
