//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"
)

// coldScenarios are large reads of what is no longer in memory.
var coldScenarios = []scenario{
	{name: "download 1 GiB", servers: []string{"leat"}, run: func(s *server) (result, error) { return cold(s, 1, false, download) }},
	{name: "download 1 GiB x 8", servers: []string{"leat"}, run: func(s *server) (result, error) { return cold(s, 8, false, download) }},
	{name: "download 1 GiB of text", servers: []string{"leat"}, run: func(s *server) (result, error) { return cold(s, 1, true, download) }},
	{name: "download 1 GiB by curl", servers: []string{"leat"}, run: func(s *server) (result, error) { return cold(s, 1, false, curl) }},
	{name: "replay 1 GiB as events", servers: []string{"leat"}, run: func(s *server) (result, error) { return cold(s, 1, false, asEvents) }},
}

var coldTargets = []target{
	{name: "Cold: CPU of the server, one reader", unit: "s/GiB", most: true, limit: 0.5,
		value: func(rs results) float64 { return rs.of("download 1 GiB", "leat", "CPU") }},
	{name: "Cold: … eight readers", unit: "s/GiB", most: true, limit: 0.5,
		value: func(rs results) float64 { return rs.of("download 1 GiB x 8", "leat", "CPU") }},
}

// coldBytes is the length of the stream that is read back, coldRecord that of its
// records: what append=stream cuts.
const (
	coldBytes  = 1 << 30
	coldRecord = 64 << 10
)

// coldContent is the content of that stream: bytes that do not compress, or lines
// that do, to a quarter or so, as logs and generated text.
type coldContent struct {
	rng  *rand.ChaCha8
	text bool
	left int
}

func newColdContent(text bool) *coldContent {
	return &coldContent{rng: rand.NewChaCha8([32]byte{1}), text: text, left: coldBytes}
}

func (c *coldContent) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), c.left)]
	c.left -= len(p)
	_, _ = c.rng.Read(p)
	if c.text {
		const words = "the log of a stream is read from where you were, and nothing of it "
		for i := range p {
			if i%64 >= 12 {
				p[i] = words[i%len(words)]
			}
		}
	}
	return len(p), nil
}

// cold writes a stream of 1 GiB, starts the server anew, so that nothing of it is in
// its memory (the system may have its files), and has readers read it at once. What
// they are given they hash, and the hash is compared.
func cold(s *server, readers int, text bool, read func(addr string, h hash.Hash) error) (r result, err error) {
	sum, err := s.fillCold(text)
	if err != nil {
		return r, err
	}
	if err := s.restart(); err != nil {
		return r, err
	}
	cpu, began := s.cpu(), time.Now()
	var wg sync.WaitGroup
	errs := make([]error, readers)
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for i := range readers {
		// Ends with the download, which has a deadline.
		wg.Go(func() {
			h := crc32.New(castagnoli)
			if errs[i] = read(s.addr, h); errs[i] == nil && h.Sum32() != sum {
				errs[i] = errors.New("other bytes came than were sent")
			}
		})
	}
	wg.Wait()
	gib := float64(readers) * coldBytes / (1 << 30)
	r.Deliveries = int64(readers) * coldBytes / coldRecord
	r.add("read", gib/time.Since(began).Seconds(), "GiB/s")
	r.add("CPU", (s.cpu()-cpu)/gib, "s/GiB")
	r.add("peak", float64(s.peak())/(1<<20), "MiB")
	return r, errors.Join(errs...)
}

func (s *server) fillCold(text bool) (sum uint32, err error) {
	req, err := http.NewRequest("PUT", "http://"+s.addr+"/streams/cold", nil)
	if err != nil {
		return sum, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if err := expect(http.DefaultClient.Do(req)); err != nil {
		return sum, err
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	body := io.TeeReader(newColdContent(text), h)
	err = expect(http.Post("http://"+s.addr+"/streams/cold?append=stream", "application/octet-stream", body))
	if err != nil {
		return sum, err
	}
	if req, err = http.NewRequest("POST", "http://"+s.addr+"/streams/cold", nil); err == nil {
		req.Header.Set("Stream-Closed", "true") // so that its event stream ends
		err = expect(http.DefaultClient.Do(req))
	}
	return h.Sum32(), err
}

func expect(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s, %s", resp.Request.Method, resp.Request.URL, resp.Status, b)
	}
	return nil
}

// ask asks for the stream over a connection of its own, which must be closed.
func ask(addr, accept string) (*http.Response, net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	var resp *http.Response
	if _, err = io.WriteString(c, "GET /streams/cold HTTP/1.1\r\nHost: localhost\r\nAccept: "+accept+"\r\n\r\n"); err == nil {
		resp, err = http.ReadResponse(bufio.NewReaderSize(c, 4<<10), nil)
	}
	if err != nil {
		c.Close()
	}
	return resp, c, err
}

// curl has curl download the stream into a pipe.
func curl(addr string, h hash.Hash) error {
	cmd := exec.Command("curl", "-sS", "--fail", "--max-time", "60", "http://"+addr+"/streams/cold")
	cmd.Stdout, cmd.Stderr = h, os.Stderr
	return cmd.Run()
}

// asEvents reads the stream as events, whose data is base64.
func asEvents(addr string, h hash.Hash) error {
	resp, c, err := ask(addr, "text/event-stream")
	if err != nil {
		return err
	}
	defer c.Close()
	ended := false
	data := make([]byte, base64.StdEncoding.DecodedLen(2*coldRecord))
	br := bufio.NewReaderSize(resp.Body, 4*coldRecord)
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			if err == io.EOF && ended {
				return nil
			}
			return fmt.Errorf("ended: %v: %w", ended, err)
		}
		text, isData := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte("data: "))
		switch {
		case bytes.Equal(line, []byte("event: leat.end\n")):
			ended = true
		case isData && !ended && len(text) > 0:
			n, err := base64.StdEncoding.Decode(data, text)
			if err != nil {
				return err
			}
			h.Write(data[:n])
		}
	}
}

// download reads the stream as curl does.
func download(addr string, h hash.Hash) error {
	resp, c, err := ask(addr, "*/*")
	if err != nil {
		return err
	}
	defer c.Close()
	if resp.StatusCode != 200 || resp.ContentLength != coldBytes {
		return fmt.Errorf("%s, of %d bytes", resp.Status, resp.ContentLength)
	}
	buf := make([]byte, 256<<10)
	for n := 0; n < coldBytes; {
		k, err := resp.Body.Read(buf)
		if err != nil && n+k < coldBytes {
			return fmt.Errorf("after %d bytes: %w", n+k, err)
		}
		h.Write(buf[:k])
		n += k
	}
	return nil
}

// peak returns the most memory that the server has had, in bytes.
func (s *server) peak() int64 {
	return field(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid), "VmHWM:") << 10
}
