package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
)

// Of a stream that is as it should be nothing is found that has to be done.
func TestGood(t *testing.T) {
	for name, o := range map[string]Options{"quiet": {Watch: 40 * time.Second}, "for a page": {Origin: "https://app.example", Header: http.Header{"Authorization": {"Bearer x"}}, Watch: 40 * time.Second}} {
		findings := examine(t, o, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Origin") == "https://app.example" {
				w.Header().Set("Access-Control-Allow-Origin", "https://app.example")
			}
			if r.Method == http.MethodOptions {
				w.Header().Set("Access-Control-Allow-Headers", "Last-Event-ID, Authorization")
				w.WriteHeader(204)
				return
			}
			stream{history: 5, heartbeat: 15 * time.Second}.ServeHTTP(w, r)
		})
		for _, f := range findings {
			if f.Level == Warning || f.Level == Problem {
				t.Errorf("%s: %s %s: %s", name, f.Level, f.Check, f.Text)
			}
		}
		for _, check := range []string{"content type", "caching", "compression", "proxy headers", "first byte", "heartbeat", "resume", "cross-origin"} {
			want(t, findings, OK, check, "")
		}
		want(t, findings, OK, "heartbeat", "15s; of the usual limits only that of Fastly (10s) is shorter")
		want(t, findings, OK, "resume", "the 4 that follow it came")
		want(t, findings, Note, "versions", "HTTP/1.1, HTTP/2.0")
	}
}

// Each thing that a server may do wrong is found, with what to do.
func TestBad(t *testing.T) {
	field := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }
	}
	for name, test := range map[string]struct {
		server http.Handler
		level  Level
		check  string
		text   string
		fix    string
	}{
		"not a stream":   {stream{head: field("Content-Type", "text/html")}, Problem, "content type", "text/html", "text/event-stream"},
		"bytes":          {stream{head: field("Content-Type", "application/octet-stream")}, Note, "content type", "stream of bytes", "text/event-stream"},
		"503":            {answer(503), Problem, "status", "does not come back", "with 200, `retry:`"},
		"401":            {answer(401), Problem, "status", "401 Unauthorized", "Authorization"},
		"404":            {answer(404), Problem, "status", "404 Not Found", "check the address"},
		"204":            {answer(204), Note, "status", "nothing more to come", "begin anew"},
		"cached":         {stream{head: func(h http.Header) { h.Del("Cache-Control") }}, Warning, "caching", "nothing", "no-store"},
		"transformed":    {stream{head: field("Cache-Control", "no-cache")}, Note, "caching", "without no-transform", "no-transform"},
		"no accel":       {stream{head: func(h http.Header) { h.Del("X-Accel-Buffering") }}, Warning, "proxy headers", "no X-Accel-Buffering", "X-Accel-Buffering: no"},
		"nginx":          {stream{head: func(h http.Header) { h.Del("X-Accel-Buffering"); h.Set("Server", "nginx/1.22") }}, Note, "proxy headers", "nginx is in between", "flush"},
		"compressed":     {stream{head: field("Content-Encoding", "gzip")}, Warning, "compression", "gzip", "no-transform"},
		"no heartbeat":   {stream{}, Warning, "heartbeat", "nothing has come for 70s: that would be cut by Fastly (10s), Azure Application Gateway (20s), CloudFront (30s), Azure Front Door (30s), Heroku (55s), nginx (60s)", "every 15 s"},
		"slow heartbeat": {stream{heartbeat: 30 * time.Second}, Warning, "heartbeat", "silences of 30s: that would be cut by", "every 15 s"},
		"no need of one": {stream{every: 2 * time.Second}, Note, "heartbeat", "no heartbeat was needed", ""},
		"no ids":         {stream{every: time.Second, noIDs: true}, Warning, "resume", "no ids", "Last-Event-ID"},
		"from the start": {stream{history: 30, resume: func(int) int { return 1 }}, Problem, "resume", "is not the one that had come before", "Last-Event-ID"},
		"from now":       {stream{history: 5, resume: func(int) int { return 6 }}, Problem, "resume", "nothing of the 4 events came", "Last-Event-ID"},
		"one too many":   {stream{history: 5, resume: func(id int) int { return id }}, Problem, "resume", "that event came again", "Last-Event-ID"},
		"some left out":  {stream{history: 5, resume: func(id int) int { return id + 3 }}, Problem, "resume", "2 events were skipped", "Last-Event-ID"},
		"in bursts":      {stream{every: 400 * time.Millisecond, collect: 12}, Warning, "flush", "events came in 14 bursts, after silences of up to 4.8s", "--direct"},
		"not in bursts":  {stream{every: time.Second}, Note, "flush", "not in bursts", "--probe"},
		"cut by envoy":   {stream{lasts: 15 * time.Second}, Problem, "end", "cut after 15s: that is what the route timeout of Envoy", "raise the limit"},
		"cut":            {stream{lasts: 4 * time.Second}, Problem, "end", "cut after 4s", "raise the limit"},
		"reflected origin": {stream{head: func(h http.Header) {
			h.Set("Access-Control-Allow-Origin", stranger)
			h.Set("Access-Control-Allow-Credentials", "true")
		}}, Problem, "cross-origin", "cookies", "by name"},
		"any origin": {stream{head: field("Access-Control-Allow-Origin", "*")}, Note, "cross-origin", "any origin", "by name"},
		"length": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Length", "12")
			io.WriteString(w, "data: hello\n")
		}), Problem, "length", "12 bytes", "no Content-Length"},
		"retry": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "retry: 1\n\n")
		}), Warning, "retry", "1ms", "1 s to 10 s"},
		"late": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(5 * time.Second):
				stream{}.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		}), Warning, "first byte", "the first byte of the stream after 5s", "send a comment at once"},
		"no body": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), Problem, "first byte", "nothing behind it", "send a comment at once"},
		"no head": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}), Problem, "first byte", "no head of an answer has come within 10s", "flush the head"},
		"lines": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			io.WriteString(w, `{"id":1}`+"\n\n"+`{"id":2,"x":1}`+"\n"+`{"id":3,"x":1}`+"\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), Note, "content type", "text/event-stream", "long polls"},
	} {
		t.Run(name, func(t *testing.T) {
			findings := examine(t, Options{Watch: 70 * time.Second}, test.server.ServeHTTP)
			if fix := want(t, findings, test.level, test.check, test.text); !strings.Contains(fix, test.fix) {
				t.Errorf("the fix is %q, without %q", fix, test.fix)
			}
		})
	}
}

// A hub is a server that events can be published to, behind something that holds them
// back until it has so many bytes.
type hub struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed by the next publish, nil if nobody waits
	sizes   []int
	holds   int // bytes
}

func (h *hub) publish(_ context.Context, n, size int) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	h.sizes = append(h.sizes, max(size, 20))
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
	return strconv.Itoa(h.n), nil
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	held := ": hello\n\n"
	h.mu.Lock()
	next := h.n
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		next, _ = strconv.Atoi(id)
	}
	h.mu.Unlock()
	for {
		h.mu.Lock()
		if h.changed == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		for ; next < h.n; next++ {
			held += fmt.Sprintf("id: %d\ndata: %s\n\n", next+1, strings.Repeat("x", h.sizes[next]))
		}
		h.mu.Unlock()
		if len(held) >= h.holds {
			io.WriteString(w, held)
			rc.Flush()
			held = ""
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// Events that were published tell to the moment how long they are held back.
func TestProbe(t *testing.T) {
	probe := func(h *hub) []Finding {
		return examine(t, Options{Probe: h.publish, Watch: time.Second}, h.ServeHTTP)
	}
	findings := probe(&hub{})
	want(t, findings, OK, "flush", "each of 12 events that were published came within 1ms")
	want(t, findings, OK, "resume", "none missing")

	// The head is held back too.
	findings = probe(&hub{holds: 32 << 10})
	fix := want(t, findings, Problem, "flush", "12 events were held back 4.1s, until 64 KiB more pushed them out")
	if !strings.Contains(fix, "add `X-Accel-Buffering: no`") {
		t.Errorf("the fix is %q", fix)
	}
	findings = probe(&hub{holds: 1 << 20})
	want(t, findings, Problem, "first byte", "although 12 events were published meanwhile")

	failing := func(context.Context, int, int) (string, error) { return "", leat.Errorf(leat.CodeNotFound, "nowhere") }
	want(t, examine(t, Options{Probe: failing, Watch: time.Second}, stream{}.ServeHTTP), Problem, "flush", "publishing to the stream failed: nowhere")
}

// The same stream without what is in between tells how long events are held back by it.
func TestDirect(t *testing.T) {
	compare := func(through, directly http.Handler) []Finding {
		mux := http.NewServeMux()
		mux.Handle("/events", through)
		mux.Handle("/direct", directly)
		return examine(t, Options{Direct: "http://server.test/direct"}, mux.ServeHTTP)
	}
	good := stream{every: 400 * time.Millisecond}
	want(t, compare(good, good), OK, "flush", "came within 1ms of when it came directly")
	held := good
	held.collect = 12
	want(t, compare(held, good), Problem, "flush", "held back by what is in between, up to 4.4s")
	want(t, compare(stream{heartbeat: time.Second}, good), Problem, "flush", "45 of them had not come in the end")
	want(t, compare(stream{}, stream{}), Note, "flush", "no event has come")
	want(t, compare(good, http.NotFoundHandler()), Problem, "flush", "404")
}

func TestNoServer(t *testing.T) {
	tell := func(f Finding) { t.Errorf("found %v", f) }
	for url, code := range map[string]leat.Code{
		"http://127.0.0.1:1/events": leat.CodeUnavailable,
		"news":                      leat.CodeInvalidParameter,
		"ftp://example.org/":        leat.CodeInvalidParameter,
	} {
		if err := Examine(t.Context(), Options{URL: url}, tell); leat.CodeOf(err) != code {
			t.Errorf("%s: %v", url, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Examine(ctx, Options{URL: "http://127.0.0.1:1/"}, tell); err != context.Canceled {
		t.Errorf("interrupted: %v", err)
	}
}
