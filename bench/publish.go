//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// publishers post events of 100 bytes, each over a connection of its own and one at a
// time. If there are more of them than topics, several publish to one; else each has
// its share of the topics and goes round.
type publishers struct {
	server *server
	topics []string
	number int
	rate   float64     // events per second of all together; 0: as fast as they are answered
	mayGo  func() bool // nil: always

	sent atomic.Int64 // that were answered
	quit chan struct{}
	wg   sync.WaitGroup

	mu  sync.Mutex
	err error
}

func newPublishers(s *server, n int, topics ...string) *publishers {
	return &publishers{server: s, topics: topics, number: n, quit: make(chan struct{})}
}

// start publishes until stop.
func (p *publishers) start() {
	for i := range p.number {
		p.wg.Go(func() {
			if err := p.run(i, -1); err != nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.err == nil {
					p.err = err
				}
			}
		})
	}
}

func (p *publishers) stop() error {
	close(p.quit)
	p.wg.Wait()
	return p.err
}

// publish posts n events as fast as they are answered, over one connection.
func (p *publishers) publish(n int) error { return p.run(0, n) }

// An event of the publisher is "publisher number nanoseconds padding": which of the
// topic's publishers, its number there, and when it was due.
var padding = strings.Repeat("x", 100)

func (p *publishers) run(id, n int) error {
	c, err := net.Dial("tcp", p.server.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	first := id % len(p.topics)
	var request, body []byte
	began := time.Now()
	for seq := 0; seq != n; seq++ {
		if !p.wait(began, id, seq) {
			return nil
		}
		at := time.Now()
		if due := p.due(began, id, seq); p.rate > 0 && at.Sub(due) > 2*time.Millisecond {
			at = due // it had to wait for an answer, and that counts
		}
		shares := max(1, (len(p.topics)-first+p.number-1)/p.number)
		topic := p.topics[first+seq%shares*p.number]
		body = fmt.Appendf(body[:0], "%d %d %d ", id/len(p.topics), seq/shares, at.UnixNano())
		body = append(body, padding...)[:100]
		request = p.server.publish(request[:0], topic, body)
		if _, err := c.Write(request); err != nil {
			return err
		}
		if err := readAnswer(br); err != nil {
			return err
		}
		p.sent.Add(1)
	}
	return nil
}

// due returns when an event of a paced publisher is due: they take turns.
func (p *publishers) due(began time.Time, id, seq int) time.Time {
	return began.Add(time.Duration(float64(seq*p.number+id) / p.rate * 1e9))
}

// wait waits until the event may go, and says whether it may.
func (p *publishers) wait(began time.Time, id, seq int) bool {
	for p.mayGo != nil && !p.mayGo() {
		select {
		case <-p.quit:
			return false
		case <-time.After(200 * time.Microsecond):
		}
	}
	if p.rate > 0 {
		time.Sleep(time.Until(p.due(began, id, seq)))
	}
	select {
	case <-p.quit:
		return false
	default:
		return true
	}
}

// readAnswer reads an answer whole and says whether it was a success. It is what
// http.ReadResponse does, without the garbage.
func readAnswer(br *bufio.Reader) error {
	line, err := br.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 12 || line[9] != '2' {
		return fmt.Errorf("a publish was answered %q", line)
	}
	length, chunked := int64(0), false
	for {
		if line, err = br.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			break
		}
		switch value = bytes.TrimSpace(value); {
		case len(name) == 14 && strings.EqualFold(string(name), "Content-Length"):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return err
			}
		case len(name) == 17 && strings.EqualFold(string(name), "Transfer-Encoding"):
			chunked = true
		}
	}
	if chunked {
		if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(br)); err != nil {
			return err
		}
		_, err := br.ReadSlice('\n') // behind the last chunk
		return err
	}
	_, err = io.CopyN(io.Discard, br, length)
	return err
}
