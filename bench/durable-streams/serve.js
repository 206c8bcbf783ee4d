// The reference server of the Durable Streams protocol, with its records in files:
// node serve.js DIRECTORY. The first line on stdout is its URL.
import { DurableStreamTestServer } from "@durable-streams/server"

const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1", dataDir: process.argv[2] })
console.log(await server.start())
