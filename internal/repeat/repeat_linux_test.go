package repeat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A site is an http.Server that may have Conns.
type site struct {
	conns *Conns // nil: net/http alone
	hs    *http.Server
	addr  string
	log   *lines

	mu   sync.Mutex
	seen map[string][]string // by the handler, of each client
}

// lines is what a server has logged.
type lines struct{ c chan string }

func (l *lines) Write(p []byte) (int, error) {
	select {
	case l.c <- string(p):
	default: // nobody looks
	}
	return len(p), nil
}

// A mode is how the handler of a site is called where connections are taken over.
type mode int

const (
	alone  mode = iota // net/http alone: none is
	waits              // by a goroutine, since it may wait
	prompt             // by the desk
	late               // by the desk, and puts its answers off
)

var modes = map[string]mode{"waits": waits, "prompt": prompt, "late": late}

// inModes runs a test in each mode in which connections are taken over.
func inModes(t *testing.T, test func(t *testing.T, as mode)) {
	for name, as := range modes {
		t.Run(name, func(t *testing.T) { test(t, as) })
	}
}

// later makes a handler one that puts its answers off, if it may.
func later(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		finish, ok := PutOff(w)
		if !ok {
			h(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), errReader{err}))
		go finish(func() { h(w, r) })
	}
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) {
	if r.error == nil {
		return 0, io.EOF
	}
	return 0, r.error
}

func newSite(t testing.TB, h http.HandlerFunc, as mode, set ...func(*http.Server)) *site {
	if as == late {
		h = later(h)
	}
	s := &site{log: &lines{make(chan string, 10)}, seen: map[string][]string{}}
	serve := h
	h = func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen[r.RemoteAddr] = append(s.seen[r.RemoteAddr], fmt.Sprint(r.Method, r.RequestURI, r.URL.Path, r.Proto, r.Host, r.ContentLength, r.Header))
		s.mu.Unlock()
		serve(w, r)
	}
	s.hs = &http.Server{Handler: h, ErrorLog: log.New(s.log, "", 0)}
	if as != alone {
		s.conns = New(0, func(http.Handler, *http.Request) bool { return as != waits })
		s.hs.ConnContext = s.conns.WithConn
		s.hs.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.conns.Serve(w, r, h) })
	}
	for _, f := range set {
		f(s.hs)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ended := make(chan struct{})
	go func() { s.hs.Serve(ln); close(ended) }() // ends with the cleanup
	t.Cleanup(func() {
		s.hs.Close()
		<-ended
		if as != alone {
			s.conns.Close()
		}
	})
	return s
}

// echo tells what it was asked, and does what the query says.
func echo(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var body []byte
	if !q.Has("unread") {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			http.Error(w, "the body: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	h := w.Header()
	for _, field := range q["set"] {
		name, value, _ := strings.Cut(field, ":")
		h.Add(name, value)
	}
	if q.Has("panic") {
		panic("as asked")
	}
	if status, err := strconv.Atoi(q.Get("status")); err == nil {
		w.WriteHeader(status)
		if status == http.StatusNoContent {
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
			return
		}
	}
	if q.Has("nothing") {
		return
	}
	var sorted []string
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		sorted = append(sorted, fmt.Sprint(name, r.Header[name]))
	}
	r.Header.Set("Left", "behind") // must not be seen by the next
	r.URL.Path = "/changed"
	fmt.Fprintf(w, "%s %s %s %s host %s length %d from %v %q\nbody %d %x\n", r.Method, r.RequestURI, r.URL.RawQuery, r.Proto, r.Host, r.ContentLength, r.RemoteAddr != "", sorted,
		len(body), sha256.Sum256(body))
}

// talk sends pieces over one connection, one after the other. It returns what the handler
// has seen, the answers, and whether these are all: who closes over unread input may take
// answers from the client.
func talk(t testing.TB, s *site, pieces ...string) (seen, got []string, whole bool) {
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan struct{})
	go func() { // joined below
		defer close(sent)
		for _, p := range pieces {
			if _, err := io.WriteString(nc, p); err != nil {
				return
			}
		}
		nc.(*net.TCPConn).CloseWrite()
	}()
	got, whole = answers(nc)
	own := nc.LocalAddr().String()
	nc.Close()
	<-sent
	s.mu.Lock()
	defer s.mu.Unlock()
	seen = s.seen[own]
	delete(s.seen, own)
	return seen, got, whole
}

// answers returns the answers that a connection has, as text.
func answers(from io.Reader) (got []string, whole bool) {
	in := bufio.NewReader(from)
	for {
		if _, err := in.Peek(1); err != nil {
			return got, err == io.EOF
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return got, false
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return got, false
		}
		resp.Header.Del("Date")
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s %s %v close %v\n", resp.Proto, resp.Status, resp.ContentLength, resp.Close)
		resp.Header.Write(&b)
		b.Write(body)
		got = append(got, b.String())
	}
}

// post is the head of a request, with its body.
func post(target, fields, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: example.com\r\n%sContent-Length: %d\r\n\r\n%s", target, fields, len(body), body)
}

// Choices are made of bytes, by whoever has them: chance, or the fuzzer.
type choices struct{ from []byte }

// below returns a number below n, 0 when there are no bytes left.
func (c *choices) below(n int) int {
	got := 0
	for most := n - 1; most > 0; most >>= 8 {
		got <<= 8
		if len(c.from) > 0 {
			got |= int(c.from[0])
			c.from = c.from[1:]
		}
	}
	return got % n
}

func of[T any](c *choices, from []T) T { return from[c.below(len(from))] }

var (
	targets = []string{"/e?topic=a", "/e?topic=b&x=%20", "/e?topic=c", "/e", "/e?", "/f?topic=a", "/e?topic=a#b", "/e?q=\xff", "/e?a?b", "http://example.com/e?topic=a",
		"/e?status=204", "/e?status=404", "/e?nothing", "/e?unread", "/e?set=A:b&set=A:c", "/e?set=Connection:close", "/e?set=Content-Type:x", "/e?set=Date:x", "/e?status=304",
		"/e?a=\x01", "/e?set=Bad%20Name:x&set=V:a%0d%0ab", "/e?panic"}
	fields = []string{"", "Content-Type: text/plain\r\n", "Content-Type: text/plain\r\nA: 1\r\nA: 2\r\n", "A: 1\r\n", "a: 1\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
		"Expect: 100-continue\r\n", "Host: other\r\n", "A:  1 \r\n", "A: 1\r\n 2\r\n", "A : 1\r\n", "Upgrade: x\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n",
		"A: \x00\r\n", "A: 1\n", "\r\n", "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"}
	lengths = []int{1, 2, 10, 99, 100, 0, 3900, 5000, 16 << 10, 17 << 10, 70 << 10}
)

// conversation returns what a client sends, cut where segments of TCP might end.
func conversation(c *choices) (pieces []string) {
	var all strings.Builder
	loyal := c.below(4) > 0 // mostly one request over and over
	to, with := of(c, targets), of(c, fields)
	if c.below(4) > 0 {
		to, with = targets[c.below(3)], fields[c.below(5)]
	}
	for range 1 + c.below(8) {
		if !loyal || c.below(10) == 9 {
			to, with = of(c, targets), of(c, fields)
		} else if c.below(2) == 1 {
			to = targets[c.below(3)]
		}
		request := post(to, with, strings.Repeat("b", of(c, lengths)))
		switch c.below(24) {
		case 1:
			request = strings.Replace(request, "POST", "GET", 1)
		case 2:
			request = strings.Replace(request, "HTTP/1.1", "HTTP/1.0", 1)
		case 3:
			request = strings.ReplaceAll(request, "\r\n", "\n")
		case 4:
			request = "\r\n" + request
		case 5:
			request = strings.Replace(request, "Content-Length: ", "content-length:", 1)
		case 6:
			request = strings.Replace(request, "Content-Length: ", "Content-Length: +", 1)
		case 7:
			request = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: example.com\r\n%sTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", to, with)
		case 8:
			request = request[:c.below(len(request)+1)]
		case 9:
			request = strings.Replace(request, "Content-Length: ", "Content-Length: 0", 1)
		case 10:
			request = strings.Replace(request, "Host: example.com\r\n", "", 1)
		}
		all.WriteString(request)
	}
	s := all.String()
	for range c.below(5) {
		at := c.below(len(s) + 1)
		pieces, s = append(pieces, s[:at]), s[at:]
	}
	return append(pieces, s)
}

// "The handler of the http.Server is called for each request as it is there": whatever
// comes over a connection, the answers are those of net/http alone.
func checkConversation(t *testing.T, ref, ours *site, pieces ...string) {
	t.Helper()
	shown := strings.ReplaceAll(fmt.Sprintf("%q", pieces), strings.Repeat("b", 10), "B")
	wantSeen, want, wantWhole := talk(t, ref, pieces...)
	seen, got, whole := talk(t, ours, pieces...)
	if !slices.Equal(wantSeen, seen) {
		t.Fatalf("of %s\nnet/http serves %q\nand we        %q", shown, wantSeen, seen)
	}
	if !wantWhole || !whole {
		n := min(len(want), len(got))
		want, got = want[:n], got[:n]
	}
	if !slices.Equal(want, got) {
		t.Fatalf("of %s\nnet/http answers %q\nand we         %q", shown, want, got)
	}
}

func TestAsNetHTTP(t *testing.T) {
	ref := newSite(t, echo, alone)
	seed := time.Now().UnixNano()
	t.Log("seed", seed)
	for name, as := range modes {
		ours := newSite(t, echo, as)
		t.Run(name, func(t *testing.T) {
			for i := range 8 {
				t.Run("", func(t *testing.T) {
					t.Parallel()
					chance := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
					data := make([]byte, 100)
					for range 30 {
						for i := range data {
							data[i] = byte(chance.Uint32())
						}
						checkConversation(t, ref, ours, conversation(&choices{data})...)
					}
				})
			}
		})
		if n := ours.conns.Counts(); n.Taken < 24 || n.GivenBack < 18 {
			t.Errorf("%s: of 240 connections %d were taken over and %d given back: that shows nothing", name, n.Taken, n.GivenBack)
		}
	}
}

// What is meant to be read in two ways, behind requests that are all alike: whoever finds
// another end of a request than net/http lets the client write the next one's.
func TestDevious(t *testing.T) {
	ref := newSite(t, echo, alone)
	inModes(t, func(t *testing.T, as mode) { checkDevious(t, ref, newSite(t, echo, as)) })
}

func checkDevious(t *testing.T, ref, ours *site) {
	for _, head := range []string{
		"POST /e?a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\n",
		"POST /e?a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
	} {
		for _, evil := range []string{
			strings.Replace(head, "Content-Length: 3\r\n\r\n", "Content-Length: 40\r\n\r\n", 1),
			strings.Replace(head, "Content-Length: 3\r\n\r\n", "Content-Length: 40\r\nContent-Length: 3\r\n\r\n", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: 0x3", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: 03", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: 3 ", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: 3, 3", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: -3", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: 99999999999999999999", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length:\t3", 1),
			strings.Replace(head, "Content-Length: 3", "Content-Length: 3\r\nTransfer-Encoding: chunked", 1),
			strings.Replace(head, "Content-Length", "content-length", 1),
			strings.Replace(head, "Host", "Host: other\r\nHost", 1),
			strings.Replace(head, "Host: example.com\r\n", "", 1),
			strings.Replace(head, "example.com", "other", 1),
			strings.Replace(head, "\r\n\r\n", "\n\n", 1),
			strings.Replace(head, "?a", "?a HTTP/1.1\r\nX:", 1),
			strings.Replace(head, "?a", "?a\r\nX: b", 1),
			strings.Replace(head, "?a", "?a b", 1),
			strings.Replace(head, "?a", "?", 1),
			strings.Replace(head, "?a", "", 1),
			strings.Replace(head, "HTTP/1.1", "HTTP/1.0", 1),
			strings.Replace(head, "POST", "PUT", 1),
			"\r\n" + head, "\n\n\n\n\n" + head, " " + head,
		} {
			checkConversation(t, ref, ours, head+"abc"+head+"abc", head+"abc", evil+"abc", head+"abc"+head+"abc")
			checkConversation(t, ref, ours, head+"abc"+head+"abc"+evil[:1], evil[1:]+"abc"+head+"abc")
			checkConversation(t, ref, ours, head+"abc"+head+"abc"+evil+"abc", head+"abc"+head+"abc")
		}
	}
}

func FuzzAsNetHTTP(f *testing.F) {
	ref, sites := newSite(f, echo, alone), []*site{newSite(f, echo, waits), newSite(f, echo, prompt), newSite(f, echo, late)}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &choices{data}
		ours := of(c, sites)
		checkConversation(t, ref, ours, conversation(c)...)
	})
}

// A client that waits for each answer, as most do.
type client struct {
	t  testing.TB
	nc net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, s *site) *client {
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) send(pieces ...string) {
	for _, p := range pieces {
		if _, err := io.WriteString(c.nc, p); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) answer() (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(body)
}

func (c *client) post(target string) string {
	c.t.Helper()
	c.send(post(target, "", "body"))
	resp, body := c.answer()
	if resp.StatusCode != 200 {
		c.t.Fatalf("%s: %s", resp.Status, body)
	}
	return body
}

// closed waits until the server has closed the connection, and reports whether it has.
func (c *client) closed() {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if b, err := io.ReadAll(c.in); len(b) > 0 || err != nil {
		c.t.Fatalf("the connection was not closed: %q, %v", b, err)
	}
}

// takenOver returns a client whose connection is taken over, the only one of a site.
func takenOver(t testing.TB, s *site) *client {
	t.Helper()
	return allTakenOver(t, s, 1)[0]
}

// allTakenOver returns n clients whose connections are taken over, all that a site has.
func allTakenOver(t testing.TB, s *site, n int) (clients []*client) {
	t.Helper()
	for range n {
		c := dial(t, s)
		for range enough {
			c.post("/e?a")
		}
		clients = append(clients, c)
	}
	s.settled(t, n)
	return clients
}

// settled waits until so many connections are taken over.
func (s *site) settled(t testing.TB, n int) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); s.conns.Counts().Open != n; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d connections are taken over, not %d", s.conns.Counts().Open, n)
		}
	}
}

// "A connection that has had two requests ... is taken over", and "what is not the same
// is not for this package: the connection is given back ... for good".
func TestTakenAndGivenBack(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		s := newSite(t, echo, as)
		c := dial(t, s)
		c.post("/e?topic=a")
		s.settled(t, 0)
		c.post("/e?topic=a")
		s.settled(t, 1)
		for i := range 3 {
			if got := c.post(fmt.Sprintf("/e?topic=%d", i)); !strings.Contains(got, fmt.Sprintf("topic=%d", i)) {
				t.Error(got)
			}
			s.settled(t, 1)
		}
		c.send("GET /other HTTP/1.1\r\nHost: example.com\r\n\r\n")
		if _, got := c.answer(); !strings.HasPrefix(got, "GET /other") {
			t.Error(got)
		}
		s.settled(t, 0)
		for range 5 {
			c.post("/e?topic=a")
		}
		s.settled(t, 0)
	})
}

// What is known of a connection is known of its later requests, also once it was given back.
func TestContext(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		type key struct{}
		ends := make(chan (<-chan struct{}), 10)
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			local, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
			fmt.Fprint(w, ctx.Value(key{}), ok && local.String() == r.Host, ctx.Value(http.ServerContextKey) != nil, ctx.Err())
			ends <- ctx.Done()
		}, as, func(hs *http.Server) {
			ours := hs.ConnContext
			hs.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
				_, tcp := Under(c).(*net.TCPConn)
				return ours(context.WithValue(ctx, key{}, tcp), c)
			}
		})
		c := dial(t, s)
		for i := range 5 {
			c.send("POST /e HTTP/1.1\r\nHost: " + s.addr + "\r\nContent-Length: 1\r\n\r\nx")
			if _, got := c.answer(); got != "true true true <nil>" {
				t.Errorf("request %d: %s", i, got)
			}
		}
		c.send("GET /e HTTP/1.1\r\nHost: " + s.addr + "\r\n\r\n")
		if _, got := c.answer(); got != "true true true <nil>" {
			t.Errorf("after it was given back: %s", got)
		}
		for range 6 {
			<-<-ends
		}
	})
}

// Those that are not taken over: what net/http must do itself, or somebody between has
// to see.
func TestNotTaken(t *testing.T) {
	for what, set := range map[string]func(*http.Server){
		"ReadTimeout":  func(hs *http.Server) { hs.ReadTimeout = time.Minute },
		"WriteTimeout": func(hs *http.Server) { hs.WriteTimeout = time.Minute },
		"a wrapped writer": func(hs *http.Server) {
			h := hs.Handler
			hs.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(struct{ wrapped }{wrapped{w}}, r) })
		},
		"no ConnContext": func(hs *http.Server) { hs.ConnContext = nil },
	} {
		s := newSite(t, echo, waits, set)
		c := dial(t, s)
		for range 4 {
			c.post("/e?topic=a")
		}
		if n := s.conns.Counts().Taken; n > 0 {
			t.Errorf("with %s %d connections were taken over", what, n)
		}
	}
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A middleware that changes the target, or adds fields, sees each request as it was sent.
func TestStripPrefix(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		s := newSite(t, echo, as, func(hs *http.Server) { hs.Handler = http.StripPrefix("/under", hs.Handler) })
		c := dial(t, s)
		for range 4 {
			c.post("/under/e?topic=a")
		}
		s.settled(t, 1)
	})
}

// What a middleware has made of the address of one request is not that of the next.
func TestRemoteAddr(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		seen := make(chan string, 3)
		s := newSite(t, echo, as, func(hs *http.Server) {
			h := hs.Handler
			hs.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen <- r.RemoteAddr
				r.RemoteAddr = "192.0.2.1:1"
				h.ServeHTTP(w, r)
			})
		})
		c := takenOver(t, s)
		c.post("/e?a")
		for range 3 {
			if got, want := <-seen, c.nc.LocalAddr().String(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// "What panics ends its connection and no other, as in net/http."
func TestPanic(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		s := newSite(t, echo, as)
		c, other := dial(t, s), dial(t, s)
		for range 2 {
			c.post("/e?a")
			other.post("/e?a")
		}
		s.settled(t, 2)
		c.send(post("/e?panic", "", "x"))
		c.closed()
		if got := <-s.log.c; !strings.HasPrefix(got, "http: panic serving 127.0.0.1:") || !strings.Contains(got, "as asked") || !strings.Contains(got, "echo") {
			t.Errorf("logged %q", got)
		}
		s.settled(t, 1)
		other.post("/e?a")
	})
}

// A request whose rest does not come is net/http's to wait for, and to refuse.
func TestSlow(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		t.Parallel()
		s := newSite(t, echo, as)
		c := takenOver(t, s)
		whole := post("/e?a", "", "body")
		c.send(whole[:len(whole)-2])
		s.settled(t, 0)
		c.send(whole[len(whole)-2:])
		if _, got := c.answer(); !strings.Contains(got, "body 4 ") {
			t.Error(got)
		}
	})
}

// The http.Server's IdleTimeout counts, from the end of the last answer on.
func TestIdleTimeout(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		t.Parallel()
		s := newSite(t, echo, as, func(hs *http.Server) { hs.IdleTimeout = time.Second })
		c := takenOver(t, s)
		for range 5 {
			time.Sleep(250 * time.Millisecond)
			c.post("/e?a")
		}
		c.closed()
		s.settled(t, 0)
	})
}

// "Stop closes the connections that wait for a request, and the others when what they have
// begun is answered."
func TestStop(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(goOn) })
	defer free()
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "wait" {
			close(began)
			<-goOn
		}
		echo(w, r)
	}, waits)
	idle, busy, late := dial(t, s), dial(t, s), dial(t, s)
	for _, c := range []*client{idle, busy} {
		c.post("/e?a")
		c.post("/e?a")
	}
	s.settled(t, 2)
	busy.send(post("/e?wait", "", "x"))
	<-began
	late.post("/e?a")
	s.conns.Stop()
	idle.closed()
	s.settled(t, 1)
	free()
	if resp, got := busy.answer(); !resp.Close || !strings.HasPrefix(got, "POST /e?wait") {
		t.Error(resp.Header, got)
	}
	busy.closed()
	late.post("/e?a") // net/http's to stop
	late.post("/e?a")
	s.settled(t, 0)
}

// What was given back when there is no http.Server to take it is closed.
func TestGivenBackTooLate(t *testing.T) {
	s := newSite(t, echo, waits)
	c := takenOver(t, s)
	s.hs.Close()
	c.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	c.closed()
}
