// After is the same program on Leat: the same two addresses, the same page, the same
// events. The hub has gone, and so has what it did not do: see ../README.md.
package main

import (
	"flag"
	"io"
	"net/http"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/examples/migrate"
	"github.com/leat-dev/leat/server"
)

func main() {
	flag.Parse()
	srv := run.Leat(server.Options{}) // with a store on disk, orders survive a restart too
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		// The old address, for the clients that are out there. Authentication, and what
		// else stood before the old handler, stands here.
		r.URL.Path, r.URL.RawQuery = "/events", "topic=orders"
		srv.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err == nil {
			_, err = srv.Publish(r.Context(), server.Message{Topic: "orders", Type: "order", ContentType: "text/plain", Data: text})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	run.Main(mux, migrate.Page, srv)
}
