//go:build linux && !race

package real

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// uploads are the bodies that are stored as they arrive.
var uploads = map[string]struct{ streamType, path, bodyType, line string }{
	"bytes":     {"text/plain", "/streams/s?append=stream", "text/plain", "record %d\n"},
	"lines":     {"application/json", "/streams/s", "application/x-ndjson", "\"record %d\"\n"},
	"envelopes": {"text/plain", "/events", "application/x-ndjson", `{"topic":"s","data":"record %d"}` + "\n"},
}

// "Uploads: line 1 reaches a reader before line 2 is sent", through nginx as
// documented. Otherwise it collects the body first.
func TestNginxPassesUploadsOn(t *testing.T) {
	t.Parallel()
	const off = " proxy_request_buffering off;"
	for how, test := range map[string]struct {
		site site
		held bool
	}{
		"plain":              {plain, true},
		"plain, off":         {site{location: plain.location + off}, true}, // it takes HTTP/1.1 too
		"keep-alive":         {keepAlive, true},
		"documented":         {documented(t), false},
		"documented, HTTP/2": {documented(t).overHTTP2(), false},
	} {
		for what, up := range uploads {
			t.Run(how+"/"+what, func(t *testing.T) {
				s := serve(t)
				p := nginx(t, s, test.site)
				s.put(t, "s", up.streamType)
				direct, err := http.Get(s.url + "/streams/s?as=sse")
				if err != nil {
					t.Fatal(err)
				}
				lines := read(t, direct.Body)
				body, in := io.Pipe()
				defer in.Close()
				answered := make(chan string)
				// Ends with the answer, or with the test.
				go func() {
					defer close(answered)
					resp, err := p.client.Post(p.url+up.path, up.bodyType, body)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					text, _ := io.ReadAll(resp.Body)
					answered <- resp.Status + " " + string(text)
				}()
				send := func(n int) {
					if _, err := fmt.Fprintf(in, up.line, n); err != nil {
						t.Fatal(err)
					}
				}
				send(1)
				if test.held {
					s.append(t, "s", up.streamType, `"something else"`)
					if line := lines.until(t, "data: \""); !strings.Contains(line, "something else") {
						t.Errorf("nginx did not hold the body back: %s", line)
					}
				} else {
					lines.until(t, "record 1")
				}
				send(2)
				if !test.held {
					lines.until(t, "record 2")
				}
				in.Close()
				if got := <-answered; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"count":`) {
					t.Errorf("the answer is %s", got)
				}
				if test.held {
					lines.until(t, "record 1")
					lines.until(t, "record 2")
				}
			})
		}
	}
}

// What an upload is refused with that is larger than nginx allows by default.
func TestNginxAndLargeUploads(t *testing.T) {
	t.Parallel()
	for how, test := range map[string]struct {
		site site
		want int
	}{"plain": {plain, 413}, "documented": {documented(t), 200}} {
		t.Run(how, func(t *testing.T) {
			s := serve(t)
			p := nginx(t, s, test.site)
			s.put(t, "s", "application/octet-stream")
			body := struct{ io.Reader }{io.LimitReader(content(), 3<<20)} // of unknown length
			resp := p.do(t, "POST", "/streams/s?append=stream", body)
			if resp.StatusCode != test.want {
				text, _ := io.ReadAll(resp.Body)
				t.Errorf("%s, want %d: %s", resp.Status, test.want, text)
			}
		})
	}
}

// Raw bytes have no heartbeat: a quiet reader of them is cut after
// proxy_read_timeout, and sees that it was. curl -C - goes on. Events go on
// anyway, and a long poll that waits for longer gets nginx's own answer.
func TestNginxCutsWhatIsQuiet(t *testing.T) {
	t.Parallel()
	curl := program(t, "curl", "curl")
	s := serve(t)
	hasty := documented(t)
	hasty.location = regexp.MustCompile(`proxy_read_timeout \S+;`).ReplaceAllString(hasty.location, "proxy_read_timeout 2s;")
	p := nginx(t, s, hasty)
	s.put(t, "s", "text/plain")
	s.append(t, "s", "text/plain", "one\n")
	_, events := p.follow(t, 200, "/events?topic=s&from=start&heartbeat=1s")
	if _, data := events.event(t); data != "one" {
		t.Errorf("the first event is %q", data)
	}
	file := filepath.Join(t.TempDir(), "file")
	follow := func() *child {
		return start(t, exec.Command(curl, "-sS", "-N", "-C", "-", "-o", file, p.url+"/streams/s?follow=1"))
	}
	reader := follow()
	if resp := p.do(t, "GET", "/events?topic=s&as=json&wait=10s", nil); resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("a poll that waits for longer than nginx: %s", resp.Status)
	}
	const partial = 18
	if err := reader.wait(t); exitStatus(err) != partial {
		t.Errorf("curl ended with %v, want exit status %d", err, partial)
	}
	reader = follow()
	s.append(t, "s", "text/plain", "two\n")
	if _, data := events.event(t); data != "two" {
		t.Errorf("after more than proxy_read_timeout came %q", data)
	}
	s.end(t, "s", "")
	if err := reader.wait(t); err != nil {
		t.Error("curl, when it had come back:", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "one\ntwo\n" {
		t.Errorf("then it has %q, %v", text, err)
	}
}

// A sender that is quiet for longer than client_body_timeout is cut too: what it
// sent is there, and a stream that it was to end has not ended as complete.
func TestNginxCutsAQuietUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	hasty := documented(t)
	hasty.location = regexp.MustCompile(`client_body_timeout \S+;`).ReplaceAllString(hasty.location, "client_body_timeout 1s;")
	p := nginx(t, s, hasty)
	s.put(t, "s", "text/plain")
	direct, err := http.Get(s.url + "/streams/s?as=sse")
	if err != nil {
		t.Fatal(err)
	}
	events := read(t, direct.Body)
	sender := exec.Command(program(t, "curl", "curl"), "-sS", "-f", "-T", "-", "-X", "POST", "-H", "Stream-Closed: true", p.url+"/streams/s?append=stream")
	in, err := sender.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	curl := start(t, sender)
	if _, err := io.WriteString(in, "half of it"); err != nil {
		t.Fatal(err)
	}
	if _, data := events.event(t); data != "half of it" {
		t.Errorf("what was sent is %q", data)
	}
	events.until(t, `"state":"truncated"`)
	in.Close()
	if err := curl.wait(t); err == nil {
		t.Error("curl takes it for a success")
	}
}

// nginx makes a weak tag of that of what it compresses. With a weak one nothing is
// resumed, as RFC 9110 has it: the whole comes again.
func TestNginxWeakensTags(t *testing.T) {
	t.Parallel()
	for how, test := range map[string]struct {
		site site
		want int
	}{"gzip": {compressing, 200}, "documented": {documented(t), 206}} {
		t.Run(how, func(t *testing.T) {
			s := serve(t)
			p := nginx(t, s, test.site)
			s.put(t, "s", "text/plain")
			s.append(t, "s", "text/plain", "all of it")
			tag := p.do(t, "GET", "/streams/s", nil, "Accept-Encoding", "gzip").Header.Get("ETag")
			if resp := p.do(t, "GET", "/streams/s", nil, "Range", "bytes=4-", "If-Range", tag); tag == "" || resp.StatusCode != test.want {
				t.Errorf("with the tag %s: %s, want %d", tag, resp.Status, test.want)
			}
		})
	}
}

// nginx sends the name of an upstream as Host, which is not one that a server on a
// loopback address knows.
func TestNginxSendsTheNameOfTheUpstream(t *testing.T) {
	t.Parallel()
	for how, test := range map[string]struct {
		flags []string
		want  int
	}{"by default": {nil, http.StatusMisdirectedRequest}, "allowed": {[]string{"--allow-host", "leat"}, 200}} {
		t.Run(how, func(t *testing.T) {
			p := nginx(t, serve(t, test.flags...), site{http: "upstream leat { server SERVER; }", location: "proxy_pass http://leat;"})
			if resp := p.do(t, "GET", "/healthz", nil); resp.StatusCode != test.want {
				t.Errorf("%s, want %d", resp.Status, test.want)
			}
		})
	}
}
