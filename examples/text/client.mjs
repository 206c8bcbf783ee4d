// node text/client.mjs [URL of the server]
const [server = 'http://127.0.0.1:8080'] = process.argv.slice(2)

const response = await fetch(server + '/poem')
if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
// TextDecoderStream keeps the bytes of a character that is not whole yet for the next piece.
for await (const text of response.body.pipeThrough(new TextDecoderStream())) process.stdout.write(text)
