// Before is an event stream as many programs have it: written once, by hand, and it
// works. See ../README.md for what it does not do.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/examples/migrate"
)

func main() {
	flag.Parse()
	h := &hub{clients: map[chan string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", h.stream)
	mux.HandleFunc("POST /orders", h.order)
	run.Main(mux, migrate.Page, nil)
}

// A hub has a channel for each client.
type hub struct {
	mu      sync.Mutex
	clients map[chan string]bool
}

func (h *hub) order(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		select {
		case c <- string(text):
		default: // this client is slow: it does not get the order, and does not hear of it
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *hub) stream(w http.ResponseWriter, r *http.Request) {
	c := make(chan string, 16)
	h.mu.Lock()
	h.clients[c] = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.clients, c)
		h.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.(http.Flusher).Flush()
	for {
		select {
		case text := <-c:
			fmt.Fprintf(w, "event: order\ndata: %s\n\n", strings.ReplaceAll(text, "\n", " "))
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}
