// The official suite of the Durable Streams protocol, as it is published. Its own
// command line finds no test (durable-streams issue 284), so it is called here.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.LEAT_URL, subscriptions: true })
