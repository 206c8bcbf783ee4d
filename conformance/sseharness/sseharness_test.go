package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat/sse"
)

// A fault is a mistake that clients make, and a test that has to notice it.
type fault struct {
	name   string
	test   string              // that fails
	change func(string) string // what the client makes of what it reads
	header func(http.Header)   // and of what it sends
	hold   bool                // a CR at the end of what it reads
	flush  bool                // it dispatches what is left at the end
	stays  bool                // it never comes back
	always bool                // it comes back after any answer
	keeps  bool                // of an event that was cut the id
	slow   time.Duration       // it never comes back sooner
}

func replace(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

var faults = []fault{
	{name: "splits at U+2028", test: "strict/no line ends but", change: replace("\u2028", "\n")},
	{name: "splits at form feeds", test: "strict/no line ends but", change: replace("\f", "\n")},
	{name: "takes no CR", test: "line ends/CR, one line, whole", change: func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", " "), "\n", "\n")
	}},
	{name: "waits for what follows CR", test: "strict/a line that ends with CR is complete", hold: true},
	{name: "keeps the BOM", test: "BOM/dropped at the start", change: replace("\uFEFF", "\uFEFF\uFEFF")},
	{name: "drops every BOM", test: "BOM/a later one is kept", change: replace("\uFEFF", "")},
	{name: "trims tabs", test: "strict/a tab is not dropped", change: replace("data:\t", "data:")},
	{name: "drops all spaces", test: "parsing/only one space is dropped", change: replace(":  ", ":")},
	{name: "ignores case", test: "strict/names are compared", change: replace("Data:", "data:")},
	{name: "fires without data", test: "strict/a block without data is no event", change: replace("event: greeting\n\n", "event: greeting\ndata:\n\n")},
	{name: "drops empty data", test: "parsing/empty data", change: replace("data:\n\n", "\n\n")},
	{name: "dispatches at the end", test: "strict/an event at the end", flush: true},
	{name: "replaces nothing", test: "strict/bytes that are no UTF-8", change: replace("\xff", "")},
	{name: "parses retry loosely", test: "strict/retry counts", change: replace("retry: 6e4", "retry: 6")},
	{name: "tells no comments", test: "comments/a line", change: replace(":hello\n", "")},
	{name: "asks for nothing", test: "http/method and header", header: func(h http.Header) { h.Del("Accept") }},
	{name: "asks caches", test: "http/method and header", header: func(h http.Header) { h.Del("Cache-Control") }},
	{name: "forgets its headers", test: "http/own headers", header: func(h http.Header) { h.Del("Header-Name-1") }},
	{name: "forgets the id", test: "reconnect/after an end", header: func(h http.Header) { h.Del("Last-Event-ID") }},
	{name: "keeps the id of what was cut", test: "reconnect/an event that is cut", keeps: true},
	{name: "stays away", test: "reconnect/after a cut", stays: true},
	{name: "comes back after anything", test: "http/404 is an error", always: true},
	{name: "comes back after 204", test: "http/204 is the end", always: true},
	{name: "takes its time", test: "reconnect/after an end", slow: time.Hour},
}

// A right client passes, so that what the faulty ones fail is due to their
// faults.
func TestRightClientPasses(t *testing.T) {
	var those []string
	for _, f := range faults {
		those = append(those, "^"+regexp.QuoteMeta(f.test))
	}
	if failed, out, err := drive(t.Context(), fault{}, strings.Join(those, "|"), 20*time.Second, 700*time.Millisecond); failed > 0 || err != nil {
		t.Errorf("%d tests fail, %v:\n%s", failed, err, out)
	}
}

func TestFaultsAreNoticed(t *testing.T) {
	var all sync.WaitGroup // they mostly wait: t.Parallel would run few at once
	for _, f := range faults {
		all.Go(func() {
			failed, out, err := drive(t.Context(), f, "^"+regexp.QuoteMeta(f.test), 300*time.Millisecond, 20*time.Second)
			if failed == 0 || err != nil {
				t.Errorf("a client that %s passes, %v:\n%s", f.name, err, out)
			}
		})
	}
	all.Wait()
}

// drive runs the tests that match against a client with a fault.
func drive(ctx context.Context, f fault, only string, timeout, away time.Duration) (failed int, out string, err error) {
	server := httptest.NewServer(&faulty{fault: f, clients: map[string]*faultyClient{}})
	defer server.Close()
	service, err := dial(ctx, server.URL)
	if err != nil {
		return 0, "", err
	}
	var buf bytes.Buffer
	s := &suite{service: service, only: regexp.MustCompile(only), timeout: timeout, away: away, parallel: 8, out: &buf}
	failed = s.run(tests())
	return failed, buf.String(), nil
}

// faulty is a test service whose clients have a fault.
type faulty struct {
	fault fault

	// Guarded by mu.
	mu      sync.Mutex
	clients map[string]*faultyClient
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	client := f.clients[r.URL.Path]
	switch {
	case r.URL.Path == "/" && r.Method == http.MethodGet:
		io.WriteString(w, `{"capabilities":["bom","comments","headers","last-event-id","post","read-timeout","report","restart","server-directed-shutdown-request"]}`)
	case r.URL.Path == "/":
		client = &faultyClient{fault: f.fault, ended: make(chan struct{})}
		json.NewDecoder(r.Body).Decode(client)
		ctx, cancel := context.WithCancel(context.Background())
		client.cancel = cancel
		path := "/" + strconv.Itoa(len(f.clients)+1)
		f.clients[path] = client
		go client.run(ctx) // owned by the client; DELETE ends it
		w.Header().Set("Location", path)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodDelete:
		client.cancel()
		<-client.ended
	default:
		client.mu.Lock()
		defer client.mu.Unlock()
		if client.drop != nil {
			client.drop()
		}
	}
}

// A faultyClient is a plain loop around a right parser.
type faultyClient struct {
	StreamURL, CallbackURL, LastEventID, Method, Body string
	ReadTimeoutMs                                     int
	Headers                                           map[string]string

	fault  fault
	cancel context.CancelFunc
	ended  chan struct{}
	told   int
	retry  time.Duration

	// Guarded by mu.
	mu   sync.Mutex
	drop context.CancelFunc // ends the connection
}

func (c *faultyClient) run(ctx context.Context) {
	defer close(c.ended)
	c.retry = time.Millisecond
	for {
		again := c.connect(ctx)
		if ctx.Err() != nil || !again && !c.fault.always || c.fault.stays {
			return
		}
		select {
		case <-time.After(c.retry + c.fault.slow):
		case <-ctx.Done():
			return
		}
	}
}

// connect reads one connection, and reports whether there is to be another.
func (c *faultyClient) connect(outer context.Context) bool {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	c.mu.Lock()
	c.drop = cancel
	c.mu.Unlock()
	req, _ := http.NewRequestWithContext(ctx, c.Method, c.StreamURL, strings.NewReader(c.Body))
	req.Header.Set("Accept", sse.MediaType)
	req.Header.Set("Cache-Control", "no-cache")
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	if c.LastEventID != "" {
		req.Header.Set("Last-Event-ID", c.LastEventID)
	}
	if c.fault.header != nil {
		c.fault.header(req.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return true
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), sse.MediaType) {
		if resp.StatusCode == 204 {
			return false
		}
		c.tell(outer, map[string]any{"kind": "error", "error": resp.Status})
		return resp.StatusCode >= 500
	}
	c.read(ctx, outer, cancel, resp.Body)
	if ctx.Err() != nil && outer.Err() == nil {
		c.tell(outer, map[string]any{"kind": "error", "error": "silence, or a restart"})
	}
	return true
}

// read reads a body with a parser that makes no mistakes but the fault.
func (c *faultyClient) read(ctx, outer context.Context, cancel context.CancelFunc, body io.Reader) {
	parser := sse.NewParser(&sse.Options{
		LastEventID: c.LastEventID,
		OnRetry:     func(d time.Duration) { c.retry = max(d, time.Millisecond) },
		OnComment: func(text []byte) {
			c.tell(outer, map[string]any{"kind": "comment", "comment": string(text)})
		},
	})
	parse := func(text string) {
		if c.fault.change != nil {
			text = c.fault.change(text)
		}
		for chunk := []byte(text); len(chunk) > 0; {
			event, rest, ok, _ := parser.Parse(chunk)
			if chunk = rest; ok {
				c.tell(outer, map[string]any{"kind": "event", "event": map[string]string{"type": event.EventType(), "data": string(event.Data), "id": event.ID}})
			}
		}
		if text != "" {
			c.LastEventID = parser.LastEventID()
		}
		if c.fault.keeps && strings.Contains(text, "id: def\nevent") {
			c.LastEventID = "def"
		}
	}
	silence := time.AfterFunc(time.Hour, cancel)
	defer silence.Stop()
	held, buf := "", make([]byte, 64<<10)
	for ctx.Err() == nil {
		if c.ReadTimeoutMs > 0 {
			silence.Reset(time.Duration(c.ReadTimeoutMs) * time.Millisecond)
		}
		n, err := body.Read(buf)
		text := held + string(buf[:n])
		held = ""
		if c.fault.hold && strings.HasSuffix(text, "\r") {
			text, held = text[:len(text)-1], "\r"
		}
		parse(text)
		if err != nil {
			if c.fault.flush {
				parse("\n\n")
			}
			return
		}
	}
}

func (c *faultyClient) tell(ctx context.Context, message any) {
	c.told++
	text, _ := json.Marshal(message)
	for range 3 { // as the service of the Go client does
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, c.CallbackURL+"/"+strconv.Itoa(c.told), bytes.NewReader(text))
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			return
		}
	}
}

// The harness itself: what it is asked for, services that do not come, and its
// exit status.
func TestHarness(t *testing.T) {
	server := httptest.NewServer(&faulty{clients: map[string]*faultyClient{}})
	defer server.Close()
	quiet := func() *suite { return &suite{timeout: 20 * time.Second, parallel: 2, out: io.Discard} }
	if code, err := harness(server.URL, nil, quiet(), "^parsing/type"); code != 0 || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	bad := httptest.NewServer(&faulty{fault: fault{change: replace("greeting", "grating")}, clients: map[string]*faultyClient{}})
	defer bad.Close()
	if code, err := harness(bad.URL, nil, quiet(), "^parsing/type$"); code != 1 || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	for _, command := range [][]string{nil, {"false"}, {"/there/is/no/such/program"}} {
		if _, err := harness("", command, quiet(), ""); err == nil {
			t.Errorf("%q: no error", command)
		}
	}
	if _, err := harness(server.URL, []string{"false"}, quiet(), ""); err == nil {
		t.Error("a URL and a command: no error")
	}
	if _, err := harness(server.URL, nil, quiet(), "("); err == nil {
		t.Error("a regular expression that is none: no error")
	}
}
