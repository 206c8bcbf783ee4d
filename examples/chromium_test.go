package examples

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chrome is the one browser of all tests. The first page starts it, TestMain ends it.
var chrome browser

// A browser is a headless Chromium that is driven by the DevTools protocol, over
// two pipes: JSON messages with a NUL after each.
type browser struct {
	start sync.Once
	dir   string
	cmd   *exec.Cmd
	err   error

	mu      sync.Mutex
	to      io.WriteCloser
	last    int
	waiting map[int]chan message // requests without an answer yet; nil when the browser has gone
}

// A message is a request, an answer, or what the browser tells.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

func (b *browser) run(path string) error {
	dir, err := os.MkdirTemp("", "leat-chromium")
	if err != nil {
		return err
	}
	b.dir = dir
	hear, to, err := os.Pipe()
	if err != nil {
		return err
	}
	from, say, err := os.Pipe()
	if err != nil {
		return err
	}
	b.cmd = exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
		"--autoplay-policy=no-user-gesture-required", "--user-data-dir="+dir, "--remote-debugging-pipe")
	b.cmd.ExtraFiles = []*os.File{hear, say} // descriptors 3 and 4
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	hear.Close()
	say.Close()
	b.to, b.waiting = to, map[int]chan message{}
	// Owned by the browser; ends when its process does.
	go b.listen(bufio.NewReader(from))
	return nil
}

func (b *browser) listen(from *bufio.Reader) {
	for {
		text, err := from.ReadBytes(0)
		b.mu.Lock()
		if err != nil {
			for _, c := range b.waiting {
				close(c)
			}
			b.waiting = nil
			b.mu.Unlock()
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) == nil && b.waiting[m.ID] != nil {
			b.waiting[m.ID] <- m // it has room for one
			delete(b.waiting, m.ID)
		}
		b.mu.Unlock()
	}
}

// call makes a request, of a page if there is a session, and returns the result.
func (b *browser) call(session, method string, params any) (json.RawMessage, error) {
	answer := make(chan message, 1)
	b.mu.Lock()
	if b.waiting == nil {
		b.mu.Unlock()
		return nil, errors.New("the browser has gone")
	}
	b.last++
	text, err := json.Marshal(message{ID: b.last, SessionID: session, Method: method, Params: params})
	if err == nil {
		b.waiting[b.last] = answer
		_, err = b.to.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case m, ok := <-answer:
		if !ok {
			return nil, errors.New("the browser has gone")
		}
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error)
		}
		return m.Result, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: no answer", method)
	}
}

func (b *browser) close() {
	if b.cmd == nil {
		return
	}
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	_ = b.cmd.Wait() // it was killed
	os.RemoveAll(b.dir)
}

// A tab shows one page, with storage and cookies of its own.
type tab struct {
	t       *testing.T
	session string
	context string
	closed  bool
}

// visit shows a page of the site until the end of the test.
func (s *site) visit(t *testing.T, path string) *tab {
	t.Helper()
	chromium := program(t, "chromium", "chromium")
	chrome.start.Do(func() { chrome.err = chrome.run(chromium) })
	if chrome.err != nil {
		t.Fatal(chrome.err)
	}
	page := &tab{t: t}
	var made struct{ BrowserContextID, TargetID, SessionID string }
	page.ask("Target.createBrowserContext", map[string]any{}, &made)
	page.ask("Target.createTarget", map[string]any{"url": s.url + path, "browserContextId": made.BrowserContextID}, &made)
	page.ask("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &made)
	page.session, page.context = made.SessionID, made.BrowserContextID
	t.Cleanup(func() {
		if t.Failed() && !page.closed {
			text, _ := page.try(`window.told ? JSON.stringify(told) : document.body.innerText`)
			t.Logf("the page %s shows:\n%s", path, text)
		}
		page.close()
	})
	page.until(`document.readyState === 'complete' && location.href !== 'about:blank'`)
	return page
}

// close closes it as the window of a browser is closed.
func (p *tab) close() {
	if !p.closed {
		p.closed = true
		_, _ = chrome.call("", "Target.disposeBrowserContext", map[string]any{"browserContextId": p.context}) // it may be gone
	}
}

func (p *tab) ask(method string, params, result any) {
	p.t.Helper()
	text, err := chrome.call(p.session, method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(text, result)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// eval returns the value of a JavaScript expression in the page, as text. A promise
// is waited for.
func (p *tab) eval(js string) string {
	p.t.Helper()
	value, thrown := p.try(js)
	if thrown != "" {
		p.t.Fatalf("%s: %s", js, thrown)
	}
	return value
}

func (p *tab) try(js string) (value, thrown string) {
	p.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	p.ask("Runtime.evaluate", map[string]any{"expression": js, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &got)
	if got.ExceptionDetails != nil {
		return "", "throws " + got.ExceptionDetails.Exception.Description
	}
	if got.Result.Value == nil {
		return "", ""
	}
	return fmt.Sprint(got.Result.Value), ""
}

// until waits for an expression to be true. The page may be loading meanwhile, so it
// is asked again and again.
func (p *tab) until(js string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		value, _ := p.try(js)
		if value == "true" {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("in vain waited for %s", js)
		}
	}
}

// lines returns the text of each element that matches the selector.
func (p *tab) lines(selector string) []string {
	p.t.Helper()
	text := p.eval(fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.textContent).join('\n')`, selector))
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// has waits until so many elements match the selector.
func (p *tab) has(selector string, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelectorAll(%q).length === %d`, selector, n))
}

// reload loads the page anew, and returns when the old one has gone.
func (p *tab) reload() {
	p.t.Helper()
	p.eval(`window.old = true, location.reload()`)
	p.until(`!window.old && document.readyState === 'complete'`)
}

// click clicks on the element that matches the selector.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`document.querySelector(%q).click()`, selector))
}

// fill sets the value of a field.
func (p *tab) fill(selector, value string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`document.querySelector(%q).value = %q`, selector, value))
}
