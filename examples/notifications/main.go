// Notifications is Server-Sent Events from the ground up: a net/http handler and
// package sse, which only writes the format down. It has all that a client of
// such a stream relies on: named events, ids, a retry, heartbeats, what was missed
// after a reconnect, and an end that stops the browser.
package main

import (
	_ "embed"
	"flag"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/sse"
)

//go:embed index.html
var page []byte

func main() {
	heartbeat := flag.Duration("heartbeat", 15*time.Second, "longest silence")
	flag.Parse()
	b := &board{heartbeat: *heartbeat, news: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notifications", b.stream)
	mux.HandleFunc("POST /notifications", b.post)
	mux.HandleFunc("DELETE /notifications", b.end)
	run.Main(mux, page, nil)
}

// A notification is one event; its id is its number, from 1.
type notification struct{ kind, text string }

// A board has all notifications. A reader has no queue here: it knows how many it
// has read, and looks for more when it is told that there are some.
type board struct {
	heartbeat time.Duration

	mu    sync.Mutex
	all   []notification
	ended bool
	news  chan struct{} // closed, and replaced, when one of the above changes
}

func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.news)
	b.news = make(chan struct{})
}

// after returns what follows the first n, whether that is all there will be, and
// what to wait for otherwise.
func (b *board) after(n int) (more []notification, ended bool, news <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[min(n, len(b.all)):], b.ended, b.news
}

func (b *board) stream(w http.ResponseWriter, r *http.Request) {
	// A browser that reconnects says which event it had last.
	read, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	read = max(0, read)
	if more, ended, _ := b.after(read); ended && len(more) == 0 {
		w.WriteHeader(http.StatusNoContent) // the only answer that stops an EventSource for good
		return
	}

	h := w.Header()
	h.Set("Content-Type", sse.MediaType)
	h.Set("Cache-Control", "no-store, no-transform") // nothing may keep it, or compress it and wait
	h.Set("X-Accel-Buffering", "no")                 // nginx would collect it
	// The first bytes go out at once: some proxies hold the head back until there is a
	// body. Browsers that come back after a restart do so at different times.
	block := sse.AppendComment(nil, "welcome")
	block, err := sse.AppendRetry(block, time.Second+rand.N(time.Second))

	out := http.NewResponseController(w)
	silence := time.NewTicker(b.heartbeat)
	defer silence.Stop()
	for {
		more, ended, news := b.after(read)
		for _, n := range more {
			if err == nil {
				read++
				block, err = sse.AppendEvent(block, strconv.Itoa(read), n.kind, []byte(n.text))
			}
		}
		if err == nil && len(block) > 0 {
			// All there is goes out in one write. A reader that takes nothing for a minute
			// is let go; without a deadline a vanished one would be kept for a quarter of
			// an hour. It is cleared again: HTTP/2 would reset a stream that is idle past it.
			_ = out.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err = w.Write(block); err == nil {
				err = out.Flush()
			}
			_ = out.SetWriteDeadline(time.Time{})
		}
		if err != nil || ended {
			return
		}
		block = block[:0]
		select {
		case <-news:
		case <-silence.C:
			// So that proxies do not take the connection for dead, and we notice if it is.
			block = sse.AppendComment(block, "")
		case <-r.Context().Done(): // the reader has left, or the server stops
			return
		}
	}
}

// post adds a notification: curl -d 'You have mail' '…/notifications?kind=mail'
func (b *board) post(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	kind := r.URL.Query().Get("kind")
	if err == nil {
		_, err = sse.AppendEvent(nil, "", kind, text) // a kind with a line end is refused here, not at the readers
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.change(func() {
		if !b.ended {
			b.all = append(b.all, notification{kind, string(text)})
		}
	})
	w.WriteHeader(http.StatusNoContent)
}

// end is for good: readers get the last event, their stream ends, and those that
// come back are answered 204.
func (b *board) end(w http.ResponseWriter, _ *http.Request) {
	b.change(func() {
		if !b.ended {
			b.all = append(b.all, notification{"close", "no more today"})
			b.ended = true
		}
	})
	w.WriteHeader(http.StatusNoContent)
	log.Print("closed: restart to begin again")
}
