package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/client"
)

// A chaosFlag is written drop=TIME: connections are cut after that time, on average.
type chaosFlag time.Duration

// UnmarshalText implements encoding.TextUnmarshaler, which kong uses.
func (c *chaosFlag) UnmarshalText(text []byte) error {
	value, ok := strings.CutPrefix(string(text), "drop=")
	d, err := time.ParseDuration(value)
	if !ok || err != nil || d <= 0 {
		return fmt.Errorf("%q is no chaos: write it such as drop=5s", text)
	}
	*c = chaosFlag(d)
	return nil
}

// errChaos is that a reader that was cut did not get what another got.
var errChaos = errors.New("a reader whose connection is cut does not get what another gets")

// A chaos cuts connections of one reader, and compares what it gets with what a
// second one gets, that is never cut.
type chaos struct {
	every     time.Duration
	transport *http.Transport
	cuts      atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed when the second reader has got something or ended
	clean   []client.Event
	ended   bool
	err     error  // why
	same    int    // events that were compared
	last    string // id of the last of them

	// Both have begun at the same place; otherwise the one that is not cut has begun
	// before, and what it got until then does not count.
	together bool
}

func newChaos(every time.Duration) *chaos {
	c := &chaos{every: every, changed: make(chan struct{})}
	c.transport = http.DefaultTransport.(*http.Transport).Clone()
	dial := (&net.Dialer{}).DialContext
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cutConn{Conn: conn, chaos: c}, nil
	}
	return c
}

// A cutConn is cut by a timer unless it is closed before. The timer runs from the first
// bytes of an answer on: before, it would look as if there was no server.
type cutConn struct {
	net.Conn
	chaos *chaos

	mu     sync.Mutex
	timer  *time.Timer
	closed bool
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.timer == nil && !c.closed {
		c.timer = time.AfterFunc(rand.N(2*c.chaos.every), func() {
			c.chaos.cuts.Add(1)
			c.Conn.Close()
		})
	}
	return n, err
}

func (c *cutConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	return c.Conn.Close()
}

// watch reads what the reader that is not cut gets, until ctx ends.
func (c *chaos) watch(events iter.Seq2[client.Event, error]) {
	for event, err := range events {
		c.mu.Lock()
		if err != nil {
			c.err = err
		} else {
			c.clean = append(c.clean, event)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	close(c.changed)
	c.changed = make(chan struct{})
}

// chaosRetry is about how long a reader that was cut stays away, so that it is cut
// often.
const chaosRetry = 100 * time.Millisecond

// patienceForClean is how long the reader that is not cut may take for an event that
// the other has got.
const patienceForClean = 10 * time.Second

// compare takes an event of the reader that is cut, waits for the one that the other
// got in its place, and returns an error if they differ.
func (c *chaos) compare(ctx context.Context, got client.Event) error {
	expired := time.NewTimer(patienceForClean)
	defer expired.Stop()
	for {
		c.mu.Lock()
		changed, ready, ended, err := c.changed, len(c.clean) > 0, c.ended, c.err
		c.mu.Unlock()
		switch {
		case ready:
			return c.match(got)
		case err != nil:
			return fmt.Errorf("the reader that is not cut has failed: %w", err)
		case ended:
			return fmt.Errorf("%w: it has %s, which the other has not", errChaos, describe(got))
		}
		select {
		case <-changed:
		case <-expired.C:
			return fmt.Errorf("%w: it has %s, which the other has not got within %v", errChaos, describe(got), patienceForClean)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// match compares with the first event that the other reader has got. c.clean is not
// empty.
func (c *chaos) match(got client.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if got.ID == "" {
		return errors.New("the events have no ids: a reader that is cut cannot go on where it stopped, and nothing can be proved")
	}
	if equal(got, c.clean[0]) {
		c.clean[0] = client.Event{}
		c.clean = c.clean[1:]
		c.same++
		c.last = got.ID
		return nil
	}
	for i, later := range c.clean {
		switch {
		case !equal(got, later):
		case c.same == 0 && !c.together:
			c.clean = c.clean[i+1:]
			c.same, c.last = 1, got.ID
			return nil
		default:
			return fmt.Errorf("%w: after %q, %s missing", errChaos, c.last, missing(i))
		}
	}
	return fmt.Errorf("%w: after %q it has %s, and the other has %s", errChaos, c.last, describe(got), describe(c.clean[0]))
}

func missing(n int) string {
	if n == 1 {
		return "1 record is"
	}
	return fmt.Sprintf("%d records are", n)
}

func equal(a, b client.Event) bool {
	return a.ID == b.ID && a.Type == b.Type && string(a.Data) == string(b.Data)
}

func describe(e client.Event) string { return fmt.Sprintf("the record %q", e.ID) }

// verdict says what has been proved, with n records that were compared.
func (c *chaos) verdict(std *streams) {
	c.mu.Lock()
	defer c.mu.Unlock()
	std.note("chaos: cut %s; %s came, each once and in order: the same ids, types and data as to a reader that was not cut",
		plural(int(c.cuts.Load()), "time"), plural(c.same, "record"))
	if c.cuts.Load() == 0 {
		std.note("chaos: nothing was cut, so this proves nothing; let it run for longer, or cut sooner")
	}
}
