// Compare shows the same records to the same page in four ways: as Server-Sent
// Events, as lines of a streamed response, by long polling, and over a WebSocket. The
// table in ../README.md says what is different, and its tests use this server.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	flag.Parse()
	srv := run.Leat(server.Options{})
	mux := http.NewServeMux()
	mux.Handle("/events", srv)   // three of the ways, and publishing
	mux.Handle("/streams/", srv) // bytes as they are
	mux.HandleFunc("GET /socket", func(w http.ResponseWriter, r *http.Request) { socket(srv, w, r) })
	run.Main(mux, page, srv)
}

// socket is the fourth way, and all of it has to be written: what a message is, where
// a client goes on, that it is still there. Down come the records of ?topic= after
// ?last_event_id=, text with its id, bytes as they are; what comes up is published.
func socket(srv *server.Server, w http.ResponseWriter, r *http.Request) {
	topic := r.FormValue("topic")
	c, err := websocket.Accept(w, r, nil) // it answers if it cannot; other origins are refused
	if err != nil {
		return
	}
	defer c.CloseNow() // it is closed already where that could go well
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// Owned by socket: CloseNow ends it.
	go func() {
		defer cancel()
		for {
			_, text, err := c.Read(ctx)
			if err == nil {
				_, err = srv.Publish(ctx, server.Message{Topic: topic, ContentType: "text/plain", Data: text})
			}
			if err != nil {
				return
			}
		}
	}()
	// Owned by socket: ctx ends it. A proxy would end a connection that is silent.
	go func() {
		for c.Ping(ctx) == nil {
			select {
			case <-time.After(15 * time.Second):
			case <-ctx.Done():
			}
		}
	}()
	from := cmp.Or(r.FormValue("last_event_id"), "start")
	for event, err := range srv.Subscribe(ctx, server.Subscription{Topics: []string{topic}, From: from}) {
		if err != nil {
			_ = c.Close(websocket.StatusTryAgainLater, "the topic cannot be read") // the client may have gone
			return
		}
		if event.Record == nil {
			continue // where it begins, a gap, an end: a real server would pass them on too
		}
		kind, message := websocket.MessageBinary, event.Record.Data
		if event.Record.Kind == leat.KindText {
			kind = websocket.MessageText
			message, err = json.Marshal(map[string]string{"id": event.Offset.String(), "data": string(event.Record.Data)})
		}
		if err != nil || c.Write(ctx, kind, message) != nil {
			return
		}
	}
}
