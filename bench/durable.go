//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// The Durable Streams protocol, beside its reference server: both are spoken to with the
// same requests, and both have each append on the disk before they answer.
var durableScenarios = []scenario{
	{name: "DS 256 B, 1 connection", servers: []string{"leat-ds", "ds-node"}, run: toManyStreams(1)},
	{name: "DS 256 B, 64 connections", servers: []string{"leat-ds", "ds-node"}, run: toManyStreams(64)},
	{name: "DS 1000 x 50/s", servers: []string{"leat-ds", "ds-node"}, run: func(s *server) (result, error) { return paced(s, 1000, 50, 4*time.Second) }},
	{name: "DS replay 16 MiB x 8", servers: []string{"leat-ds", "ds-node"}, run: replay},
}

var durableTargets = []target{
	{name: "Durable Streams: durable appends/s over 64 connections, as a multiple of the reference server's", unit: "x", limit: 10,
		value: besideReference("DS 256 B, 64 connections", "deliveries/s")},
	{name: "Durable Streams: 1,000 readers, 50 events/s: p99, as a multiple of the reference server's", unit: "x", most: true, limit: 1.0 / 3,
		value: besideReference("DS 1000 x 50/s", "p99 ms")},
}

// besideReference is a column of Leat as a multiple of the reference server's.
func besideReference(scenario, what string) func(results) float64 {
	return func(rs results) float64 {
		return rs.of(scenario, leatDurable.name, what) / rs.of(scenario, "ds-node", what)
	}
}

// durablePeer is a server of the protocol.
func durablePeer(name string, can ability) *peer {
	const root = "/v1/stream/"
	return &peer{
		name: name, can: can,
		create: func(topic string) string {
			return "PUT " + root + topic + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
		},
		subscribe: func(topic string, all bool) string {
			if all {
				return get(root + topic + "?offset=-1&live=sse")
			}
			return get(root + topic + "?offset=now&live=sse")
		},
		publish: func(b []byte, topic string, body []byte) []byte {
			return post(b, root+topic, "Content-Type: text/plain\r\n", body)
		},
		content: func(topic string) string { return root + topic + "?offset=-1" },
	}
}

// leatDurable is Leat as a server of the protocol.
var leatDurable = func() *peer {
	p := durablePeer("leat-ds", 0)
	p.start = startLeat
	return p
}()

// toManyStreams has n connections append to a hundred streams in turn, each beginning
// at another one.
func toManyStreams(n int) func(*server) (result, error) {
	const streams = 100
	record := bytes.Repeat([]byte("leat"), 64)
	return func(s *server) (result, error) {
		requests := make([][]byte, streams)
		for i := range requests {
			if err := s.make(nameOf(i)); err != nil {
				return result{}, err
			}
			requests[i] = s.publish(nil, nameOf(i), record)
		}
		a, err := newAppenders(s.addr, n, func(i int) []byte { return requests[i%streams] })
		if err != nil {
			return result{}, err
		}
		defer a.close()
		for i := range a.conns {
			a.conns[i].turn, a.conns[i].at = requests, i
		}
		return a.measure(s, 1)
	}
}

// replay has eight readers read all of a stream at once.
func replay(s *server) (r result, err error) {
	if err := s.make("a"); err != nil {
		return r, err
	}
	const readers, pieces = 8, 64
	piece := bytes.Repeat([]byte("0123456789abcde\n"), 256<<10/16)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return r, err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for range pieces {
		if _, err := c.Write(s.publish(nil, "a", piece)); err != nil {
			return r, err
		}
		if err := readAnswer(br); err != nil {
			return r, err
		}
	}
	before := s.spent()
	var wg sync.WaitGroup
	errs := make([]error, readers)
	for i := range readers {
		wg.Go(func() { errs[i] = readAll("http://"+s.addr+s.content("a"), piece, pieces) })
	}
	wg.Wait()
	took, cpu, others := s.spent().since(before)
	r.SecondsUntilLive, r.Others = took, others
	gib := float64(readers*pieces*len(piece)) / (1 << 30)
	r.add("throughput", gib/took, "GiB/s")
	r.add("CPU", cpu/gib, "s/GiB")
	return r, errors.Join(errs...)
}

// readAll reads an answer that is to be so many times a piece.
func readAll(url string, piece []byte, times int) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", resp.Status)
	}
	got := make([]byte, len(piece))
	for i := range times {
		if _, err := io.ReadFull(resp.Body, got); err != nil {
			return fmt.Errorf("piece %d: %w", i, err)
		}
		if !bytes.Equal(got, piece) {
			return fmt.Errorf("piece %d is another one", i)
		}
	}
	if n, err := io.Copy(io.Discard, resp.Body); n > 0 || err != nil {
		return fmt.Errorf("%d bytes more, %w", n, err)
	}
	return nil
}
