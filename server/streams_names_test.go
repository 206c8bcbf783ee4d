package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
)

// "Names are UTF-8, at most 512 bytes after one percent-decoding, compared as
// bytes; no empty, . or .. segments, no controls, no *; __ is reserved; no
// path-cleaning redirects."
func TestStreamNames(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct{ path, name string }{
			{"a", "a"},
			{"a%2Fb", "a/b"},
			{"a/b%252F%25", "a/b%2F%"},
			{"a+b;c=d:@!$&'(),~-._", "a+b;c=d:@!$&'(),~-._"},
			{"%61%20%3F%23", "a ?#"},
			{"na%C3%AFve/\u20ac", "naïve/€"},
			{"a..b/...", "a..b/..."},
			{"a__", "a__"},
			{strings.Repeat("%C3%A9", 256), strings.Repeat("é", 256)},
		} {
			f := s.fetch("PUT", "/streams/"+test.path, "", "Content-Type", "text/plain")
			f.want(t, test.path, 201, "")
			if info, err := s.st.Stream(t.Context(), test.name); err != nil || info.Version == 0 {
				t.Errorf("%s has not made %q: %v", test.path, test.name, err)
			}
			want := s.url + "/streams/" + (&url.URL{Path: test.name}).EscapedPath()
			if got, err := url.Parse(f.header.Get("Location")); err != nil || got.Path != "/streams/"+test.name || !strings.HasPrefix(want, got.Scheme+"://"+got.Host+"/") {
				t.Errorf("%s: Location %q", test.path, f.header.Get("Location"))
			}
			s.fetch("GET", "/streams/"+test.path, "").want(t, test.path, 200, "")
		}
		s.publish("a/c", "x")
		s.fetch("GET", "/streams/a%2Fc", "").want(t, "a topic", 200, "x")

		for _, path := range []string{
			"/", "/a", "a/", "a//b", "a%2F%2Fb", ".", "..", "a/..", "a/../b", "a/%2e%2e/b", "a/./b", "*", "a/*", "**", "__ds", "a/__b",
			"a%00", "a%0A", "%7F", "%FF", "a%C3", strings.Repeat("a", 513), strings.Repeat("%C3%A9", 256) + "a",
		} {
			for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
				resp := s.raw(method, "/streams/"+path)
				if resp.StatusCode != 400 || resp.Header.Get("Location") != "" {
					t.Errorf("%s /streams/%.20s: status %d, Location %q", method, path, resp.StatusCode, resp.Header.Get("Location"))
				}
			}
		}
		for _, path := range []string{"//streams/a", "/./streams/a", "/streams/../streams/a", "/streams", "/events/", "/events/../streams/a", "//events", "/x/../healthz", "//"} {
			if resp := s.raw("GET", path); resp.StatusCode != 404 && resp.StatusCode != 400 || resp.Header.Get("Location") != "" {
				t.Errorf("GET %s: status %d, Location %q", path, resp.StatusCode, resp.Header.Get("Location"))
			}
		}
	})
}

// raw sends a request whose path is sent as it stands.
func (s *service) raw(method, path string) *http.Response {
	s.t.Helper()
	u, _ := url.Parse(s.url)
	u.Opaque = "//" + u.Host + path
	req := (&http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{}}).WithContext(s.t.Context())
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// dial opens a connection that speaks HTTP/1.1 by hand.
func (s *service) dial() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn, bufio.NewReader(conn)
}

// What is no percent-encoding is no request.
func TestStreamNameCannotBeDecoded(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for _, path := range []string{"/streams/%", "/streams/%zz", "/streams/a%2"} {
		conn, r := s.dial()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 400 {
			t.Errorf("GET %s: %v, %v", path, resp, err)
		}
	}
}

// "405 (Method Not Allowed) … The origin server MUST generate an Allow header
// field" (RFC 9110, section 15.5.6); OPTIONS says the same, whatever the name.
func TestStreamMethods(t *testing.T) {
	const allow = "DELETE, GET, HEAD, OPTIONS, POST, PUT"
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, method := range []string{"PATCH", "TRACE", "LOCK", "get"} {
			f := s.fetch(method, "/streams/a", "")
			f.want(t, method, 405, "method_not_allowed")
			if f.header.Get("Allow") != allow {
				t.Errorf("%s: Allow %q", method, f.header.Get("Allow"))
			}
		}
		for _, path := range []string{"/streams/a", "/streams/none", "/streams/a//b"} {
			if f := s.fetch("OPTIONS", path, ""); f.status != 204 || f.header.Get("Allow") != allow {
				t.Errorf("OPTIONS %s: status %d, Allow %q", path, f.status, f.header.Get("Allow"))
			}
		}
		for _, path := range []string{"/streams/none", "/streams/none?as=sse", "/streams/none?as=ndjson", "/streams/none?follow=1", "/streams/none?as=bytes"} {
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
				body := map[string]string{"POST": "x"}[method]
				if f := s.fetch(method, path, body, "Content-Type", "text/plain"); f.status != 404 {
					t.Errorf("%s %s: status %d, %q", method, path, f.status, f.body)
				}
			}
		}
	})
}

// A page of an origin that is allowed may make, read and remove streams, and see
// the fields that it needs for that; one of another may not even change them.
func TestStreamCORS(t *testing.T) {
	const origin, other = "https://app.example", "https://evil.example"
	overProtocols(t, server.Options{CORSOrigins: []string{origin}}, func(t *testing.T, s *service) {
		f := s.fetch("OPTIONS", "/streams/a", "", "Origin", origin, "Access-Control-Request-Method", "DELETE", "Access-Control-Request-Headers", "range,if-range")
		methods, fields := strings.Split(f.header.Get("Access-Control-Allow-Methods"), ", "), strings.ToLower(f.header.Get("Access-Control-Allow-Headers"))
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			if !strings.Contains(strings.Join(methods, " ")+" ", method+" ") {
				t.Errorf("%s is not allowed: %v", method, methods)
			}
		}
		for _, field := range []string{"range", "if-range", "if-none-match", "last-event-id", "content-type", "stream-ttl", "stream-expires-at", "stream-closed", "leat-end", "leat-retention"} {
			if !strings.Contains(", "+fields+",", ", "+field+",") {
				t.Errorf("the field %s is not allowed: %s", field, fields)
			}
		}
		s.fetch("PUT", "/streams/a", "x", "Origin", origin, "Content-Type", "text/plain").want(t, "PUT", 201, "")
		f = s.fetch("GET", "/streams/a", "", "Origin", origin, "Range", "bytes=0-")
		exposed := f.header.Get("Access-Control-Expose-Headers")
		for field := range f.header {
			switch field {
			case "Accept-Ranges", "Content-Range", "Etag", "Stream-Next-Offset":
				if !strings.Contains(strings.ToLower(exposed), strings.ToLower(field)) {
					t.Errorf("%s is not exposed: %s", field, exposed)
				}
			}
		}
		if f.status != 206 || f.header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("GET: status %d, %v", f.status, f.header)
		}
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			s.fetch(method, "/streams/a", "x", "Origin", other, "Content-Type", "text/plain").want(t, method, 403, "cross_origin")
		}
		if f := s.fetch("OPTIONS", "/streams/a", "", "Origin", other, "Access-Control-Request-Method", "DELETE"); f.header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("preflight of another origin: %v", f.header)
		}
	})
}

// The streams below /v1/stream/ are those below /streams/, and Location says what the
// client calls them; a server can do without.
func TestStreamAlias(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		f := s.fetch("PUT", "/v1/stream/a/b", "x", "Content-Type", "text/plain")
		f.want(t, "PUT", 201, "")
		if got := f.header.Get("Location"); !strings.HasSuffix(got, "/v1/stream/a/b") {
			t.Errorf("Location %q", got)
		}
		s.fetch("POST", "/streams/a%2Fb", "y", "Content-Type", "text/plain").want(t, "POST", 204, "")
		s.fetch("GET", "/v1/stream/a/b", "").want(t, "GET", 200, "xy")
		s.fetch("GET", "/v1/stream/a//b", "").want(t, "no name", 400, "invalid_name")
	})
	s := start(t, server.Options{Store: memory(t), NoV1: true}, protocols["HTTP/1.1"])
	s.fetch("PUT", "/v1/stream/a", "x", "Content-Type", "text/plain").want(t, "without it", 404, "not_found")
	s.fetch("PUT", "/streams/a", "x", "Content-Type", "text/plain").want(t, "itself", 201, "")
}

// Which streams there are is told page by page, without those that have gone.
func TestStreamList(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		type page struct {
			Streams []struct {
				Name, ContentType, Offset, End string
				Records, Bytes                 int
			}
			Next string
		}
		list := func(query string) (p page) {
			t.Helper()
			f := s.fetch("GET", "/streams/?"+query, "")
			f.want(t, query, 200, `{"streams":[`)
			mustDecode(f.body, &p)
			return p
		}
		if p := list(""); len(p.Streams) > 0 || p.Next != "" {
			t.Errorf("of nothing: %+v", p)
		}
		var names []string
		for i := range 25 {
			name := fmt.Sprintf("a/%02d", i)
			s.make(name, "application/json", `["x","yz"]`)
			names = append(names, name)
		}
		s.publish("b", "x")
		s.make("a", "text/plain", "")
		s.end("a/03", "aborted")
		for _, name := range []string{"a/05", "a/20", "a/21"} {
			s.fetch("DELETE", "/streams/"+name, "")
		}
		var got []string
		for after, pages := "", 0; ; pages++ {
			p := list("prefix=a/&limit=4&after=" + url.QueryEscape(after))
			for _, m := range p.Streams {
				got = append(got, m.Name)
				end, records, bytes := "", 2, len(`"x""yz"`)
				if m.Name == "a/03" {
					end = "aborted"
				}
				next := s.fetch("HEAD", "/streams/"+m.Name, "").header.Get("Stream-Next-Offset")
				if m.ContentType != "application/json" || m.Offset != next || m.End != end || m.Records != records || m.Bytes != bytes {
					t.Errorf("%+v, and its end is %s", m, next)
				}
			}
			if after = p.Next; after == "" {
				if pages < 5 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		want := slices.DeleteFunc(names, func(name string) bool { return name == "a/05" || name == "a/20" || name == "a/21" })
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if p := list("limit=1000"); len(p.Streams) != len(want)+2 || p.Streams[0].Name != "a" || p.Next != "" {
			t.Errorf("all: %+v", p)
		}
		for _, limit := range []string{"0", "-1", "1001", "x"} {
			s.fetch("GET", "/streams/?limit="+limit, "").want(t, limit, 400, "invalid_parameter")
		}
		s.fetch("GET", "/v1/stream/?prefix=b", "").want(t, "the alias", 200, `"name":"b"`)
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			s.fetch(method, "/streams/", "x", "Content-Type", "text/plain").want(t, method, 400, "invalid_name")
		}
	})
}
