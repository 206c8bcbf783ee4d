// Logtail shows a log file in browsers while it is written: each line is a record of
// a topic, so a reader takes the last hundred and goes on from there.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	path := flag.String("file", "", "log file to follow; without one, a log is made up")
	flag.Parse()
	if *path == "" {
		f, err := os.CreateTemp("", "leat-log-*.log")
		if err != nil {
			log.Fatal(err)
		}
		*path = f.Name()
		// Owned by main: it ends with the program.
		go invent(f)
	}
	log.Print("following ", *path)
	srv := run.Leat(server.Options{
		Retention: []server.RetentionRule{{Pattern: "log", Retention: server.Retention{Records: 10000}}},
	})
	// Owned by main: it ends with the program.
	go func() { log.Print(follow(*path, srv)) }()

	mux := http.NewServeMux()
	mux.Handle("GET /events", srv)
	mux.Handle("GET /streams/log", srv) // the same lines as plain text: curl -N '…/streams/log?follow=1'
	run.Main(mux, page, srv)
}

// look is how often a file is looked at that has not grown.
const look = 100 * time.Millisecond

// follow publishes each line of a file once it is whole. A file that was cut short,
// or has been moved away for a new one, is read from its beginning.
func follow(path string, srv *server.Server) error {
	var (
		f    *os.File
		read int64
		line []byte // what there is of the line that has not ended
	)
	buf := make([]byte, 64<<10)
	for ; ; time.Sleep(look) {
		now, err := os.Stat(path)
		if err != nil {
			continue // between the old file and the new one there may be none
		}
		if f != nil {
			if was, err := f.Stat(); err != nil || now.Size() < read || !os.SameFile(was, now) {
				f.Close()
				f = nil
			}
		}
		if f == nil {
			if f, err = os.Open(path); err != nil {
				return err
			}
			read, line = 0, nil
		}
		for {
			n, err := f.Read(buf)
			read += int64(n)
			line = append(line, buf[:n]...)
			for {
				text, rest, whole := bytes.Cut(line, []byte("\n"))
				if !whole {
					break
				}
				if err := publish(srv, text); err != nil {
					return err
				}
				line = rest
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
	}
}

func publish(srv *server.Server, line []byte) error {
	// A log may have any bytes, a text topic has characters.
	text := bytes.ToValidUTF8(bytes.TrimSuffix(line, []byte("\r")), []byte("\uFFFD"))
	_, err := srv.Publish(run.Context(), server.Message{Topic: "log", ContentType: "text/plain", Data: text})
	return err
}

// invent writes a log that never ends.
func invent(f *os.File) {
	paths := [...]string{"/", "/orders", "/orders/17", "/login", "/style.css"}
	for {
		level := "INFO "
		status := 200
		if rand.N(8) == 0 {
			level, status = "ERROR", 503
		}
		fmt.Fprintf(f, "%s %s GET %s %d %dms\n", time.Now().Format("15:04:05.000"), level, paths[rand.N(len(paths))], status, rand.N(90)+1)
		time.Sleep(100*time.Millisecond + rand.N(600*time.Millisecond))
	}
}
