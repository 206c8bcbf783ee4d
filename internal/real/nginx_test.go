//go:build linux && !race

package real

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A proxy is an nginx in front of a server, and a client that speaks to it.
type proxy struct {
	*child
	url    string
	client *http.Client
}

// A site is what is not default in nginx's configuration. SERVER stands for the
// address of the server.
type site struct {
	main     string // outside of http
	http     string
	listen   string // options of listen
	location string
}

// The ways in which people put nginx in front of something.
var (
	plain = site{location: "proxy_pass http://SERVER;"}

	keepAlive = site{
		http: "upstream leat { server SERVER; keepalive 8; }",
		location: `proxy_pass http://leat; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host localhost;`,
	}

	compressing = site{
		http:     "gzip_types *; gzip_min_length 1; gzip_proxied any;",
		location: "proxy_pass http://SERVER;",
	}
)

// documented is the configuration of docs/operations.md.
func documented(t *testing.T) site {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```nginx\nlocation / \\{\n(.*?)\n\\}\n```").FindSubmatch(text)
	if found == nil || !strings.Contains(string(found[1]), "http://127.0.0.1:8080;") {
		t.Fatal("docs/operations.md has no configuration of nginx for a server at http://127.0.0.1:8080")
	}
	return site{location: strings.Replace(string(found[1]), "127.0.0.1:8080", "SERVER", 1)}
}

func (s site) overHTTP2() site {
	s.listen = "http2"
	return s
}

// nginx puts nginx in front of a server: with the configuration that Debian ships,
// in which only the site and the places of files are ours.
func nginx(t *testing.T, s *leat, site site) *proxy {
	t.Helper()
	path := program(t, "nginx", "nginx")
	dir := openDir(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	socket, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	text, err := os.ReadFile("/etc/nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	replace := func(pattern, by string) {
		found := regexp.MustCompile("(?m)^\\s*"+pattern+";$").FindAllString(config, -1)
		if len(found) != 1 {
			t.Fatalf("Debian's nginx.conf has %q for %s", found, pattern)
		}
		config = strings.Replace(config, found[0], by, 1)
	}
	replace(`pid \S+`, "pid "+dir+"/pid;\n"+site.main)
	replace(`error_log \S+`, "error_log stderr warn;")
	replace(`access_log \S+`, "access_log off;")
	replace(`include /etc/nginx/conf\.d/\*\.conf`, "")
	replace(`include /etc/nginx/sites-enabled/\*`, "include "+dir+"/site;")
	server := site.http + "\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		server += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	server += fmt.Sprintf("server { listen %s %s; location / {\n%s\n} }\n", ln.Addr(), site.listen, site.location)
	write(t, dir+"/nginx.conf", config)
	write(t, dir+"/site", strings.ReplaceAll(server, "SERVER", s.addr))

	cmd := exec.Command(path, "-e", "stderr", "-c", dir+"/nginx.conf", "-g", "daemon off;")
	// It takes over a socket that listens already, as from an nginx that it
	// replaces: so nobody else can have the port, and no request comes too early.
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Env = append(os.Environ(), "NGINX=3;")
	p := &proxy{child: start(t, cmd), url: "http://" + ln.Addr().String()}
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(site.listen == "")
	transport.Protocols.SetUnencryptedHTTP2(site.listen != "")
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport}
	return p
}

// openDir is a directory that nginx's workers can use, which are another user.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "leat-nginx")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// do sends a request through the proxy and returns the answer. fields are pairs of
// header names and values.
func (p *proxy) do(t *testing.T, method, path string, body io.Reader, fields ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(patience, cancel).Stop() // for the head; the body may take longer
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return resp
}

// follow begins to read an answer, which has to have the status.
func (p *proxy) follow(t *testing.T, status int, path string, fields ...string) (*http.Response, *source) {
	t.Helper()
	resp := p.do(t, "GET", path, nil, fields...)
	if resp.StatusCode != status {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("GET %s: %s, want %d: %s", path, resp.Status, status, text)
	}
	body := resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = struct {
			io.Reader
			io.Closer
		}{unpacked, body}
	}
	return resp, read(t, body)
}

// The forms in which a stream can be followed, whose name is to be in the place of
// NAME.
var forms = map[string]struct {
	path   string
	fields []string
	status int
	end    string // what the last line has; empty: there is none
}{
	"events of topics":     {"/events?topic=NAME&from=start", nil, 200, "leat.end"},
	"lines of topics":      {"/events?topic=NAME&from=start&as=ndjson", nil, 200, `"end":`},
	"events of one stream": {"/streams/NAME", []string{"Accept", "text/event-stream"}, 200, "leat.end"},
	"lines of one stream":  {"/streams/NAME", []string{"Accept", "application/x-ndjson"}, 200, `"end":`},
	"bytes":                {"/streams/NAME?follow=1", nil, 200, ""},
	"a range":              {"/streams/NAME?follow=1", []string{"Range", "bytes=7-"}, 206, ""},
	"a range of RFC 8673":  {"/streams/NAME", []string{"Range", "bytes=7-999999999999"}, 206, ""},
}

// "nginx from Debian in front, default configuration plus proxy_pass: SSE, NDJSON
// and ranges arrive event by event, over HTTP/1.1 and with gzip on": each record is
// appended when the one before it has come through.
func TestNginxPassesEachRecordOn(t *testing.T) {
	t.Parallel()
	for how, site := range map[string]site{
		"plain": plain, "keep-alive": keepAlive, "gzip": compressing,
		"documented": documented(t), "documented, HTTP/2": documented(t).overHTTP2(),
	} {
		s := serve(t)
		p := nginx(t, s, site)
		for what, form := range forms {
			t.Run(how+"/"+what, func(t *testing.T) {
				name := strings.ReplaceAll(what, " ", "-")
				s.put(t, name, "text/plain")
				s.append(t, name, "text/plain", "before\n")
				resp, lines := p.follow(t, form.status, strings.Replace(form.path, "NAME", name, 1), append(form.fields, "Accept-Encoding", "gzip")...)
				// nginx compresses no part of anything.
				packed := how == "gzip" && form.status == 200
				if got := resp.Header.Get("Content-Encoding"); (got == "gzip") != packed {
					t.Errorf("Content-Encoding: %q", got)
				}
				for n := range 3 {
					text := fmt.Sprintf("record %d", n)
					s.append(t, name, "text/plain", text+"\n")
					lines.until(t, text)
				}
				s.end(t, name, "")
				if form.end != "" {
					lines.until(t, form.end)
				}
				if _, err := lines.rest(t); err != io.EOF {
					t.Errorf("the end is %v", err)
				}
			})
		}
	}
}

// A raw stream that broke off is told from a complete one, if nginx speaks HTTP/1.1
// to the server.
func TestNginxPassesACutOn(t *testing.T) {
	t.Parallel()
	for how, test := range map[string]struct {
		site site
		want error
	}{
		"plain":      {plain, io.EOF}, // HTTP/1.0: there is no telling
		"keep-alive": {keepAlive, io.ErrUnexpectedEOF},
		"documented": {documented(t), io.ErrUnexpectedEOF},
	} {
		t.Run(how, func(t *testing.T) {
			s := serve(t)
			p := nginx(t, s, test.site)
			s.put(t, "s", "text/plain")
			_, lines := p.follow(t, 200, "/streams/s?follow=1")
			s.append(t, "s", "text/plain", "half\n")
			lines.until(t, "half")
			s.end(t, "s", "aborted")
			if _, err := lines.rest(t); err != test.want {
				t.Errorf("it ended with %v, want %v", err, test.want)
			}
		})
	}
}

// A long poll waits, and is answered with what comes.
func TestNginxPassesALongPollOn(t *testing.T) {
	t.Parallel()
	for how, site := range map[string]site{"plain": plain, "keep-alive": keepAlive, "gzip": compressing, "documented": documented(t)} {
		t.Run(how, func(t *testing.T) {
			s := serve(t)
			p := nginx(t, s, site)
			answers := make(chan string)
			// Ends with the answer, or with the test.
			go func() {
				defer close(answers)
				resp, err := p.client.Get(p.url + "/events?topic=t&as=json")
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("%s, %v", resp.Status, err)
				}
				select {
				case answers <- string(text):
				case <-t.Context().Done():
				}
			}()
			poll(t, "the long poll is there", func() bool {
				_, text := request(t, "GET", s.url+"/healthz", nil, nil)
				return strings.Contains(string(text), `"subscribers":1`)
			})
			s.publish(t, "t", "it works")
			if text := <-answers; !strings.Contains(text, `"data":"it works"`) {
				t.Errorf("the answer is %s", text)
			}
		})
	}
}

// Who reads through nginx while it is reloaded keeps the connection, or loses it
// if there is a limit to that: then it comes back and goes on where it was.
func TestNginxReloads(t *testing.T) {
	t.Parallel()
	limited := documented(t)
	limited.main = "worker_shutdown_timeout 10ms;"
	for how, test := range map[string]struct {
		site site
		cut  bool
	}{"documented": {documented(t), false}, "with a limit": {limited, true}} {
		t.Run(how, func(t *testing.T) {
			s := serve(t)
			p := nginx(t, s, test.site)
			s.put(t, "s", "text/plain")
			s.append(t, "s", "text/plain", "one")
			_, lines := p.follow(t, 200, "/events?topic=s&from=start")
			id, data := lines.event(t)
			if data != "one" {
				t.Errorf("the first event is %q", data)
			}
			p.reload(t)
			if test.cut {
				_, _ = lines.rest(t) // however it ends
			}
			s.append(t, "s", "text/plain", "two")
			if test.cut {
				_, lines = p.follow(t, 200, "/events?topic=s", "Last-Event-ID", id)
			}
			if _, data := lines.event(t); data != "two" {
				t.Errorf("after the reload came %q", data)
			}
		})
	}
}

// event waits for the next record of an event stream, which has no type.
func (s *source) event(t *testing.T) (id, data string) {
	t.Helper()
	for {
		id := strings.TrimPrefix(s.until(t, "id: "), "id: ")
		if data, ok := strings.CutPrefix(s.until(t, ""), "data: "); ok { // else it is one of leat's own
			return strings.TrimSpace(id), strings.TrimSpace(data)
		}
	}
}

// reload has nginx read its configuration again, and waits until it has.
func (p *proxy) reload(t *testing.T) {
	t.Helper()
	workers := func() []string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(text))
	}
	before := workers()
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	poll(t, "new workers", func() bool {
		return slices.ContainsFunc(workers(), func(pid string) bool { return !slices.Contains(before, pid) })
	})
}
