// node download/client.mjs [URL of the server]
import { createHash } from 'node:crypto'
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080'] = process.argv.slice(2)

// In place of a hash could be a file. Save bytes.place beside it to go on in another
// process: { resume: place }.
const hash = createHash('sha256')
let resumed = 0
const bytes = stream(server + '/streams/file.bin', { as: 'bytes', retry: 100, onWait: () => resumed++ })
for await (const part of bytes) {
  hash.update(part)
  const { position, total } = bytes.place
  if (process.stderr.isTTY) process.stderr.write(`\r${Math.floor(100 * position / total)} % of ${total} bytes`)
}
console.log(hash.digest('hex'))
console.log(`${bytes.place.position} bytes, resumed ${resumed} times`)
