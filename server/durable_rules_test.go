package server_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

// How a stream ended is told in every form, to those who wait for it and to those who
// come later; and an answer is whole that says so, also of a stream that broke off.
func TestDurableEndIsToldInEveryForm(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, end := range []string{"", "aborted", `error; reason="disk full"`, "truncated"} {
			s.make("a", "text/plain", "x")
			last := s.add("a", "text/plain", "y").header.Get("Stream-Next-Offset")
			waiting := s.durable("a", "offset=now")
			waiting.control()
			polled := make(chan fetched, 1)
			// Ended by the answer, which the end of the stream brings.
			go func() { polled <- s.fetch("GET", "/streams/a?offset=now&live=long-poll", "") }()
			s.untilReaders(2)
			if end == "truncated" {
				u := s.appending("/streams/a?append=stream", "text/plain", "Stream-Closed", "true")
				u.write(t, "z")
				if data, _ := waiting.data(); data != "z" {
					t.Fatalf("got %q", data)
				}
				u.CloseWithError(errGone)
				<-u.answer
				for s.fetch("HEAD", "/streams/a", "").header.Get("Stream-Closed") == "" {
				}
				if f := <-polled; f.body != "z" {
					t.Errorf("who waits gets %q", f.body)
				}
			} else {
				s.end("a", end)
				if f := <-polled; f.status != 204 || f.header.Get("Leat-End") != end || f.header.Get("Stream-Closed") != "true" {
					t.Errorf("%q: who waits gets %d, %v", end, f.status, f.header)
				}
			}
			state, _, _ := strings.Cut(end, ";")
			reason := map[bool]string{true: "disk full"}[strings.Contains(end, "reason")]
			events := func(what string, c told) {
				t.Helper()
				if !c.Closed || !c.UpToDate || c.End != state || c.Reason != reason {
					t.Errorf("%q, %s: %+v", end, what, c)
				}
			}
			events("who waits", waiting.control())
			now := s.fetch("GET", "/streams/a?offset=now", "").header.Get("Stream-Next-Offset")
			for _, at := range []string{"-1", zeroOffset, last, "now", now} {
				for _, live := range []string{"", "&live=long-poll"} {
					f := s.fetch("GET", "/streams/a?offset="+at+live, "")
					h := f.header
					if f.cut || h.Get("Stream-Closed") != "true" || h.Get("Leat-End") != end || h.Get("Stream-Up-To-Date") != "true" || h.Get("Stream-Next-Offset") != now || h.Get("Stream-Cursor") != "" {
						t.Errorf("%q, offset=%s%s: status %d, cut %v, %v", end, at, live, f.status, f.cut, h)
					}
					if f.status == 204 && h.Get("Cache-Control") != "no-store" {
						t.Errorf("%q, offset=%s%s: a 204 may be stored: %v", end, at, live, h)
					}
				}
			}
			for at, records := range map[string]int{"-1": 2, "now": 0, now: 0} {
				r := s.durable("a", "offset="+at)
				for range records {
					r.data()
				}
				if at == "-1" && end == "truncated" {
					r.data()
				}
				events("offset="+at, r.control())
			}
			s.fetch("DELETE", "/streams/a", "")
		}
	})
}

// "304 never hides a closing": the tag of an answer is another one when the stream has
// ended, in each form and at each place that reaches its end, and of forks.
func TestDurableTagsOfTheEnd(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 3}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "0123")
		s.fork("b", "a")
		for _, name := range []string{"a", "b"} {
			before := s.fetch("GET", "/streams/"+name+"?offset=-1", "").header.Get("Stream-Next-Offset")
			s.add(name, "text/plain", "45")
			last := s.add(name, "text/plain", "67").header.Get("Stream-Next-Offset")
			queries := []string{"offset=" + before, "offset=" + last, "offset=" + before + "&live=long-poll", "offset=" + zeroOffset, "offset=-1"}
			tags := map[string]string{}
			for _, query := range queries {
				tags[query] = s.fetch("GET", "/streams/"+name+"?"+query, "", "If-None-Match", `"x"`).header.Get("ETag")
			}
			s.end(name, "")
			for _, query := range queries {
				f := s.fetch("GET", "/streams/"+name+"?"+query, "", "If-None-Match", tags[query])
				all := f.header.Get("Stream-Up-To-Date") == "true"
				if want := map[bool]int{true: 200, false: 304}[all]; f.status != want || (f.header.Get("Stream-Closed") == "true") != all || tags[query] == "" {
					t.Errorf("%s?%s: after the end the tag %s brings %d, %v", name, query, tags[query], f.status, f.header)
				}
				again := s.fetch("GET", "/streams/"+name+"?"+query, "", "If-None-Match", s.fetch("GET", "/streams/"+name+"?"+query, "").header.Get("ETag"))
				if again.status != 304 || again.header.Get("Stream-Closed") != f.header.Get("Stream-Closed") {
					t.Errorf("%s?%s: its own tag brings %d, %v", name, query, again.status, again.header)
				}
			}
		}
	})
}

// The text of every number, duplicate members and escapes stay as they were written, on
// whatever way a record comes and in whatever form it goes, through a fork as well.
func TestJSONIsKeptInEveryForm(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		const text = `{"n":12345678901234567890,"n":1.10,"e":[1E+2,-0.0,1e400],"\u0065":"\u00fc\/ü","":null}`
		spaced := strings.ReplaceAll(text, ",", " ,\t")
		s.make("a", jsonType, "["+spaced+"]")
		s.add("a", jsonType, spaced)
		s.add("a", ndjsonType, spaced+"\n")
		s.add("a", sseType, "data: "+spaced+"\n\n")
		s.fetch("POST", "/events?topic=a", spaced, "Content-Type", jsonType).want(t, "publish", 200, "")
		s.fetch("POST", "/events", `{"topic":"a","data":`+spaced+"}\n", "Content-Type", ndjsonType).want(t, "envelope", 200, "")
		s.fork("b", "a")
		s.end("a", "")
		s.end("b", "")
		const n = 6
		array := "[" + strings.Repeat(text+",", n-1) + text + "]"
		for _, name := range []string{"a", "b"} {
			for _, query := range []string{"offset=-1", "offset=-1&live=long-poll", "as=bytes"} {
				if f := s.fetch("GET", "/streams/"+name+"?"+query, ""); f.body != array {
					t.Errorf("%s?%s: %s", name, query, f.body)
				}
			}
			for query, want := range map[string]string{"offset=-1&live=sse": "\ndata:[" + text + "]\n", "as=sse": "\ndata: " + text + "\n", "as=ndjson": `"data":` + text + "}\n"} {
				if f := s.fetch("GET", "/streams/"+name+"?"+query, ""); strings.Count(f.body, want) != n {
					t.Errorf("%s?%s: %s", name, query, f.body)
				}
			}
		}
		if f := s.fetch("GET", "/events?topic=a&from=start&as=json", ""); strings.Count(f.body, `"data":`+text+"}") != n {
			t.Errorf("/events: %s", f.body)
		}
	})
}

// Every byte of a text is in the forms of bytes as it was sent, newlines of each kind
// and characters that two appends share; events have whole lines and characters.
func TestDurableTextIsExact(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 1, LongPollTimeout: -1}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		parts := []string{"a\rb\r", "\nc\r\n\r\nd\n", "gr\xc3", "\xbcn \xf0", "\x9f", "\x98\x80.\n"}
		for _, part := range parts {
			s.add("a", "text/plain", part)
		}
		for _, live := range []string{"", "&live=long-poll"} {
			offset := "-1"
			for _, part := range parts {
				f := s.fetch("GET", "/streams/a?offset="+offset+live, "")
				if offset = f.header.Get("Stream-Next-Offset"); f.body != part {
					t.Errorf("%s: got %q, want %q", live, f.body, part)
				}
			}
		}
		all := strings.Join(parts, "")
		if got := s.content("a"); got != all {
			t.Errorf("the content is %q", got)
		}
		s.end("a", "")
		got := ""
		r := s.durable("a", "offset=-1")
		for range parts {
			data, _ := r.data()
			got += data
		}
		want := "a\nb\n\nc\n\nd\ngrün 😀.\n"
		if got != want {
			t.Errorf("events: %q, want %q", got, want)
		}
	})
}

// "Reads and writes that reach the server renew it, including offset=now, close-only
// and producer close-only; HEAD never": over HTTP, by a clock that is exact.
func TestDurableTTL(t *testing.T) {
	renews := map[string][]string{ // method, query and fields of a request
		"a catch-up":           {"GET", "?offset=-1"},
		"a catch-up, now":      {"GET", "?offset=now"},
		"a catch-up, 304":      {"GET", "?offset=-1", "If-None-Match", "*"},
		"a poll":               {"GET", "?offset=-1&live=long-poll"},
		"the content":          {"GET", ""},
		"an append":            {"POST", "", "Content-Type", "text/plain"},
		"the end":              {"POST", "", "Stream-Closed", "true"},
		"the end of producers": {"POST", "", "Stream-Closed", "true", "Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0"},
	}
	const ttl = time.Hour
	for what, request := range renews {
		for _, asked := range []string{"HEAD", request[0]} {
			synctest.Test(t, func(t *testing.T) {
				st := memstore.New(memstore.Options{})
				defer st.Close()
				srv, err := server.New(server.Options{Store: st, Loops: -1, LongPollTimeout: -1})
				if err != nil {
					t.Fatal(err)
				}
				defer srv.Shutdown(t.Context())
				do := func(method, query, body string, fields ...string) int {
					r := httptest.NewRequest(method, "http://localhost/streams/a"+query, strings.NewReader(body))
					for i := 0; i < len(fields); i += 2 {
						r.Header.Set(fields[i], fields[i+1])
					}
					w := httptest.NewRecorder()
					srv.ServeHTTP(w, r)
					return w.Code
				}
				if status := do("PUT", "", "x", "Content-Type", "text/plain", "Stream-TTL", fmt.Sprint(int(ttl/time.Second))); status != 201 {
					t.Fatalf("PUT: status %d", status)
				}
				time.Sleep(ttl - time.Second)
				body := map[bool]string{true: "y"}[what == "an append"]
				if status := do(asked, request[1], body, request[2:]...); status >= 400 {
					t.Errorf("%s with %s: status %d", what, asked, status)
				}
				time.Sleep(ttl - time.Second)
				want := map[bool]int{true: 404, false: 200}[asked == "HEAD"]
				if status := do("HEAD", "", ""); status != want {
					t.Errorf("after %s with %s: status %d, want %d", what, asked, status, want)
				}
			})
		}
	}
}

// If-Match takes the tag of an answer to an offset: it holds as long as nothing was
// appended to what that answer reached, in the same stream.
func TestIfMatchOfAnswers(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 1}, func(t *testing.T, s *service) {
		tag := func(name, offset string) string {
			return s.fetch("GET", "/streams/"+name+"?offset="+offset, "").header.Get("ETag")
		}
		post := func(what, name, tag string, status int) {
			t.Helper()
			s.fetch("POST", "/streams/"+name, "x", "Content-Type", "text/plain", "If-Match", tag).want(t, what, status, "")
		}
		s.make("a", "text/plain", "")
		empty := tag("a", "-1")
		post("empty", "a", empty, 204)
		s.make("c", "text/plain", "")
		post("empty content", "c", s.fetch("HEAD", "/streams/c", "").header.Get("ETag"), 204)
		post("no longer empty", "a", empty, 412)
		last := s.fetch("HEAD", "/streams/a", "").header.Get("Stream-Next-Offset")
		one := tag("a", "-1")
		post("one", "a", one, 204)
		post("one of two", "a", one, 412)
		post("the first of two", "a", tag("a", "-1"), 412)
		s.fork("b", "a")
		inherited := tag("b", last)
		post("a fork", "b", inherited, 204)
		post("a fork that was appended to", "b", inherited, 412)
		post("of several", "a", `"x", `+tag("a", last), 204)
		post("weak", "a", "W/"+tag("a", last), 412)
		s.fetch("DELETE", "/streams/b", "")
		s.fetch("DELETE", "/streams/a", "")
		s.make("a", "text/plain", "")
		post("another stream, as empty as that was", "a", empty, 412)
	})
}
