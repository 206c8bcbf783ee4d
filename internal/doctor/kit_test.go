package doctor

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// examine examines a handler, in a bubble in which time passes only while all wait.
func examine(t *testing.T, o Options, h http.HandlerFunc) []Finding {
	t.Helper()
	var findings []Finding
	synctest.Test(t, func(t *testing.T) {
		if o.URL == "" {
			o.URL = "http://server.test/events"
		}
		o.Transport = serve(t, h)
		if err := Examine(t.Context(), o, func(f Finding) { findings = append(findings, f) }); err != nil {
			t.Fatal(err)
		}
	})
	for _, f := range findings {
		if (f.Level == OK) != (f.Fix == "") {
			t.Errorf("%s, %s: %q with the fix %q", f.Level, f.Check, f.Text, f.Fix)
		}
	}
	return findings
}

// serve is a transport to a handler over pipes.
func serve(t *testing.T, h http.Handler) *http.Transport {
	conns, closed := make(chan net.Conn), make(chan struct{})
	ln := &pipes{conns, closed, sync.OnceFunc(func() { close(closed) })}
	hs := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan struct{})
	// Owned by the test; Close ends it.
	go func() { defer close(ended); hs.Serve(ln) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		hs.Close()
		<-ended
	})
	return transport
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.close(); return nil }
func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A stream is a server of n events, every so often, that does all as it should but
// for what a test changes.
type stream struct {
	every     time.Duration
	heartbeat time.Duration // 0: none
	history   int           // events that are there before
	head      func(h http.Header)
	noIDs     bool
	resume    func(id int) int // what comes after an id; nil: the next
	collect   int              // events that are held back together; 0: none
	lasts     time.Duration    // until it is cut; 0: for ever
}

func (s stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	if s.head != nil {
		s.head(h)
	}
	rc, out := http.NewResponseController(w), io.Writer(w)
	flush := func() { rc.Flush() }
	if h.Get("Content-Encoding") == "gzip" {
		packed := gzip.NewWriter(w)
		out, flush = packed, func() { packed.Flush(); rc.Flush() }
	}
	io.WriteString(out, ": hello\n\n")
	next := 1
	if id := 0; r.Header.Get("Last-Event-ID") != "" {
		fmt.Sscan(r.Header.Get("Last-Event-ID"), &id)
		if next = id + 1; s.resume != nil {
			next = s.resume(id)
		}
	}
	send := func() {
		if !s.noIDs {
			fmt.Fprintf(out, "id: %d\n", next)
		}
		fmt.Fprintf(out, "data: event %d\n\n", next)
		next++
	}
	for next <= s.history {
		send()
	}
	flush()
	var ticks, beats, cut <-chan time.Time
	if s.every > 0 {
		ticks = time.Tick(s.every)
	}
	if s.heartbeat > 0 {
		beats = time.Tick(s.heartbeat)
	}
	if s.lasts > 0 {
		cut = time.After(s.lasts)
	}
	for waiting := 0; ; {
		select {
		case <-ticks:
			send()
			if waiting++; waiting >= s.collect {
				waiting = 0
				flush()
			}
		case <-beats:
			io.WriteString(out, ":\n\n")
			flush()
		case <-cut:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
	}
}

// want checks that there is a finding of a level about something, with a text in it,
// and returns its fix.
func want(t *testing.T, findings []Finding, level Level, check, text string) string {
	t.Helper()
	var all strings.Builder
	for _, f := range findings {
		if f.Level == level && f.Check == check && strings.Contains(f.Text, text) {
			return f.Fix
		}
		fmt.Fprintf(&all, "\n%s %s: %s", f.Level, f.Check, f.Text)
	}
	t.Errorf("there is no %s about %s that has %q:%s", level, check, text, all.String())
	return ""
}
