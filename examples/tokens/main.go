// Tokens answers a question word by word, as language models do. The answer is a
// stream of its own: who loses the connection, or reloads the page, goes on in the
// middle of a sentence, and nobody has to compute it again.
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"flag"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	every := flag.Duration("every", 80*time.Millisecond, "time between two tokens")
	flag.Parse()
	a := &answers{every: *every, cancel: map[string]context.CancelFunc{}, srv: run.Leat(server.Options{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /answers", a.ask)
	mux.HandleFunc("DELETE /answers/{id}", a.stop)
	mux.Handle("GET /streams/answers/{id}", a.srv) // as events, or the text so far: curl '…?follow=1'
	run.Main(mux, page, a.srv)
}

type answers struct {
	every time.Duration
	srv   *server.Server

	mu     sync.Mutex
	cancel map[string]context.CancelFunc // of those that are being written
}

func (a *answers) ask(w http.ResponseWriter, r *http.Request) {
	question, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	id := strings.ToLower(rand.Text()[:8])
	stream := "/streams/answers/" + id
	// An answer is kept for a day.
	err = run.Send(a.srv, "PUT", stream, nil, "Content-Type", "text/plain; charset=utf-8", "Stream-TTL", "86400")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithCancel(run.Context())
	a.mu.Lock()
	a.cancel[id] = cancel
	a.mu.Unlock()
	// Owned by answers. It ends with the answer, or when that was stopped.
	go func() {
		defer cancel()
		if err := a.write(ctx, "answers/"+id, string(question)); err != nil {
			log.Print(err)
		}
		a.mu.Lock()
		delete(a.cancel, id)
		a.mu.Unlock()
	}()
	w.Header().Set("Location", stream)
	w.WriteHeader(http.StatusCreated)
}

// write appends a token at a time: a reader has each before the next is made.
func (a *answers) write(ctx context.Context, topic, question string) error {
	for token := range generate(question) {
		if _, err := a.srv.Publish(context.Background(), server.Message{Topic: topic, Data: []byte(token)}); err != nil {
			return err
		}
		select {
		case <-time.After(a.every):
		case <-ctx.Done():
			return run.Send(a.srv, "POST", "/streams/"+topic, nil, "Stream-Closed", "true", "Leat-End", "aborted")
		}
	}
	return run.Send(a.srv, "POST", "/streams/"+topic, nil, "Stream-Closed", "true")
}

func (a *answers) stop(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	cancel := a.cancel[r.PathValue("id")]
	a.mu.Unlock()
	if cancel == nil {
		http.Error(w, "no such answer is being written", http.StatusNotFound)
		return
	}
	cancel()
	w.WriteHeader(http.StatusNoContent)
}
