package examples

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// TestCompare shows each row of the second table in README.md: what a browser, a
// proxy and HTTP itself do for Server-Sent Events, a streamed response, long polling
// and a WebSocket. The four ways are always in this order.
func TestCompare(t *testing.T) {
	t.Parallel()
	s := serve(t, "compare")
	for name, test := range map[string]func(*testing.T, *site){
		"resume":    testResume,
		"reconnect": testReconnect,
		"request":   testRequest,
		"refusal":   testRefusal,
		"up":        testUp,
		"bytes":     testBytes,
		"http2":     testHTTP2,
		"six":       testSix,
		"proxy":     testProxy,
		"plain":     testPlain,
		"requests":  testRequests,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func (s *site) publish(t *testing.T, topic, contentType, text string) {
	t.Helper()
	if resp, body := s.send(t, "POST", "/events?topic="+topic, text, "Content-Type", contentType); resp.StatusCode != 200 {
		t.Fatalf("publishing: %d: %s", resp.StatusCode, body)
	}
}

var ways = []string{"sse", "lines", "poll", "socket"}

// In all four ways a reader goes on where it was, if its server has a log.
func testResume(t *testing.T, s *site) {
	tapped, tap := s.tap(t)
	page := tapped.visit(t, "/?topic=resume")
	show := func(n int) {
		t.Helper()
		for _, way := range ways {
			page.has("#"+way+" li", n)
		}
	}
	s.publish(t, "resume", "text/plain", "one")
	show(1)
	open := tap.cut()
	s.publish(t, "resume", "text/plain", "two")
	open()
	show(2)
	s.publish(t, "resume", "text/plain", "three")
	show(3)
	const all = "one, two, three\n"
	same(t, s.clients(t, "resume"), 0, "events: "+all+"lines: "+all+"polls: "+all)
	for _, way := range ways {
		if got := page.lines("#" + way + " li"); !slices.Equal(got, []string{"one", "two", "three"}) {
			t.Errorf("%s shows %q", way, got)
		}
	}
}

// readers defines in a page a function for each way, which opens one and calls told
// with open, data or error. None does more than the browser does by itself.
const readers = `
window.open_ = {
  sse(url, told) {
    const source = new EventSource(url, { headers: { 'X-Token': 'secret' }, method: 'POST' })
    source.onopen = () => told('open'); source.onmessage = () => told('data')
    source.onerror = e => told('error ' + source.readyState + ' ' + e.status)
    return source
  },
  async lines(url, told) {
    try {
      const response = await fetch(url + '&as=ndjson', { headers: { 'X-Token': 'secret' }, method: url.includes('echo') ? 'POST' : 'GET' })
      told('open')
      if (!response.ok) return told('error ' + response.status + ' ' + (await response.json()).code)
      for (const reader = response.body.getReader(); !(await reader.read()).done;) told('data')
    } catch (e) { told('error') }
  },
  async poll(url, told) {
    try {
      const response = await fetch(url + '&as=json', { headers: { 'X-Token': 'secret' }, method: url.includes('echo') ? 'POST' : 'GET' })
      told('open')
      const answer = await response.json()
      told(response.ok ? 'data' : 'error ' + response.status + ' ' + answer.code)
    } catch (e) { told('error') }
  },
  socket(url, told) {
    const socket = new WebSocket(url.replace('/events', location.origin.replace('http', 'ws') + '/socket'), [], { headers: { 'X-Token': 'secret' }, method: 'POST' })
    socket.onopen = () => told('open'); socket.onmessage = () => told('data')
    socket.onerror = e => told('error ' + e.status); socket.onclose = () => told('closed')
    return socket
  },
}
window.told = { sse: [], lines: [], poll: [], socket: [] }
window.start = (url, only) => { for (const way in open_) if (!only || only === way) open_[way](url + '&way=' + way, what => told[way].push(what)) }
`

// blank is a page without readers of its own, on the site's origin.
func (s *site) blank(t *testing.T) *tab {
	t.Helper()
	page := s.visit(t, "/page.css")
	page.eval(readers)
	return page
}

// told waits until the reader was told this, and returns all it was told.
func (p *tab) told(way, what string) string {
	p.t.Helper()
	p.until(fmt.Sprintf(`told.%s.includes(%q)`, way, what))
	return p.eval(fmt.Sprintf(`told.%s.join(', ')`, way))
}

// Only an EventSource connects again, and says where it stopped.
func testReconnect(t *testing.T, s *site) {
	tapped, tap := s.tap(t)
	page := tapped.blank(t)
	page.eval(`start('/events?topic=reconnect')`)
	page.told("sse", "open")
	page.told("lines", "open")
	page.told("socket", "open")
	open := tap.cut()
	page.told("lines", "error")
	page.told("poll", "error")
	page.told("socket", "closed")
	page.told("sse", "error 0 undefined") // 0 is CONNECTING
	open()
	again := tap.answered(t, "way=sse", 2)[1]
	if again.Header.Get("Last-Event-ID") == "" {
		t.Error("it did not say where it stopped")
	}
	for _, way := range ways[1:] {
		if n := len(tap.answered(t, "way="+way, 0)); n > 1 {
			t.Errorf("%s has connected again: %d requests", way, n)
		}
	}
}

// Only fetch has headers and a method of one's own.
func testRequest(t *testing.T, s *site) {
	requests := make(chan *http.Request, 4)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			return
		}
		requests <- r.Clone(context.Background())
		w.WriteHeader(http.StatusNoContent)
	}))
	defer echo.Close()
	page := (&site{s.name, echo.URL, s.cmd}).visit(t, "/")
	page.eval(readers)
	page.eval(`start('/events?topic=echo')`)
	for range ways {
		r := <-requests
		way := r.FormValue("way")
		own := r.Header.Get("X-Token") == "secret" && r.Method == "POST"
		if want := way == "lines" || way == "poll"; own != want {
			t.Errorf("%s: method %s, token %q", way, r.Method, r.Header.Get("X-Token"))
		}
	}
}

// Only fetch tells why it was refused, and an EventSource that was is closed for good.
func testRefusal(t *testing.T, s *site) {
	page := s.blank(t)
	page.eval(`start('/events?topic=*bad*')`) // 400 invalid_pattern; the socket is closed after it has opened
	page.told("lines", "error 400 invalid_pattern")
	page.told("poll", "error 400 invalid_pattern")
	page.told("sse", "error 2 undefined")                                      // 2 is CLOSED
	page.eval(`open_.socket('/events/none?', what => told.socket.push(what))`) // 404
	if got := page.told("socket", "error undefined"); strings.Contains(got, "404") {
		t.Errorf("the socket was told %s", got)
	}
}

// Only a WebSocket goes up as well; a browser's fetch sends no body that is not
// finished over HTTP/1.1, and nowhere reads the answer meanwhile.
func testUp(t *testing.T, s *site) {
	page := s.blank(t)
	page.eval(`new Promise((done, fail) => {
		const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket?topic=up')
		socket.onopen = () => socket.send('up and down')
		socket.onmessage = e => JSON.parse(e.data).data === 'up and down' ? done() : fail(new Error(e.data))
	})`)
	if got := page.eval(`typeof EventSource.prototype.send`); got != "undefined" {
		t.Errorf("send of an EventSource is %s", got)
	}
	_, thrown := page.try(`fetch('/events?topic=up', { method: 'POST', duplex: 'half', body: new ReadableStream({ start(c) { c.enqueue(new Uint8Array(1)) } }) })`)
	if !strings.Contains(thrown, "Failed to fetch") {
		t.Errorf("streaming up with fetch over HTTP/1.1: %q", thrown)
	}
	if _, thrown := page.try(`fetch('/events', { method: 'POST', duplex: 'full', body: new ReadableStream({}) })`); !strings.Contains(thrown, "duplex") {
		t.Errorf("streaming up and down with fetch: %q", thrown)
	}
}

// Text is what an event stream is made of: bytes come in base64, a third longer. The
// others have them as they are: long polling by way of offset=.
func testBytes(t *testing.T, s *site) {
	const raw = "\x00\xff\r\n\n"
	s.publish(t, "bytes", "application/octet-stream", raw)
	events := s.open(t, "GET", "/events?topic=bytes&from=start", "").Body
	defer events.Close()
	if text := until(t, events, "leat.cursor", "\n\n", "\n\n"); !strings.Contains(text, "data: AP8NCgo=\n") {
		t.Errorf("the event is %q", text)
	}
	stream := s.open(t, "GET", "/streams/bytes?follow=1", "").Body
	defer stream.Close()
	got := make([]byte, len(raw))
	if _, err := io.ReadFull(stream, got); err != nil || string(got) != raw {
		t.Errorf("the streamed bytes are %q, %v", got, err)
	}
	if _, text := s.send(t, "GET", "/streams/bytes?offset=-1&live=long-poll", ""); text != raw {
		t.Errorf("the polled bytes are %q", text)
	}
	c := s.socket(t, "bytes")
	kind, message, err := c.Read(t.Context())
	if err != nil || kind != websocket.MessageBinary || string(message) != raw {
		t.Errorf("the message is %v %q, %v", kind, message, err)
	}
}

// until reads to the last of the texts, which come one after the other.
func until(t *testing.T, body io.Reader, texts ...string) string {
	t.Helper()
	var all bytes.Buffer
	for from := 0; len(texts) > 0; {
		if i := strings.Index(all.String()[from:], texts[0]); i >= 0 {
			from += i + len(texts[0])
			texts = texts[1:]
			continue
		}
		if _, err := io.CopyN(&all, body, 1); err != nil {
			t.Fatalf("%v after %q", err, &all)
		}
	}
	return all.String()
}

func (s *site) socket(t *testing.T, topic string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, s.url+"/socket?topic="+topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// Over HTTP/2 many of the first three share one connection. A WebSocket would need an
// extension of HTTP/2 that Go's server does not switch on.
func testHTTP2(t *testing.T, s *site) {
	var dials atomic.Int32
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	ask := func(path string) *http.Response {
		t.Helper()
		resp, err := (&http.Client{Transport: tr}).Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	s.publish(t, "http2", "text/plain", "one")
	for range 3 {
		for _, form := range []string{"sse", "ndjson", "json"} {
			resp := ask("/events?topic=http2&from=start&as=" + form)
			if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
				t.Errorf("%s: %s %s", form, resp.Proto, resp.Status)
			}
			until(t, resp.Body, "one")
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("nine answers needed %d connections", n)
	}
	_, resp, err := websocket.Dial(t.Context(), s.url+"/socket?topic=http2", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	if err == nil {
		t.Errorf("a WebSocket has opened over HTTP/2: %v", resp)
	}
}

// A browser opens six connections to an origin over HTTP/1.1, for all its pages
// together. WebSockets are counted apart.
func testSix(t *testing.T, s *site) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			tapped, tap := s.tap(t)
			page := tapped.blank(t)
			page.eval(fmt.Sprintf(`for (let i = 0; i < 7; i++) start('/events?topic=six-%s&wait=5m&i=' + i, %q)`, way, way))
			if way == "socket" {
				tap.asked(t, "way=socket", 7)
				return
			}
			if n := len(tap.asked(t, "way="+way, 6)); n > 6 {
				t.Errorf("%d at a time", n)
			}
			// The seventh comes when one of them has ended.
			s.publish(t, "six-"+way, "text/plain", "one")
			if way == "poll" {
				tap.asked(t, "way="+way, 7)
			}
		})
	}
}

// Through a proxy that passes an answer on when it is whole, only polls come.
func testProxy(t *testing.T, s *site) {
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI, r.URL.Scheme, r.URL.Host, r.Host = "", target.Scheme, target.Host, target.Host
		r.Header.Del("Connection") // which is for one hop only
		r.Header.Del("Upgrade")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err == nil {
			w.WriteHeader(resp.StatusCode)
			_, _ = w.Write(body)
		}
	}))
	t.Cleanup(func() { proxy.CloseClientConnections(); proxy.Close() })
	page := (&site{s.name, proxy.URL, s.cmd}).blank(t)
	page.eval(`start('/events?topic=proxy&from=start')`)
	s.publish(t, "proxy", "text/plain", "one")
	page.told("poll", "data")
	page.told("socket", "error undefined")
	for _, way := range []string{"sse", "lines"} {
		if got := page.eval(fmt.Sprintf(`told.%s.join()`, way)); got != "" {
			t.Errorf("%s has got something: %s", way, got)
		}
	}
}

// What speaks HTTP reads the first three, whatever it is: curl, wget, a shell script.
func testPlain(t *testing.T, s *site) {
	s.publish(t, "plain", "text/plain", "one")
	for _, path := range []string{"/events?topic=plain&from=start", "/events?topic=plain&from=start&as=ndjson", "/events?topic=plain&from=start&as=json"} {
		resp := s.open(t, "GET", path, "")
		until(t, resp.Body, "one")
		resp.Body.Close()
	}
	if resp, _ := s.send(t, "GET", "/socket?topic=plain", ""); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("the socket answers %s", resp.Status)
	}
}

// Ten records, each published when the one before was received, are one request, or
// one for each poll.
func testRequests(t *testing.T, s *site) {
	tapped, tap := s.tap(t)
	page := tapped.visit(t, "/?topic=requests")
	for n := range 10 {
		s.publish(t, "requests", "text/plain", fmt.Sprint(n))
		for _, way := range ways {
			page.has("#"+way+" li", n+1)
		}
	}
	for text, want := range map[string]int{"/events?topic=requests&from=start": 1 + 1 + 10, "as=ndjson": 1, "as=json": 10, "/socket": 1} {
		// The poll for the eleventh has no answer yet.
		if got := len(tap.answered(t, text, want)); got != want {
			t.Errorf("%d answers for %s, want %d", got, text, want)
		}
	}
}
