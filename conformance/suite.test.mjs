// The official suite of the Durable Streams protocol, as it is published. Its own
// command line finds no test (durable-streams issue 284), so it is called here.
import { writeFileSync } from "node:fs"
import { runConformanceTests } from "@durable-streams/server-conformance-tests"
import { afterAll } from "vitest"
import { watchStalls } from "./server.mjs"

runConformanceTests({ baseUrl: process.env.LEAT_URL, subscriptions: true })

const stalled = watchStalls()
afterAll(() => writeFileSync(process.env.LEAT_STALLED, String(stalled())))
