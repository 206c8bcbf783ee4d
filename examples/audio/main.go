// Audio is a recording that is listened to while it is made. The recording is a
// stream of bytes that grows, and an <audio> element is a reader that follows it. A
// second listener starts at its beginning, and when it is over it can be sought in,
// like a file.
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
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	from := flag.String("source", "auto", "what is recorded: espeak (speech, as WAV), ffmpeg (music, as Opus), tone (as WAV, needs no program), or auto, the first that is there")
	length := flag.Duration("length", 20*time.Second, "how long a recording is")
	flag.Parse()
	source, err := choose(*from)
	if err != nil {
		log.Fatal(err)
	}
	srv := run.Leat(server.Options{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /recordings", func(w http.ResponseWriter, r *http.Request) {
		stream := "/streams/recordings/" + strings.ToLower(rand.Text()[:8])
		if err := run.Send(srv, "PUT", stream, nil, "Content-Type", source.contentType, "Stream-TTL", "3600"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		// Owned by main: it ends with the recording.
		go func() {
			if err := record(srv, stream, source, *length); err != nil {
				log.Print(err)
			}
		}()
		w.Header().Set("Location", stream)
		w.WriteHeader(http.StatusCreated)
	})
	mux.Handle("GET /streams/recordings/{id}", srv)
	run.Main(mux, page, srv)
}

// record is one long request whose body is written as it is recorded: append=stream
// makes what has come visible at once. If the source fails the stream ends as an
// error, and a listener is cut: a recording that broke off never looks complete.
func record(srv *server.Server, stream string, s source, length time.Duration) error {
	ctx, cancel := context.WithTimeout(run.Context(), length+10*time.Second)
	defer cancel()
	sound, w := io.Pipe()
	// Owned by record. It ends with the recording; closing sound makes its writes fail.
	go func() { w.CloseWithError(s.record(ctx, w, length)) }()
	defer sound.Close()
	return run.Send(srv, "POST", stream+"?append=stream", sound, "Content-Type", s.contentType, "Stream-Closed", "true")
}
