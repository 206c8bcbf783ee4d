// Job is a task that takes a while: a POST starts it and answers at once with the
// address of a stream, and that stream tells how far it is and how it ended. It can
// be read by many, from another machine, after a reload, and when all is over.
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	every := flag.Duration("every", 400*time.Millisecond, "how long a step of the job takes")
	flag.Parse()
	j := &jobs{every: *every, cancel: map[string]context.CancelFunc{}, srv: run.Leat(server.Options{
		Retention: []server.RetentionRule{{Pattern: "jobs/*", Retention: server.Retention{Age: 24 * time.Hour}}},
	})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /jobs", j.start)
	mux.HandleFunc("DELETE /jobs/{id}", j.stop)
	mux.Handle("GET /streams/jobs/{id}", j.srv)
	run.Main(mux, page, j.srv)
}

type jobs struct {
	every time.Duration
	srv   *server.Server

	mu     sync.Mutex
	cancel map[string]context.CancelFunc // of jobs that run
}

// start makes the stream before it answers, so that there is something to read.
func (j *jobs) start(w http.ResponseWriter, r *http.Request) {
	fail, _ := strconv.Atoi(r.FormValue("fail")) // the step that goes wrong; 0 for none
	id := strings.ToLower(rand.Text()[:8])
	stream := "/streams/jobs/" + id
	if err := run.Send(j.srv, "PUT", stream, nil, "Content-Type", "application/json"); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// Not r.Context(): the job goes on when this request is answered.
	ctx, cancel := context.WithCancel(run.Context())
	j.mu.Lock()
	j.cancel[id] = cancel
	j.mu.Unlock()
	// Owned by jobs. It ends when the job is done or was cancelled.
	go func() {
		defer cancel()
		state := "complete"
		switch err := j.work(ctx, "jobs/"+id, fail); {
		case errors.Is(err, context.Canceled):
			state = "aborted"
		case err != nil:
			state = fmt.Sprintf("error; reason=%q", err)
		}
		j.mu.Lock()
		delete(j.cancel, id)
		j.mu.Unlock()
		// How it ended is said in the stream, where everybody who reads it hears it.
		if err := run.Send(j.srv, "POST", stream, nil, "Stream-Closed", "true", "Leat-End", state); err != nil {
			log.Print(err)
		}
	}()
	w.Header().Set("Location", stream)
	w.WriteHeader(http.StatusAccepted)
}

func (j *jobs) stop(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	cancel := j.cancel[r.PathValue("id")]
	j.mu.Unlock()
	if cancel == nil {
		http.Error(w, "no such job is running", http.StatusNotFound)
		return
	}
	cancel()
	w.WriteHeader(http.StatusNoContent)
}

var steps = [...]string{"unpack", "read", "check", "sort", "index", "link", "compress", "sign", "copy", "tidy up"}

// work does nothing, slowly.
func (j *jobs) work(ctx context.Context, topic string, fail int) error {
	for i, step := range steps {
		select {
		case <-time.After(j.every):
		case <-ctx.Done():
			return ctx.Err()
		}
		if i+1 == fail {
			return fmt.Errorf("cannot %s", step)
		}
		progress := fmt.Appendf(nil, `{"done":%d,"of":%d,"step":%q}`, i+1, len(steps), step)
		if _, err := j.srv.Publish(ctx, server.Message{Topic: topic, Data: progress}); err != nil {
			return err
		}
	}
	return nil
}
