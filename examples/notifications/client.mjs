// node notifications/client.mjs [URL of the server]
// Node.js has no EventSource of its own. This one has the same members and events,
// and comes back after failures that end a browser's for good.
import { LeatEventSource } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080'] = process.argv.slice(2)

const source = new LeatEventSource(server + '/notifications')
for (const kind of ['mail', 'order', 'alarm']) {
  source.addEventListener(kind, event => console.log(event.lastEventId, event.type, event.data))
}
source.addEventListener('close', event => {
  console.log(event.lastEventId, event.type, event.data)
  source.close() // else it would come back, and be answered 204
})
source.onerror = event => console.error(event.error.message)
