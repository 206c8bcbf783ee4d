package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

// The server of the command speaks HTTP/1.1 and cleartext HTTP/2 on one port,
// and has a limit for the head of a request that the largest sensible one,
// 100 topics of 512 bytes that are all percent-encoded, is within.
func TestHTTPServer(t *testing.T) {
	ln, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := serveOn(t, ln, server.Options{})
	largest := url.Values{"from": {"start"}, "gap": {"error"}}
	for range 100 {
		largest.Add("topic", strings.Repeat("\u00e9", 256))
	}
	for version, set := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2.0": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		set(transport.Protocols)
		client := &http.Client{Transport: transport}
		for what, test := range map[string]struct {
			query  string
			status int
		}{
			"one topic":    {"topic=a", 200},
			"the largest":  {largest.Encode(), 200},
			"over 256 KiB": {"topic=" + strings.Repeat("a", 300<<10), 431},
		} {
			resp, err := client.Get(base + "/events?" + test.query)
			if err != nil {
				// Over HTTP/2 the client, when it has been told the limit, or the
				// server ends it without an answer.
				if version != "HTTP/2.0" || test.status != 431 {
					t.Errorf("%s, %s: %v", version, what, errors.Unwrap(err)) // without the URL
				}
				continue
			}
			if resp.Proto != version || resp.StatusCode != test.status {
				t.Errorf("%s, %s: %s %s, want %d", version, what, resp.Proto, resp.Status, test.status)
			}
			if resp.StatusCode == 200 { // a stream, and it begins at once
				if _, err := io.ReadFull(resp.Body, make([]byte, len(": leat\n"))); err != nil {
					t.Errorf("%s, %s: %v", version, what, err)
				}
			}
			resp.Body.Close()
		}
		transport.CloseIdleConnections()
	}
}

// serveOn serves an empty memory store until the test ends.
func serveOn(t *testing.T, ln net.Listener, o server.Options) string {
	t.Helper()
	st := memstore.New(memstore.Options{})
	logger := slog.New(slog.DiscardHandler)
	o.Store, o.Logger = st, logger
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	hs := newHTTPServer(srv, logger)
	hs.ConnContext = srv.ConnContext
	served := make(chan struct{})
	// Ended by Close, joined by the clean-up.
	go func() { defer close(served); hs.Serve(ln) }()
	t.Cleanup(func() {
		hs.Close()
		<-served
		srv.Shutdown(context.Background())
		st.Close()
	})
	return "http://" + ln.Addr().String()
}
