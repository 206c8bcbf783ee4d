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
)

// replayScenarios are for what else the Durable Streams protocol is used for: a stream
// that is there already, read whole.
var replayScenarios = []scenario{
	{name: "replay 16 MiB x 8", servers: []string{"leat", "ds-node"}, run: replay},
}

// The targets beside the reference server of that protocol.
var replayTargets = []target{
	{name: "Durable Streams: 1,000 readers, 50 events/s: p99, as a multiple of the reference server's", unit: "x", most: true, limit: 1.0 / 3,
		value: ratio("paced 1000 x 50/s", "p99 ms", "ds-node")},
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
