// node longpoll/client.mjs [URL of the server] [how many messages]
const [server = 'http://127.0.0.1:8080', count = 'Infinity'] = process.argv.slice(2)

let last = ''
let failures = 0
for (let read = 0; read < Number(count);) {
  let answer
  try {
    const place = last && '&last_event_id=' + last // it wins over from=
    const response = await fetch(server + '/events?as=json&topic=wall&from=start&wait=25s' + place, {
      signal: AbortSignal.timeout(40_000), // longer than the server waits: else the connection is dead
    })
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
    answer = await response.json()
  } catch (error) {
    console.error(error.message)
    await new Promise(done => setTimeout(done, Math.random() * Math.min(30_000, 500 * 2 ** ++failures)))
    continue
  }
  failures = 0
  for (const event of answer.events) {
    if (event.topic && read++ < Number(count)) console.log(event.data)
  }
  last = answer.next
}
