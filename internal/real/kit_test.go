//go:build linux && !race

package real

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// leatPath is the path of leat, which TestMain has built.
var leatPath string

func TestMain(m *testing.M) {
	const subreaper = 36 // PR_SET_CHILD_SUBREAPER: see child.kill
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, subreaper, 1, 0); errno != 0 {
		fmt.Fprintln(os.Stderr, "prctl:", errno)
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "leat-real")
	if err == nil {
		leatPath = filepath.Join(dir, "leat")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.stampedVersion="+builtVersion+" -X main.stampedCommit="+builtCommit, "-o", leatPath, "../../cmd/leat")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("building leat: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// soak makes the tests as large as issue 3 says.
var soak = os.Getenv("LEAT_SOAK") != ""

// patience is how long a test waits for what must come. It is the test that
// failed if it is over.
const patience = time.Minute

// program returns the path of a program that a test needs. Where it is missing
// the test is skipped; in CI it fails, so that none is lost unseen.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} { // Debian's users do not have sbin in their PATH
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	missing := fmt.Sprintf("this test needs the program %s: apt-get install %s", name, pkg)
	if os.Getenv("CI") == "true" {
		t.Fatal(missing + " (.ci/run does)")
	}
	t.Skip(missing)
	return ""
}

// A child is a process that the test has started and that does not outlive it.
type child struct {
	*exec.Cmd
	ended chan struct{} // closed when it is gone
	err   error         // what Wait returned; read after ended
}

// start starts a process. What it writes to stderr is shown with the test.
func start(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	if cmd.Stderr == nil {
		cmd.Stderr = t.Output()
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it may have children of its own
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: cmd, ended: make(chan struct{})}
	// Owned by the test, whose clean-up kills the process and waits.
	go func() {
		defer close(c.ended)
		c.err = cmd.Wait()
	}()
	t.Cleanup(c.kill)
	return c
}

// kill ends the process and its children in the hardest way, and waits for all of
// them: TestMain has made this process the one that inherits them.
func (c *child) kill() {
	group := -c.Process.Pid
	_ = syscall.Kill(group, syscall.SIGKILL) // they may be gone
	<-c.ended
	for err := error(nil); err == nil || errors.Is(err, syscall.EINTR); {
		_, err = syscall.Wait4(group, nil, 0, nil)
	}
}

// wait waits for the process to end by itself.
func (c *child) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-c.ended:
		return c.err
	case <-time.After(patience):
		t.Fatalf("%s has not ended", c.Path)
		return nil
	}
}

// A leat is a running server.
type leat struct {
	*child
	url  string
	addr string // host and port of url
}

// serve runs leat serve with its records in a directory of the test.
func serve(t *testing.T, flags ...string) *leat {
	t.Helper()
	cmd := exec.Command(leatPath, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--min-free", "0"}, flags...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &leat{child: start(t, cmd)}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("leat serve said nothing:", err)
	}
	s.url = strings.TrimSpace(line)
	s.addr = strings.TrimPrefix(s.url, "http://")
	return s
}

// peak is the most memory that the server has had, in MiB.
func (s *leat) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "\nVmHWM:")
	var kib int64
	if _, err := fmt.Sscanf(line, "%d kB", &kib); err != nil {
		t.Fatalf("the kernel does not tell the most memory there was: %v", err)
	}
	return kib >> 10
}

// request sends a request and returns the answer, which has a status below 400,
// and its body.
func request(t *testing.T, method, url string, header http.Header, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		t.Fatalf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp, text
}

// put makes a stream.
func (s *leat) put(t *testing.T, name, contentType string) {
	t.Helper()
	request(t, "PUT", s.url+"/streams/"+name, http.Header{"Content-Type": {contentType}}, nil)
}

// append appends a record to a stream.
func (s *leat) append(t *testing.T, name, contentType, data string) {
	t.Helper()
	request(t, "POST", s.url+"/streams/"+name, http.Header{"Content-Type": {contentType}}, strings.NewReader(data))
}

// end ends a stream, in a state if that is not empty.
func (s *leat) end(t *testing.T, name, state string) {
	t.Helper()
	header := http.Header{"Stream-Closed": {"true"}}
	if state != "" {
		header.Set("Leat-End", state)
	}
	request(t, "POST", s.url+"/streams/"+name, header, nil)
}

// publish publishes a record to a topic.
func (s *leat) publish(t *testing.T, topic, data string) {
	t.Helper()
	request(t, "POST", s.url+"/events?topic="+topic, http.Header{"Content-Type": {"text/plain"}}, strings.NewReader(data))
}

// A source is what an answer has, line by line, as it arrives.
type source struct {
	lines chan string // closed at the end of the body
	err   error       // why it ended; read after lines is closed
	close func()
}

// read reads lines until the body ends. It is closed with the test.
func read(t *testing.T, body io.ReadCloser) *source {
	t.Helper()
	s := &source{lines: make(chan string)}
	quit := make(chan struct{})
	s.close = sync.OnceFunc(func() { close(quit); body.Close() })
	t.Cleanup(s.close)
	// Owned by the source; close ends it, and so does the body.
	go func() {
		defer close(s.lines)
		in := bufio.NewReader(body)
		for {
			line, err := in.ReadString('\n')
			if line != "" {
				select {
				case s.lines <- line:
				case <-quit:
					return
				}
			}
			if err != nil {
				s.err = err
				return
			}
		}
	}()
	return s
}

// until waits for a line that has text in it and returns it.
func (s *source) until(t *testing.T, text string) string {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("the answer ended (%v) before a line had %q", s.err, text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			t.Fatalf("no line has come with %q", text)
		}
	}
}

// rest waits for the end of the body and returns the lines up to there.
func (s *source) rest(t *testing.T) (text string, err error) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return text, s.err
			}
			text += line
		case <-timeout:
			t.Fatal("the answer does not end")
		}
	}
}

// poll calls ready until it is true: for what tells nobody that it has happened,
// such as a file of another process that grows.
func poll(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ready(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}

// output runs a command to its end and returns what it wrote to stdout.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := start(t, cmd).wait(t); err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return out.Bytes()
}
