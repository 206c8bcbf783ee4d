package server_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

// A server is an http.Handler over a store. Shutdown it before the store is
// closed.
func Example() {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	srv, err := server.New(server.Options{Store: st})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(context.Background())

	hs := httptest.NewServer(srv) // in a program: http.ListenAndServe
	defer hs.Close()
	resp, err := http.Post(hs.URL+"/events?topic=greetings", "text/plain", strings.NewReader("hello"))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body) // the id of the record
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A program publishes to its own server, and reads from it, without HTTP between.
func ExampleServer_Subscribe() {
	ctx := context.Background()
	st := memstore.New(memstore.Options{})
	defer st.Close()
	srv, err := server.New(server.Options{Store: st})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(ctx)

	_, err = srv.Publish(ctx,
		server.Message{Topic: "orders/1", ContentType: "application/json", Type: "placed", Data: []byte(`{"total": 12}`)},
		server.Message{Topic: "orders/2", ContentType: "application/json", Type: "placed", Data: []byte(`{"total": 30}`)},
	)
	if err != nil {
		log.Fatal(err)
	}
	n := 0
	for ev, err := range srv.Subscribe(ctx, server.Subscription{Topics: []string{"orders/*"}, From: "start"}) {
		switch {
		case err != nil:
			log.Fatal(err) // ctx has ended, or the server stops
		case ev.Gap != nil:
			fmt.Println("records are gone:", ev.Gap.Reason)
		case ev.Record != nil:
			fmt.Println(ev.Record.Stream, ev.Record.Type, string(ev.Record.Data))
			n++
		}
		if n == 2 {
			break
		}
	}
	// Output:
	// orders/1 placed {"total":12}
	// orders/2 placed {"total":30}
}

// Inside of a mux, under a prefix and behind middleware. Middleware that wraps the
// http.ResponseWriter has to let http.ResponseController through, by a method Unwrap.
func ExampleServer_ServeHTTP() {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	srv, err := server.New(server.Options{
		Store: st,
		// Logs go where those of the program go.
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(context.Background())

	mux := http.NewServeMux()
	mux.Handle("/leat/", http.StripPrefix("/leat", srv))
	hs := httptest.NewServer(mux)
	defer hs.Close()

	req, err := http.NewRequest("PUT", hs.URL+"/leat/streams/report", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, strings.TrimPrefix(resp.Header.Get("Location"), hs.URL))
	// Output: 201 Created /leat/streams/report
}
