// Search answers with a JSON array whose elements arrive as they are found. It is
// one valid JSON document: a client that knows nothing of it waits and parses the
// whole, and one that can shows the first result while the rest is searched for.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
)

//go:embed index.html
var page []byte

var pace = flag.Duration("every", 15*time.Millisecond, "how long it takes to look at one entry")

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /search", search)
	run.Main(mux, page, nil)
}

// A result is a status of HTTP: what is searched is what net/http knows of them.
type result struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

func search(w http.ResponseWriter, r *http.Request) {
	query := strings.ToLower(r.FormValue("q"))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)

	write := func(text string) bool {
		_, err := w.Write([]byte(text))
		if err == nil {
			err = out.Flush()
		}
		return err == nil
	}
	if !write("[") {
		return
	}
	before := "\n"
	for code := 100; code < 600; code++ {
		text := http.StatusText(code)
		if text == "" {
			continue
		}
		select {
		case <-time.After(*pace):
		case <-r.Context().Done(): // the next letter was typed: nobody waits for this any more
			return
		}
		if !strings.Contains(strings.ToLower(text), query) {
			continue
		}
		element, err := json.Marshal(result{code, text})
		if err != nil {
			// Too late for a status of 500. The array stays open, which no parser takes for
			// a result that is whole.
			log.Print(err)
			panic(http.ErrAbortHandler)
		}
		if !write(before + string(element)) {
			return
		}
		before = ",\n"
	}
	write("\n]\n")
}
