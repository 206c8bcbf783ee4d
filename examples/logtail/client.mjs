// node logtail/client.mjs [URL of the server] [how many lines]
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', count = 'Infinity'] = process.argv.slice(2)

let read = 0
for await (const record of stream(server + '/events?topic=log&from=-100', { as: 'ndjson' })) {
  if (record.gap) {
    console.error('lines are missing:', record.gap.reason)
    continue
  }
  console.log(record.data)
  if (++read === Number(count)) break
}
