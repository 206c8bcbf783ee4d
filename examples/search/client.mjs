// node search/client.mjs [URL of the server] [what to search for]
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', query = 'not'] = process.argv.slice(2)

let found = 0
for await (const { code, text } of stream(server + '/search?q=' + encodeURIComponent(query), { as: 'json' })) {
  console.log(code, text) // while the rest is searched for
  found++
}
console.log(found, 'found')
