package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
)

// overLab runs a test over a server with the lab. What asks /api has connections of its
// own: those are out of the lab's reach.
func overLab(t *testing.T, test func(s, operator *service)) {
	s := start(t, server.Options{Store: memory(t), Lab: true}, protocols["HTTP/1.1"])
	operator := *s
	tp := &http.Transport{}
	operator.client = &http.Client{Transport: tp}
	t.Cleanup(tp.CloseIdleConnections)
	test(s, &operator)
}

// wirePiece is an event of /api/lab/wire.
type wirePiece struct {
	Conn uint64
	At   int64
	Dir  string
	Data []byte
}

// wire watches the wire from now on.
func (s *service) wire(fields ...string) func() wirePiece {
	s.t.Helper()
	resp := s.do("GET", "/api/lab/wire", "", fields...)
	if resp.StatusCode != 200 {
		s.t.Fatalf("/api/lab/wire: status %d, %v", resp.StatusCode, s.read(resp))
	}
	d := sse.NewDecoder(resp.Body, nil)
	return func() (p wirePiece) {
		s.t.Helper()
		ev, err := d.Next()
		if err == nil {
			err = json.Unmarshal(ev.Data, &p)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return p
	}
}

// The lab sees a request and its answer as they are on the wire: heads, chunks, fields.
func TestLabWire(t *testing.T) {
	overLab(t, func(s, operator *service) {
		next := operator.wire()
		lines := s.lines("topic=a&lane=7")
		first := readLines(t, lines, 1)
		var in, out strings.Builder
		for p := next(); ; p = next() {
			if p.Conn == 0 || time.Since(time.UnixMicro(p.At)) > time.Minute {
				t.Errorf("%+v", p)
			}
			if p.Dir == "in" {
				in.Write(p.Data)
			} else {
				out.Write(p.Data)
			}
			if strings.HasSuffix(out.String(), first+"\r\n") {
				break
			}
		}
		if !strings.HasPrefix(in.String(), "GET /events?as=ndjson&topic=a&lane=7 HTTP/1.1\r\n") {
			t.Errorf("the request is %q", in.String())
		}
		if got := out.String(); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n2b\r\n"+first+"\r\n") {
			t.Errorf("the answer is %q", got)
		}
	})
}

// Cut breaks the connections of readers, and a stall holds them up until it ends; the
// connection that watches stays.
func TestLabHarms(t *testing.T) {
	overLab(t, func(s, operator *service) {
		next := operator.wire()
		lines := s.lines("topic=a")
		readLines(t, lines, 1)
		if resp := operator.do("POST", "/api/lab/cut", ""); resp.StatusCode != 200 || operator.read(resp)["cut"].(float64) < 1 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if rest, err := io.ReadAll(lines); err == nil {
			t.Errorf("the reader ends well, with %q", rest)
		}
		for next().Dir != "closed" {
		}
		lines = s.lines("topic=a")
		readLines(t, lines, 1)
		if resp := operator.do("POST", "/api/lab/stall?for=1m", ""); resp.StatusCode != 204 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		id := operator.publish("a", "late")
		resp := operator.do("POST", "/api/lab/stall?for=0s", "")
		if line := readLines(t, lines, 1); !strings.Contains(line, id) || resp.StatusCode != 204 {
			t.Errorf("%s, status %d", line, resp.StatusCode)
		}
		for _, d := range []string{"", "-1s", "61s", "soon"} {
			if resp := operator.do("POST", "/api/lab/stall?for="+d, ""); resp.StatusCode != 400 {
				t.Errorf("for=%s: status %d", d, resp.StatusCode)
			}
		}
	})
}

// A stream of the wire ends when the server stops: Shutdown does not wait for it.
func TestLabEnds(t *testing.T) {
	overLab(t, func(s, operator *service) {
		resp := operator.do("GET", "/api/lab/wire", "")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
	})
}

// The harmful controls are there in the lab alone.
func TestNoLab(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for _, r := range []string{"GET /api/lab/wire", "POST /api/lab/cut", "POST /api/lab/stall?for=1s", "GET /api/else", "GET /api/"} {
		method, path, _ := strings.Cut(r, " ")
		want := map[bool]int{true: 200, false: 404}[path == "/api/"]
		if resp := s.do(method, path, ""); resp.StatusCode != want {
			t.Errorf("%s: status %d", r, resp.StatusCode)
		}
	}
	if resp := s.do("PUT", "/api", ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET" {
		t.Errorf("PUT: status %d, %v", resp.StatusCode, resp.Header)
	}
	if a := s.read(s.do("GET", "/api", "")); a["durability"] != "memory" || a["lab"] != false {
		t.Errorf("%v", a)
	}
}

// /api is for programs on this machine: not for those that a proxy asks for, nor for
// pages of other origins, whatever these may read. With a token it is for who has it.
func TestAPIAccess(t *testing.T) {
	serve := func(o server.Options) func(from, host string, fields ...string) (int, answer) {
		o.Store = memory(t)
		srv, err := server.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.Shutdown(context.Background()) })
		return func(from, host string, fields ...string) (int, answer) {
			r := httptest.NewRequest("GET", "/api", nil)
			r.RemoteAddr, r.Host = from, host
			local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
			if !strings.HasPrefix(from, "127.") && !strings.HasPrefix(from, "[::1]") {
				local.IP = net.IPv4(192, 0, 2, 1)
			}
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
			for i := 0; i < len(fields); i += 2 {
				r.Header.Set(fields[i], fields[i+1])
			}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			var a answer
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			return w.Code, a
		}
	}
	type request struct {
		from, host string
		fields     []string
		status     int
		code       string
	}
	check := func(name string, o server.Options, requests []request) {
		get := serve(o)
		for _, r := range requests {
			code := ""
			status, a := get(r.from, r.host, r.fields...)
			if status != 200 {
				code, _ = a["code"].(string)
			}
			if status != r.status || code != r.code {
				t.Errorf("%s: %+v: status %d, %v", name, r, status, a)
			}
		}
	}
	const here, there = "127.0.0.1:5000", "192.0.2.7:5000"
	check("without a token", server.Options{CORSOrigins: []string{"*", "https://friend.example"}, AllowHosts: []string{"leat.example"}}, []request{
		{here, "127.0.0.1:8080", nil, 200, ""},
		{here, "localhost", []string{"Origin", "http://localhost", "Sec-Fetch-Site", "same-origin"}, 200, ""},
		{"[::1]:5000", "[::1]:8080", nil, 200, ""},
		{there, "127.0.0.1:8080", nil, 403, "unauthorized"},
		{there, "leat.example", nil, 403, "unauthorized"},
		{here, "leat.example", nil, 403, "unauthorized"}, // a proxy that passes the Host on
		{here, "localhost", []string{"X-Forwarded-For", "192.0.2.7"}, 403, "unauthorized"},
		{here, "localhost", []string{"Forwarded", "for=192.0.2.7"}, 403, "unauthorized"},
		{here, "localhost", []string{"Via", "1.1 proxy"}, 403, "unauthorized"},
		{here, "localhost", []string{"Origin", "https://foe.example", "Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		{here, "localhost", []string{"Origin", "https://friend.example", "Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		{here, "localhost", []string{"Origin", "http://2.localhost"}, 403, "cross_origin"},
	})
	check("with a token", server.Options{APIToken: "secret"}, []request{
		{here, "localhost", nil, 401, "token_invalid"},
		{there, "leat.example", []string{"Authorization", "Bearer secret"}, 200, ""},
		{there, "leat.example", []string{"Authorization", "bearer secret"}, 200, ""},
		{there, "leat.example", []string{"Authorization", "Bearer secrets"}, 401, "token_invalid"},
		{there, "leat.example", []string{"Authorization", "Bearer "}, 401, "token_invalid"},
		{there, "leat.example", []string{"Authorization", "Basic secret"}, 401, "token_invalid"},
	})
}

// The lanes of the lab are names of this machine of their own, since browsers allow six
// connections to each; only in the lab, and only with the server's port.
func TestLabNeighbours(t *testing.T) {
	for _, lab := range []bool{true, false} {
		s := start(t, server.Options{Store: memory(t), Lab: lab}, protocols["HTTP/1.1"])
		port := s.url[strings.LastIndex(s.url, ":"):]
		for origin, neighbour := range map[string]bool{
			"http://localhost" + port: true, "http://127.0.0.1" + port: true, "http://3.localhost" + port: true,
			"http://localhost:1": false, "https://localhost" + port: false, "http://localhost.foe.example" + port: false, "null": false,
		} {
			may := lab && neighbour
			resp := s.do("GET", "/events?topic=a&as=json&wait=0s", "", "Origin", origin, "Host", "1.localhost"+port)
			if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != 200 || (got == origin) != may {
				t.Errorf("lab %v: a page of %s: status %d, allowed %q", lab, origin, resp.StatusCode, got)
			}
			resp = s.do("POST", "/events?topic=a", "x", "Content-Type", "text/plain", "Origin", origin, "Sec-Fetch-Site", "cross-site", "Host", "1.localhost"+port)
			if want := map[bool]int{true: 200, false: 403}[may]; resp.StatusCode != want {
				t.Errorf("lab %v: a page of %s publishes: status %d", lab, origin, resp.StatusCode)
			}
		}
	}
}

// subscribers lists them all.
func (s *service) subscribers(query string) []map[string]any {
	s.t.Helper()
	resp := s.do("GET", "/api/subscribers"+query, "")
	var list []map[string]any
	for _, sub := range s.read(resp)["subscribers"].([]any) {
		list = append(list, sub.(map[string]any))
	}
	return list
}

// The list of subscribers says who reads what, from where, how far it has come and how
// much it was sent; who has left is not in it.
func TestSubscribers(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		first := s.publish("a", "1")
		quick := s.subscribe("topic=a&topic=b/*&from=start")
		quick.next()
		quick.next()
		lines := s.lines("topic=a")
		readLines(t, lines, 1)
		s.untilReaders(2)
		until := func(what string, is func(all []map[string]any) bool) {
			t.Helper()
			for all := s.subscribers(""); ; all = s.subscribers("") {
				if is(all) {
					return
				}
				if t.Context().Err() != nil {
					t.Fatalf("%s: %v", what, all)
				}
			}
		}
		all := s.subscribers("")
		if len(all) != 2 {
			t.Fatalf("%v", all)
		}
		e, l := all[0], all[1]
		version := map[bool]string{true: "http/2", false: "http/1.1"}[strings.Contains(t.Name(), "HTTP/2")]
		if e["format"] != "sse" || l["format"] != "ndjson" || e["surface"] != "events" || e["transport"] != version {
			t.Errorf("%v\n%v", e, l)
		}
		if topics := fmt.Sprint(e["topics"]); topics != "[a b/*]" {
			t.Errorf("topics %s", topics)
		}
		if since, err := time.Parse(time.RFC3339, e["since"].(string)); err != nil || time.Since(since) > time.Minute || !strings.HasPrefix(e["remote"].(string), "127.0.0.1:") {
			t.Errorf("%v", e)
		}
		until("the reader has come to "+first, func(all []map[string]any) bool {
			return all[0]["cursor"] == first && all[0]["lag"].(float64) == 0 && all[0]["more"] == false && all[0]["bytes"].(float64) > 40
		})
		if page := s.subscribers("?limit=1"); len(page) != 1 || page[0]["id"] != e["id"] {
			t.Errorf("the first page: %v", page)
		}
		if page := s.subscribers(fmt.Sprintf("?limit=1&after=%v", e["id"])); len(page) != 1 || page[0]["id"] != l["id"] {
			t.Errorf("the second page: %v", page)
		}
		if resp := s.do("GET", "/api/subscribers?limit=1", ""); s.read(resp)["next"] != e["id"] {
			t.Error("the first page does not say how to go on")
		}
		quick.close()
		until("it has left", func(all []map[string]any) bool { return len(all) == 1 && all[0]["id"] == l["id"] })
		for _, q := range []string{"limit=0", "limit=1001", "after=x"} {
			if resp := s.do("GET", "/api/subscribers?"+q, ""); resp.StatusCode != 400 {
				t.Errorf("%s: status %d", q, resp.StatusCode)
			}
		}
	})
}

// A subscriber that is dismissed is told why, where its form has a place for that, and
// when to come back; the others stay. One that has taken nothing goes too.
func TestDismiss(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.publish("a", "1")
		s.do("PUT", "/streams/raw", "", "Content-Type", "text/plain")
		stays := s.lines("topic=a")
		readLines(t, stays, 1)
		events := s.do("GET", "/events?topic=a", "")
		lines := s.lines("topic=a")
		raw := s.do("GET", "/streams/raw?follow=1", "")
		s.untilReaders(4)
		dismiss := func(i int, query string) int {
			t.Helper()
			return s.do("DELETE", fmt.Sprintf("/api/subscribers/%v%s", s.subscribers("")[i]["id"], query), "").StatusCode
		}
		if status := dismiss(1, "?reason=too%0Agreedy"); status != 204 {
			t.Errorf("status %d", status)
		}
		body, err := io.ReadAll(events.Body)
		if err != nil || !regexp.MustCompile(`\n: leat: disconnected: too\n: greedy\n\nretry: \d{4,5}\n\nid: \d+_\d+\nevent: leat.cursor\ndata: \n\n$`).Match(body) {
			t.Errorf("the event stream ends with %q, %v", body, err)
		}
		s.untilReaders(3)
		if status := dismiss(1, ""); status != 204 {
			t.Errorf("status %d", status)
		}
		rest, err := io.ReadAll(lines)
		if err != nil || !regexp.MustCompile(`\n\{"id":"\d+_\d+","retry":\d{4,5},"disconnected":"by the operator"\}\n$`).Match(rest) {
			t.Errorf("the lines end with %q, %v", rest, err)
		}
		s.untilReaders(2)
		dismiss(1, "")
		if rest, err := io.ReadAll(raw.Body); err == nil {
			t.Errorf("raw bytes end well, with %q", rest)
		}
		s.untilReaders(1)
		id := s.publish("a", "2")
		if line := readLines(t, stays, 1); !strings.Contains(line, id) {
			t.Errorf("the one that stays: %s", line)
		}
		if n := s.srv.Metrics().Left["dismissed"]; n != 3 {
			t.Errorf("%d were dismissed", n)
		}
		if resp := s.do("DELETE", "/api/subscribers/1000", ""); resp.StatusCode != 404 {
			t.Errorf("nobody: status %d", resp.StatusCode)
		}
		if resp := s.do("DELETE", "/api/subscribers/1?reason="+strings.Repeat("x", 201), ""); resp.StatusCode != 400 {
			t.Errorf("a long reason: status %d", resp.StatusCode)
		}
	})
}

// A tap shows what a subscriber is sent, piece by piece, and ends when it leaves.
func TestTap(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		lines := s.lines("topic=a")
		readLines(t, lines, 1)
		s.untilReaders(1)
		path := fmt.Sprintf("/api/subscribers/%v", s.subscribers("")[0]["id"])
		tap := s.do("GET", path+"/tap", "")
		d := sse.NewDecoder(tap.Body, nil)
		var got, want strings.Builder
		for i := range 20 {
			s.publish("a", strconv.Itoa(i))
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			want.WriteString(line)
		}
		for got.Len() < want.Len() {
			ev, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			var p wirePiece
			if err := json.Unmarshal(ev.Data, &p); err != nil || p.Dir != "out" {
				t.Fatalf("%s, %v", ev.Data, err)
			}
			got.Write(p.Data)
		}
		if got.String() != want.String() {
			t.Errorf("the tap shows %q, want %q", got.String(), want.String())
		}
		s.do("DELETE", path, "")
		if ev, err := d.Next(); err != nil || !strings.Contains(string(ev.Data), base64.StdEncoding.EncodeToString([]byte(`{"id":`))) {
			t.Errorf("the dismissal: %v, %v", ev, err)
		}
		if _, err := d.Next(); err != io.EOF {
			t.Errorf("it goes on: %v", err)
		}
		if resp := s.do("GET", path+"/tap", ""); resp.StatusCode != 404 {
			t.Errorf("a tap of who has left: status %d", resp.StatusCode)
		}
	})
}

// /api/metrics has the figures of Metrics.
func TestAPIMetrics(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.publish("a", "12345")
		m := s.read(s.do("GET", "/api/metrics", ""))
		if p := m["published"].(map[string]any); p["records"] != 1.0 || p["bytes"] != 5.0 || m["durability"] != "memory" || m["commits"].(map[string]any)["count"] != 1.0 {
			t.Errorf("%v", m)
		}
	})
}
