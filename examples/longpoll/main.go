// Longpoll serves one page to all: browsers with EventSource take events, and those
// that have none, or sit behind something that holds streams back, ask again and
// again. The ids are the same, so a client may change from one to the other in the
// middle and misses nothing.
package main

import (
	_ "embed"
	"flag"
	"net/http"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	flag.Parse()
	srv := run.Leat(server.Options{})
	mux := http.NewServeMux()
	mux.Handle("/events", srv) // GET for events and for polls, POST to say something
	run.Main(mux, page, srv)
}
