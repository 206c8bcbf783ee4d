// Ndjson is streamable HTTP at its simplest: a response that is not finished yet,
// with one JSON value on each line. Any client that reads a body piece by piece can
// use it, with any method and any header.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
)

//go:embed index.html
var page []byte

var pace = flag.Duration("every", 300*time.Millisecond, "time between two rows")

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rows", rows)
	run.Main(mux, page, nil)
}

// A line is a row, or the last line, which says that it is.
type line struct {
	Row   int    `json:"row,omitempty"`
	Name  string `json:"name,omitempty"`
	Total *int   `json:"total,omitempty"`
}

var names = [...]string{"Ada", "Grace", "Barbara", "Radia", "Frances", "Karen", "Margaret", "Sophie"}

// rows sends ?n= rows, as a slow query would. ?cut= breaks off after so many, to
// show what a client sees when a server dies in the middle.
func rows(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil || n < 0 || n > 1000 {
		http.Error(w, "n= is the number of rows, 0 to 1000", http.StatusBadRequest) // errors come before the stream, with a status
		return
	}
	cut, err := strconv.Atoi(r.FormValue("cut"))
	if err != nil {
		cut = -1
	}

	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)
	lines := json.NewEncoder(w) // Encode ends each value with a line feed, and puts none inside
	for i := 1; i <= n; i++ {
		if i-1 == cut {
			panic(http.ErrAbortHandler) // the connection breaks: no last chunk, so no clean end
		}
		if err := lines.Encode(line{Row: i, Name: names[(i-1)%len(names)]}); err != nil {
			return
		}
		if err := out.Flush(); err != nil { // without this the row waits until there are 4 KiB
			return
		}
		select {
		case <-time.After(*pace):
		case <-r.Context().Done(): // the client has left: stop the work too
			log.Printf("the client left after %d of %d rows", i, n)
			return
		}
	}
	// Over HTTP/1.1 and 2 the end of a body says whether it is whole. A proxy that
	// speaks HTTP/1.0 loses that, so the last line says it too.
	_ = lines.Encode(line{Total: &n}) // nothing is left to do if the client has gone
}
