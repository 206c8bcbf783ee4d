package server_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
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
