// node audio/client.mjs [URL of the server] [file to write to]
// With a player: node audio/client.mjs http://127.0.0.1:8080 /dev/stdout | aplay
import { createWriteStream } from 'node:fs'
import { stream } from '../../clients/js/dist/leat.js' // 'leat' once it is installed

const [server = 'http://127.0.0.1:8080', file] = process.argv.slice(2)

const response = await fetch(server + '/recordings', { method: 'POST' })
if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
const out = file && createWriteStream(file)
const sound = stream(new URL(response.headers.get('Location') + '?follow=1', server), { as: 'bytes' })
let heard = 0
for await (const part of sound) {
  heard += part.length // long before the recording is over
  out?.write(part)
}
console.error(`${heard} bytes of ${response.headers.get('Location')}`)
if (!file) console.log(heard)
