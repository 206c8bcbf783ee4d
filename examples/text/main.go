// Text streams plain text: a response that grows while it is shown. It is what a
// long-running command, a report or a language model has to say, and the simplest
// thing HTTP can stream.
package main

import (
	_ "embed"
	"flag"
	"net/http"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
)

//go:embed index.html
var page []byte

//go:embed poem.txt
var poem []byte

var pace = flag.Duration("every", 60*time.Millisecond, "time between two pieces")

// piece is how many bytes are sent at a time. It is odd on purpose: characters of
// several bytes are cut in the middle, as a network cuts them too.
const piece = 7

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /poem", serve)
	run.Main(mux, page, nil)
}

func serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff") // else a browser waits for more bytes, to guess what they are
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	for rest := poem; len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		rest = rest[n:]
		select {
		case <-time.After(*pace):
		case <-r.Context().Done():
			return
		}
	}
}
