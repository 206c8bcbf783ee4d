// Package run is what every example does that is not its point: the address to
// listen on, the files that all pages share, and an end at Ctrl-C.
package run

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/leat-dev/leat/clients/js"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

var listen = flag.String("listen", "127.0.0.1:8080", "address and port; port 0 is any free one")

//go:embed page.css
var css []byte

// Leat returns a server that keeps its records in memory, so that an example
// leaves nothing behind. A program that means it opens store/pebblestore.
func Leat(o server.Options) *server.Server {
	o.Store = memstore.New(memstore.Options{})
	o.Drain = -1 // who stops an example does not wait for its readers
	srv, err := server.New(o)
	if err != nil {
		log.Fatal(err)
	}
	return srv
}

// Context returns what work in the background belongs to: it ends at Ctrl-C, or when
// the program is told to terminate.
var Context = sync.OnceValue(func() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	return ctx
})

// Main serves until Context ends. The first line on stdout is the URL, once requests
// are taken. leat may be nil.
func Main(mux *http.ServeMux, page []byte, leat *server.Server) {
	mux.HandleFunc("GET /{$}", file("text/html; charset=utf-8", page))
	mux.HandleFunc("GET /page.css", file("text/css; charset=utf-8", css))
	mux.HandleFunc("GET /leat.js", file("text/javascript; charset=utf-8", js.Module))

	stop := Context() // before anybody hears that there is something to stop
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	// Streams last for hours, and so have no WriteTimeout. Their handlers end with
	// this context, since http.Server.Shutdown would wait for them.
	serving, cut := context.WithCancel(context.Background())
	hs := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return serving },
		Protocols:         new(http.Protocols),
	}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetUnencryptedHTTP2(true) // for what stands before it; browsers speak HTTP/2 over TLS only
	if leat != nil {
		hs.ConnContext = leat.ConnContext // cheaper readers: see its documentation
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(ln) }() // owned by Main, ends with hs.Shutdown
	fmt.Printf("http://%s\n", ln.Addr())

	select {
	case err = <-failed:
		log.Fatal(err)
	case <-stop.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if leat != nil {
		err = leat.Shutdown(ctx) // tells readers when to come back
	}
	cut()
	if err = errors.Join(err, hs.Shutdown(ctx)); err != nil {
		log.Fatal(err)
	}
}

// Send makes a request of a server that is in this program, without a network. The
// fields of its header come in pairs. An answer of 400 and above is an error.
func Send(srv http.Handler, method, target string, body io.Reader, fields ...string) error {
	r := httptest.NewRequest(method, target, body)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	if w.Code >= 400 {
		return fmt.Errorf("%s %s: %d: %s", method, target, w.Code, w.Body)
	}
	return nil
}

func file(contentType string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}
