// node prices/client.mjs [URL of the server] [how many prices]
// As lines of JSON: the same topics, the same ids, another form.
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', count = 'Infinity'] = process.argv.slice(2)

let read = 0
for await (const record of stream(server + '/events?topic=prices/*&from=start', { as: 'ndjson' })) {
  if (record.gap) {
    console.error('some prices were skipped:', record.gap.reason)
    continue
  }
  const { symbol, price } = record.data
  console.log(symbol, price.toFixed(2))
  if (++read === Number(count)) break // leaving the loop closes the connection
}
