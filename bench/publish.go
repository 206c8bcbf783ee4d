//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// publishers post events of 100 bytes, each over a connection of its own and one at a
// time.
type publishers struct {
	server *server
	topic  string
	number int
	mayGo  func() bool // nil: always

	sent atomic.Int64 // that were answered
	quit chan struct{}
	wg   sync.WaitGroup

	mu  sync.Mutex
	err error
}

func newPublishers(s *server, topic string, n int) *publishers {
	return &publishers{server: s, topic: topic, number: n, quit: make(chan struct{})}
}

// start publishes until stop, at a rate if that is not 0.
func (p *publishers) start(rate int) {
	for id := range p.number {
		p.wg.Go(func() { p.fail(p.run(id, rate, -1)) })
	}
}

func (p *publishers) stop() error {
	close(p.quit)
	p.wg.Wait()
	return p.err
}

// publish posts n events as fast as they are answered.
func (p *publishers) publish(n int) error { return p.run(0, 0, n) }

func (p *publishers) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *publishers) run(id, rate, n int) error {
	c, err := net.Dial("tcp", p.server.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	pad := strings.Repeat("x", 100)
	began := time.Now()
	for seq := 0; seq != n; seq++ {
		for p.mayGo != nil && !p.mayGo() {
			select {
			case <-p.quit:
				return nil
			case <-time.After(200 * time.Microsecond):
			}
		}
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(seq) * time.Second / time.Duration(rate))))
		}
		select {
		case <-p.quit:
			return nil
		default:
		}
		body := (fmt.Sprintf("%d %d %d ", id, seq, time.Now().UnixNano()) + pad)[:100]
		_, err := fmt.Fprintf(c, "POST /events?topic=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", p.topic, len(body), body)
		if err != nil {
			return err
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("a publish was answered %s", resp.Status)
		}
		p.sent.Add(1)
	}
	return nil
}
