// node migrate/client.mjs [URL of the server] [how many orders]
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', count = 'Infinity'] = process.argv.slice(2)

let read = 0
for await (const event of stream(server + '/stream', { as: 'sse', onOpen: () => console.error('connected') })) {
  if (event.type !== 'order') continue
  console.log(event.data)
  if (++read === Number(count)) break
}
