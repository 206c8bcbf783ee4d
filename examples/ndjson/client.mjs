// node ndjson/client.mjs [URL of the server] [rows] [break off after]
// The same few lines as in the page: fetch is the same in both.
const [server = 'http://127.0.0.1:8080', n = '5', cut = ''] = process.argv.slice(2)

async function* lines(body) {
  let parts = [] // of the line that has not ended yet
  for await (const text of body.pipeThrough(new TextDecoderStream())) { // throws if the connection broke
    const pieces = text.split('\n')
    parts.push(pieces.shift())
    for (const piece of pieces) {
      yield parts.join('')
      parts = [piece]
    }
  }
  if (parts.join('') !== '') throw new Error('the last line is not whole')
}

let rows = 0
let total
try {
  const response = await fetch(`${server}/rows?n=${n}&cut=${cut}`)
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  for await (const line of lines(response.body)) {
    if (line === '') continue
    const value = JSON.parse(line)
    if ('total' in value) { total = value.total; continue }
    rows++
    console.log(value.row, value.name)
  }
  if (total !== rows) throw new Error('the last line is missing')
  console.log(`all ${rows} rows`)
} catch (error) {
  console.log(`broken off after ${rows} rows`)
}
