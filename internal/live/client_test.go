package live_test

import (
	"cmp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
)

// bell is a Waker that remembers one ring.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// A client is a reader with its bell and what it was sent.
type client struct {
	t testing.TB
	*live.Reader
	bell bell
	out  frame.Ranges
	text strings.Builder
	most int // bytes that want looks at together, about; 0: 64 KiB
}

func join(t testing.TB, l *live.Live, f *leat.Filter, enc frame.Encoding, at live.Start) *client {
	b := newBell()
	r, err := l.Join(t.Context(), f, enc, at, b)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, Reader: r, bell: b}
	t.Cleanup(c.Close)
	return c
}

// take returns what is due now, at most about size bytes, and passes it.
func (c *client) take(size int) (string, live.State) {
	state := c.Peek(&c.out, size)
	if state != live.Due {
		return "", state
	}
	c.text.Reset()
	for _, p := range c.out.Bytes {
		c.text.Write(p)
	}
	c.Advance(&c.out, c.out.Len())
	return c.text.String(), state
}

// takePart passes n bytes of what is due, or all if there are fewer.
func (c *client) takePart(n int) string {
	c.t.Helper()
	if state := c.wait(1 << 20); state != live.Due {
		c.t.Fatalf("state %v, want Due", state)
	}
	text := c.peeked()
	n = min(n, len(text))
	c.Advance(&c.out, n)
	return text[:n]
}

// peeked returns what the last Peek put out.
func (c *client) peeked() string {
	c.text.Reset()
	for _, p := range c.out.Bytes {
		c.text.Write(p)
	}
	return c.text.String()
}

// wait peeks until there is something.
func (c *client) wait(size int) live.State {
	c.t.Helper()
	for {
		if state := c.Peek(&c.out, size); state != live.Idle {
			return state
		}
		c.awaitBell()
	}
}

func (c *client) awaitBell() {
	c.t.Helper()
	select {
	case <-c.bell:
	case <-time.After(patience):
		c.t.Fatalf("a reader at %d was not woken for %v; the goroutines:\n%s", c.After(), patience, stacks())
	}
}

// want reads lines until it has them all, and fails on anything else.
func (c *client) want(records ...leat.Record) {
	c.t.Helper()
	c.wantText(textOf(records...))
}

// textOf returns what records are in the encoding of these tests.
func textOf(records ...leat.Record) string {
	var text []byte
	for i := range records {
		text = plain{}.Append(text, &records[i])
	}
	return string(text)
}

// wantText compares piece by piece as it comes.
func (c *client) wantText(want string) {
	c.t.Helper()
	for want != "" {
		if state := c.wait(cmp.Or(c.most, 1<<16)); state != live.Due {
			c.t.Fatalf("state %v (%v), want Due with %.200q", state, c.Err(), want)
		}
		rest, ok := strings.CutPrefix(want, c.peeked())
		if !ok {
			c.t.Fatalf("got %.200q, want %.200q", c.peeked(), want)
		}
		c.Advance(&c.out, c.out.Len())
		want = rest
	}
}

// wantIdle fails if anything is due once the reader has seen all up to the
// head of the store.
func (c *client) wantIdle(st store.Store) {
	c.t.Helper()
	for {
		if state := c.Peek(&c.out, 1<<16); state != live.Idle {
			c.t.Fatalf("state %v at %d: %.200q", state, c.After(), c.peeked())
		}
		if c.After() >= st.Head() {
			return
		}
		c.awaitFollower()
	}
}

// awaitFollower lets the follower come to the head: nobody is woken for records
// that the feed does not want.
func (c *client) awaitFollower() {
	select {
	case <-c.bell:
	default:
		runtime.Gosched()
	}
}

// wantGap takes the gap that is told next.
func (c *client) wantGap() *live.Missing {
	c.t.Helper()
	if state := c.wait(1 << 16); state != live.Gap {
		c.t.Fatalf("state %v at %d, want a gap: %.200q", state, c.After(), c.peeked())
	}
	return c.TakeGap()
}

// wantState waits for anything and compares.
func (c *client) wantState(want live.State) {
	c.t.Helper()
	if state := c.wait(1 << 16); state != want {
		c.t.Fatalf("state %v at %d, want %v: %.200q", state, c.After(), want, c.peeked())
	}
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}
