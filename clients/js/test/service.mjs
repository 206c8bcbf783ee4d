// The test service of the JavaScript client, for harnesses of event streams. Its contract
// is in conformance/README.md. It listens at 127.0.0.1:$PORT.
import { createServer } from "node:http"
import { LeatEventSource } from "../dist/leat.js"

const capabilities = [
	"bom",
	"comments",
	"event-type-listeners",
	"headers",
	"last-event-id",
	"post",
	"read-timeout",
	"report",
	"restart",
	"server-directed-shutdown-request",
]

const clients = new Map()
let made = 0

/** A Client is a LeatEventSource, and tells a harness what comes of it. */
class Client {
	types = new Set(["message"])
	told = 0
	telling = Promise.resolve()

	constructor({ streamUrl, callbackUrl, initialDelayMs, readTimeoutMs, lastEventId, headers, method, body }) {
		this.callback = callbackUrl
		this.url = streamUrl
		this.options = { method, headers, body, lastEventId, stall: readTimeoutMs, retry: initialDelayMs ?? 0, repeat: true }
		this.start()
	}

	start() {
		const source = (this.source = new LeatEventSource(this.url, {
			...this.options,
			onComment: (comment) => this.tell({ kind: "comment", comment }),
		}))
		source.addEventListener("error", (e) => {
			if (e.error) this.tell({ kind: "error", error: e.error.message, comment: e.error.message })
			else this.event(e)
		})
		for (const type of this.types) this.listen(type)
	}

	listen(type) {
		this.types.add(type)
		this.source.addEventListener(type, (e) => this.event(e))
	}

	event({ type, data, lastEventId }) {
		if (data !== undefined) this.tell({ kind: "event", event: { type, data, id: lastEventId } })
	}

	/** tell says one thing after the other. */
	tell(message) {
		const url = `${this.callback}/${++this.told}`
		this.telling = this.telling.then(() => fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(message) })).catch(() => {})
	}

	restart() {
		this.source.close()
		this.options.lastEventId = this.source.lastEventId
		this.start()
	}
}

/** command returns the status of the answer. */
function command(client, { command, listen }) {
	if (command === "restart") client.restart()
	else if (command === "listen" && typeof listen?.type === "string") client.listen(listen.type)
	else return 400
	return 202
}

const server = createServer(async (request, response) => {
	const end = (status, headers, body) => response.writeHead(status, headers).end(body)
	let text = ""
	for await (const chunk of request) text += chunk
	const { method, url } = request
	const client = clients.get(url)
	try {
		if (method === "GET" && url === "/") end(200, { "content-type": "application/json" }, JSON.stringify({ capabilities }))
		else if (method === "DELETE" && url === "/") {
			end(200)
			for (const { source } of clients.values()) source.close()
			server.close()
			server.closeIdleConnections()
		} else if (method === "POST" && url === "/") {
			const location = `/clients/${++made}`
			clients.set(location, new Client(JSON.parse(text)))
			end(201, { location })
		} else if (!client) end(404)
		else if (method === "DELETE") {
			client.source.close()
			clients.delete(url)
			end(204)
		} else end(command(client, JSON.parse(text)))
	} catch (error) {
		end(400, {}, `${error}`)
	}
})
server.listen(+process.env.PORT, "127.0.0.1")
