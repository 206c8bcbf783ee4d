// node presence/client.mjs [URL of the server] [name]
import { LeatEventSource } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', name = 'node'] = process.argv.slice(2)

const source = new LeatEventSource(server + '/events?topic=here&from=-1')
source.onmessage = event => console.log('here:', JSON.parse(event.data).here.join(', '))

async function beat() {
  let next = 5000
  try {
    const response = await fetch(`${server}/here/${encodeURIComponent(name)}`, { method: 'POST' })
    next = (await response.json()).next
  } catch (error) {
    console.error(error.message) // the server is away; it will be told later
  }
  setTimeout(beat, next)
}
beat()

process.on('SIGINT', async () => {
  await fetch(`${server}/gone/${encodeURIComponent(name)}`, { method: 'POST' }).catch(() => {})
  process.exit()
})
