// Compare shows the same records to the same page in four ways: as Server-Sent
// Events, as lines of a streamed response, by long polling, and over a WebSocket. The
// table in ../README.md says what is different, and its tests use this server.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"flag"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/leat-dev/leat/client"
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
// a client goes on, that it is still there. Down come envelopes of ?topic= after
// ?last_event_id=, or bytes if the record is binary; what comes up is published.
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
			if err != nil || run.Send(srv, "POST", "/events?topic="+topic, bytes.NewReader(text)) != nil {
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
	// This server is its own client: it reads the topic from itself.
	self := client.Client{URL: "http://" + r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()}
	query := client.Query{Topics: []string{topic}, From: "start", Envelope: true}
	for event, err := range self.Subscribe(ctx, query, client.SubscribeOptions{LastEventID: r.FormValue("last_event_id")}) {
		if err != nil {
			_ = c.Close(websocket.StatusInternalError, "the topic cannot be read") // the client may have gone
			return
		}
		kind, message := websocket.MessageText, event.Data
		if record, err := event.Envelope(); err == nil && record.Encoding == "base64" {
			if message, err = record.Bytes(); err != nil {
				return
			}
			kind = websocket.MessageBinary
		}
		if c.Write(ctx, kind, message) != nil {
			return
		}
	}
}
