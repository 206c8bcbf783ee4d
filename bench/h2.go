//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// http2Scenarios are readers that share connections: their answers are written by a
// goroutine each. There is no TLS, which costs a connection something and a stream
// nothing.
var http2Scenarios = []scenario{
	{name: "idle HTTP/2 20 x 100", servers: []string{"leat", "net/http"}, run: func(s *server) (result, error) { return idleStreams(s, 20, 100) }},
}

var http2Targets = []target{
	{name: "HTTP/2: PSS of the server per idle stream, 100 on a connection", unit: "B", most: true, limit: 14 << 10,
		value: func(rs results) float64 { return rs.of("idle HTTP/2 20 x 100", "leat", "B/reader") }},
}

// idleStreams measures the memory of readers that have nothing to read, many on each
// connection.
func idleStreams(s *server, conns, streams int) (r result, err error) {
	before := s.memory()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel() // ends all streams
	for range conns {
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		defer tr.CloseIdleConnections()
		for range streams {
			req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/events?topic=idle", nil)
			if err != nil {
				return r, err
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				return r, err
			}
			if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
				return r, fmt.Errorf("%s, %s", resp.Status, resp.Proto)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil { // so it is being served
				return r, err
			}
		}
	}
	time.Sleep(12 * time.Second)
	r.BytesPerReader = float64(s.memory()-before) / float64(conns*streams)
	return r, nil
}
