package examples

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bin is the directory of the programs, which TestMain has built.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "leat-examples")
	if err == nil {
		bin = dir
		build := exec.Command("go", append(buildFlags, "-o", dir, "./...")...)
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("building the examples: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	flag.Parse()
	// The tests wait more than they work: for browsers that reconnect after seconds.
	_ = flag.Set("test.parallel", "8") // it exists
	code := m.Run()
	chrome.close()
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long a test waits for what must come. It is the test that
// failed if it is over.
const patience = 2 * time.Minute

// program returns the path of a program that a test needs. Where it is missing
// the test is skipped; in CI it fails, so that none is lost unseen.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	missing := fmt.Sprintf("this test needs the program %s: apt-get install %s", name, pkg)
	if os.Getenv("CI") == "true" {
		t.Fatal(missing + " (.ci/run does)")
	}
	t.Skip(missing)
	return ""
}

// A site is a running example.
type site struct {
	name string
	url  string
	cmd  *exec.Cmd
}

// serve starts an example. It is told to terminate with the test, and has to end
// well then, whatever readers it has.
func serve(t *testing.T, name string, args ...string) *site {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s did not end well: %v", name, err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(name, "said nothing:", err)
	}
	return &site{name, strings.TrimSpace(line), cmd}
}

// send makes a request and returns the answer and its body.
func (s *site) send(t *testing.T, method, path, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	resp := s.open(t, method, path, body, fields...)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(text)
}

// open makes a request whose answer is read as it arrives. It ends with the test, at
// the latest after so long as a whole test may take on a busy machine.
func (s *site) open(t *testing.T, method, path, body string, fields ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return resp
}

// A reader is a client that runs.
type reader struct {
	what string
	out  *bufio.Reader
	cmd  *exec.Cmd
	once sync.Once
	err  error
}

// clients starts the Node and the Python client of the example.
func (s *site) clients(t *testing.T, args ...string) []*reader {
	t.Helper()
	node, python := program(t, "node", "nodejs"), program(t, "python3", "python3")
	var all []*reader
	for _, c := range [][]string{{node, s.name + "/client.mjs"}, {python, s.name + "/client.py"}} {
		cmd := exec.Command(c[0], append([]string{c[1], s.url}, args...)...)
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{what: c[1], out: bufio.NewReader(out), cmd: cmd}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = r.wait() }) // it may have ended well
		all = append(all, r)
	}
	return all
}

// patiently ends the client if it takes too long for what it has to do next.
func (r *reader) patiently() (stop func() bool) {
	return time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() }).Stop
}

func (r *reader) wait() error {
	r.once.Do(func() { r.err = r.cmd.Wait() })
	return r.err
}

// line returns the next line that the client prints.
func (r *reader) line(t *testing.T) string {
	t.Helper()
	defer r.patiently()()
	line, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s prints no further line: %v, %q", r.what, err, line)
	}
	return strings.TrimSuffix(line, "\n")
}

// rest returns what the client still prints until it ends.
func (r *reader) rest(t *testing.T) string {
	t.Helper()
	defer r.patiently()()
	var all bytes.Buffer
	if _, err := all.ReadFrom(r.out); err != nil {
		t.Fatalf("%s: %v", r.what, err)
	}
	if err := r.wait(); err != nil && r.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%s ended with %v, after printing %q", r.what, err, &all)
	}
	return all.String()
}

// same fails unless each client prints exactly this until it ends, with that exit code.
func same(t *testing.T, all []*reader, code int, want string) {
	t.Helper()
	for _, r := range all {
		if got := r.rest(t); got != want || r.cmd.ProcessState.ExitCode() != code {
			t.Errorf("%s prints\n%s\nand ends with %d, want\n%s\nand %d", r.what, got, r.cmd.ProcessState.ExitCode(), want, code)
		}
	}
}

// A tap is what stands between a site and its readers, and can break.
type tap struct {
	*httptest.Server
	conns connections

	mu    sync.Mutex
	came  []*http.Request // in the order in which they came
	begun []*http.Request // those whose answer has begun
	gate  chan struct{}   // requests wait until it is closed; nil if they need not
}

// connections can be cut, WebSockets too, which an http.Server forgets.
type connections struct {
	net.Listener

	mu  sync.Mutex
	all []net.Conn
}

func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, conn)
	}
	return conn, err
}

func (c *connections) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		conn.Close()
	}
	c.all = nil
}

// tap returns the site as it is seen through a tap.
func (s *site) tap(t *testing.T) (*site, *tap) {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // else a WebSocket is of another origin than its page
		},
		ModifyResponse: func(resp *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.begun = append(p.begun, resp.Request)
			return nil
		},
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) {}, // the reader has gone
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		gate := p.gate
		p.came = append(p.came, r)
		p.mu.Unlock()
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	p.conns.Listener, p.Listener = p.Listener, &p.conns
	p.Start()
	// A handler that waits for the next event would not end by itself.
	t.Cleanup(func() { p.conns.cut(); p.Close() })
	return &site{s.name, p.URL, s.cmd}, p
}

// cut ends all connections, and has those that are made again wait for open.
func (p *tap) cut() (open func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	p.gate = gate
	p.mu.Unlock()
	p.conns.cut()
	return func() {
		p.mu.Lock()
		p.gate = nil
		p.mu.Unlock()
		close(gate)
	}
}

// answered waits until the answers of so many requests whose URL contains the text
// have begun, and returns all there are.
func (p *tap) answered(t *testing.T, text string, n int) []*http.Request {
	t.Helper()
	return p.wait(t, &p.begun, text, n)
}

// asked waits until so many requests whose URL contains the text have come.
func (p *tap) asked(t *testing.T, text string, n int) []*http.Request {
	t.Helper()
	return p.wait(t, &p.came, text, n)
}

func (p *tap) wait(t *testing.T, list *[]*http.Request, text string, n int) (found []*http.Request) {
	t.Helper()
	poll(t, fmt.Sprintf("%d requests for %s", n, text), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		found = slices.DeleteFunc(slices.Clone(*list), func(r *http.Request) bool { return !strings.Contains(r.URL.String(), text) })
		return len(found) >= n
	})
	return found
}

// poll calls ready until it is true: for what tells nobody that it has happened.
func poll(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ready(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}
