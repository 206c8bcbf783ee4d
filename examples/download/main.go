// Download is a large file over connections that do not last: the client knows how
// much there will be, shows how much it has, and goes on behind that after each cut.
// A strong ETag makes sure that both halves are of the same file.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"log"
	"math/rand/v2"
	"net/http"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	size := flag.Int("size", 64<<20, "size of the file, in bytes")
	cut := flag.Int("cut", 0, "break each answer off after so many bytes; 0 never does")
	flag.Parse()
	// The connections are not taken over, since what is written has to be seen here.
	srv := run.Leat(server.Options{Loops: -1})
	file := make([]byte, *size)
	chance := rand.NewChaCha8([32]byte{1})
	_, _ = chance.Read(file) // never fails
	err := run.Send(srv, "PUT", "/streams/file.bin", nil, "Content-Type", "application/octet-stream")
	if err == nil {
		err = run.Send(srv, "POST", "/streams/file.bin?append=stream", bytes.NewReader(file),
			"Content-Type", "application/octet-stream", "Stream-Closed", "true")
	}
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /streams/file.bin", func(w http.ResponseWriter, r *http.Request) {
		if *cut > 0 {
			w = &unreliable{w, *cut}
		}
		srv.ServeHTTP(w, r)
	})
	run.Main(mux, page, srv)
}

// An unreliable connection lets so many bytes through.
type unreliable struct {
	http.ResponseWriter
	left int
}

func (u *unreliable) Write(b []byte) (int, error) {
	n := min(len(b), u.left)
	u.left -= n
	written, err := u.ResponseWriter.Write(b[:n])
	if err == nil && n < len(b) {
		err = errors.New("the line was cut")
	}
	return written, err
}

// Unwrap is for http.ResponseController.
func (u *unreliable) Unwrap() http.ResponseWriter { return u.ResponseWriter }
