// node compare/client.mjs [URL of the server] [topic] [how many records]
// The same records over each of the three forms that are plain HTTP.
import { LeatEventSource, stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', topic = 'four', count = '3'] = process.argv.slice(2)
const url = `${server}/events?topic=${encodeURIComponent(topic)}&from=start`

const events = await new Promise(done => {
  const texts = []
  const source = new LeatEventSource(url)
  source.onmessage = event => {
    if (texts.push(event.data) < Number(count)) return
    source.close()
    done(texts)
  }
})
console.log('events:', events.join(', '))

const lines = []
for await (const record of stream(url, { as: 'ndjson' })) {
  if (lines.push(record.data) === Number(count)) break
}
console.log('lines:', lines.join(', '))

const polls = []
for (let next = ''; polls.length < Number(count);) {
  const answer = await (await fetch(url + '&as=json' + (next && '&last_event_id=' + next))).json()
  for (const record of answer.events) if (record.topic) polls.push(record.data)
  next = answer.next
}
console.log('polls:', polls.slice(0, Number(count)).join(', '))
