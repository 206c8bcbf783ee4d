package server_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
)

const zeroOffset = "0000000000000000_0000000000000000"

// The forms of the Durable Streams protocol that answer as a whole: where each answer
// goes, and what it says of the end.
func TestDurableCatchUp(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 10, LongPollTimeout: -1}, func(t *testing.T, s *service) {
		get := func(query string, fields ...string) fetched {
			return s.fetch("GET", "/streams/a?"+query, "", fields...)
		}
		s.make("a", "text/plain", "")
		get("offset=-1").wantChunk(t, "empty", 200, "", zeroOffset, "u")
		get("offset=now").wantChunk(t, "empty, now", 200, "", zeroOffset, "u")
		get("offset="+zeroOffset).wantChunk(t, "empty, its offset", 200, "", zeroOffset, "u")
		get("offset=-1&live=long-poll").wantChunk(t, "empty, live", 204, "", zeroOffset, "u")

		var at []string
		for _, text := range []string{"0123", "4567", "89ab", "cd", "", "e"} {
			f := s.add("a", "text/event-stream", "data: "+text+"\n\n")
			at = append(at, f.header.Get("Stream-Next-Offset"))
		}
		s.publish("other", "x")
		get("offset=-1").wantChunk(t, "a chunk", 200, "0123456789ab", at[2], "")
		get("offset="+at[1]).wantChunk(t, "the rest", 200, "89abcde", at[5], "u")
		get("offset="+at[2]+"&live=long-poll").wantChunk(t, "a poll with something", 200, "cde", at[5], "u")
		get("offset="+at[5]).wantChunk(t, "the end", 200, "", at[5], "u")
		get("offset=now").wantChunk(t, "now", 200, "", at[5], "u")
		get("offset="+at[5]+"&live=long-poll").wantChunk(t, "a poll at the end", 204, "", at[5], "u")

		s.end("a", `aborted; reason="gone"`)
		end := get("offset=now").header.Get("Stream-Next-Offset")
		if end <= at[5] {
			t.Errorf("the end is at %s, not after %s", end, at[5])
		}
		get("offset=-1").wantChunk(t, "a chunk of what has ended", 200, "0123456789ab", at[2], "")
		for query, status := range map[string]int{"offset=now": 200, "offset=" + end: 200, "offset=" + at[5]: 200, "offset=" + end + "&live=long-poll": 204, "offset=now&live=long-poll": 204} {
			f := get(query)
			f.wantChunk(t, "ended, "+query, status, "", end, "uc")
			if f.header.Get("Leat-End") != `aborted; reason="gone"` || f.header.Get("Stream-Cursor") != "" {
				t.Errorf("%s: %v", query, f.header)
			}
		}
		get("offset="+at[2]).wantChunk(t, "what has ended", 200, "cde", end, "uc")
	})
}

// "GET is always one array", with the text of every number and duplicate members.
func TestDurableJSON(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("json", "application/json", `[{"n":12345678901234567890,"n":1.10},[]]`)
		f := s.fetch("GET", "/streams/json?offset=-1", "")
		f.wantChunk(t, "JSON", 200, `[{"n":12345678901234567890,"n":1.10},[]]`, f.header.Get("Stream-Next-Offset"), "u")
		next := f.header.Get("Stream-Next-Offset")
		s.fetch("GET", "/streams/json?offset="+next, "").wantChunk(t, "JSON at the end", 200, "[]", next, "u")
		s.fetch("GET", "/streams/json?offset=now", "").wantChunk(t, "JSON, now", 200, "[]", next, "u")
	})
}

// What is no request of the protocol is refused, and what it does not know passed over.
func TestDurableRequests(t *testing.T) {
	overProtocols(t, server.Options{LongPollTimeout: -1}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "x")
		for _, query := range []string{
			"live=sse", "live=long-poll", "live=", "offset=-1&live=", "offset=-1&live=SSE", "offset=-1&live=true", "offset=-1&offset=-1",
			"offset=-1&live=sse&live=sse", "offset=-1&cursor=1&cursor=2",
		} {
			s.fetch("GET", "/streams/a?"+query, "").want(t, query, 400, "invalid_parameter")
		}
		for _, offset := range []string{"", "0", "-2", "Now", "1_2,3", "1_2+", "..", "1/2", "1_2%00", "1_2%0D%0A", "1_2%20", "start"} {
			s.fetch("GET", "/streams/a?offset="+offset, "").want(t, offset, 400, "invalid_offset")
		}
		for _, query := range []string{"offset=-1&from=x&as=x&follow=x&heartbeat=x&gap=x&utm=1", "offset=-1&cursor=x", "offset=-1&live=long-poll&cursor=99999999999999999999"} {
			f := s.fetch("GET", "/streams/a?"+query, "", "Accept", "text/event-stream", "Range", "bytes=1-")
			f.wantChunk(t, query, 200, "x", f.header.Get("Stream-Next-Offset"), "u")
		}
		for _, live := range []string{"", "&live=long-poll", "&live=sse"} {
			s.fetch("GET", "/streams/none?offset=now"+live, "").want(t, "no stream", 404, "not_found")
		}
	})
}

// "ETag … MUST change on closing": 304 never hides that a stream has ended, nor one
// content another.
func TestDurableTags(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 4}, func(t *testing.T, s *service) {
		tail := s.make("a", "text/plain", "0123").header.Get("Stream-Next-Offset")
		seen := map[string]string{}
		look := func(query string) {
			t.Helper()
			f := s.fetch("GET", "/streams/a?"+query, "")
			tag, content := f.header.Get("ETag"), fmt.Sprint(f.body, f.header["Stream-Next-Offset"], f.header["Stream-Closed"])
			if other, ok := seen[tag]; tag == "" || ok && other != content {
				t.Errorf("%s: the tag %s is of %s and of %s", query, tag, other, content)
			}
			seen[tag] = content
			for tag := range seen {
				again := s.fetch("GET", "/streams/a?"+query, "", "If-None-Match", tag)
				switch same := tag == f.header.Get("ETag"); {
				case same && (again.status != 304 || again.body != "" || again.header.Get("Stream-Next-Offset") != f.header.Get("Stream-Next-Offset")):
					t.Errorf("%s: its own tag brings %d %q", query, again.status, again.body)
				case !same && again.status != 200:
					t.Errorf("%s: the tag %s brings %d", query, tag, again.status)
				}
			}
		}
		look("offset=-1")
		look("offset=" + tail)
		first := s.add("a", "text/plain", "4567").header.Get("Stream-Next-Offset")
		for _, query := range []string{"offset=-1", "offset=" + zeroOffset, "offset=" + tail, "offset=" + first} {
			look(query)
		}
		s.end("a", "")
		look("offset=-1")
		look("offset=" + first)
		s.fetch("DELETE", "/streams/a", "")
		s.make("a", "text/plain", "0123")
		look("offset=-1")
		if f := s.fetch("GET", "/streams/a?offset=now", ""); f.header.Get("ETag") != "" {
			t.Errorf("offset=now has the tag %s", f.header.Get("ETag"))
		}
	})
}

// What will always be the same can be cached; what is the end of an open stream is
// asked for again.
func TestDurableCaching(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 4, LongPollTimeout: -1}, func(t *testing.T, s *service) {
		const sealed, tail = "public, max-age=60, stale-while-revalidate=300", "no-cache"
		s.make("a", "text/plain", "0123")
		next := s.add("a", "text/plain", "4567").header.Get("Stream-Next-Offset")
		want := func(query, caching string) {
			t.Helper()
			if f := s.fetch("GET", "/streams/a?"+query, ""); f.header.Get("Cache-Control") != caching {
				t.Errorf("%s: Cache-Control %q, want %q", query, f.header.Get("Cache-Control"), caching)
			}
		}
		want("offset=-1", sealed)
		want("offset="+next, tail)
		want("offset=now", "no-store")
		want("offset=now&live=long-poll", "no-store")
		s.make("b", "text/plain", "0123")
		if f := s.fetch("GET", "/streams/b?offset=-1&live=long-poll", ""); f.header.Get("Cache-Control") != "public, max-age=20" {
			t.Errorf("a poll: Cache-Control %q", f.header.Get("Cache-Control"))
		}
		s.end("a", "")
		want("offset="+next, sealed)
		want("offset=now", "no-store")
	})
}

// A poll waits for what comes, and is answered at once with that, with the end, and
// with the removal.
func TestDurableLongPoll(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, start := range []string{"now", "-1", "tail"} {
			s.make("a", "text/plain", "")
			tail := zeroOffset
			if start == "tail" {
				tail = s.add("a", "text/plain", "x").header.Get("Stream-Next-Offset")
			}
			poll := func() <-chan fetched {
				offset := start
				if offset == "tail" {
					offset = tail
				}
				answered := make(chan fetched, 1)
				before := s.read(s.do("GET", "/healthz", ""))["subscribers"].(float64)
				// Ended by the answer.
				go func() { answered <- s.fetch("GET", "/streams/a?live=long-poll&offset="+offset, "") }()
				for s.read(s.do("GET", "/healthz", ""))["subscribers"].(float64) == before {
				}
				return answered
			}
			answered := poll()
			s.publish("other", "x") // is no news
			next := s.add("a", "text/plain", "new").header.Get("Stream-Next-Offset")
			f := <-answered
			f.wantChunk(t, start+", an append", 200, "new", next, "u")
			cursorOf(t, start, "", f.header.Get("Stream-Cursor"))
			start, tail = "tail", next
			answered = poll()
			s.end("a", "")
			f = <-answered
			f.wantChunk(t, start+", the end", 204, "", f.header.Get("Stream-Next-Offset"), "uc")

			s.make("b", "text/plain", "x")
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", "text/plain", "x")
			start, tail = "now", ""
			answered = poll()
			s.fetch("DELETE", "/streams/a", "")
			if f := <-answered; f.status != 404 {
				t.Errorf("removed: %d %q", f.status, f.body)
			}
			s.fetch("DELETE", "/streams/b", "")
		}
	})
}

// The time that a poll waits is the server's, and one that is over is told.
func TestDurableLongPollTimeout(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), LongPollTimeout: 50 * time.Millisecond}, protocols["HTTP/1.1"])
	tail := s.make("a", "text/plain", "x").header.Get("Stream-Next-Offset")
	f := s.fetch("GET", "/streams/a?live=long-poll&offset="+tail, "")
	f.wantChunk(t, "the time is over", 204, "", tail, "u")
	cursorOf(t, "the time is over", "", f.header.Get("Stream-Cursor"))
	for _, had := range []string{"0", "x", "-1", fmt.Sprint(interval()), fmt.Sprint(interval() + 100), fmt.Sprint(interval() + 100_000)} {
		f := s.fetch("GET", "/streams/a?live=long-poll&offset=-1&cursor="+had, "")
		cursorOf(t, "a cursor", had, f.header.Get("Stream-Cursor"))
	}
}

// Who asks for what was removed hears that, and where what there is begins. The start
// is what there is.
func TestDurableGap(t *testing.T) {
	overProtocols(t, server.Options{LongPollTimeout: -1}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		var at []string
		for _, text := range []string{"one", "two", "three"} {
			at = append(at, s.add("a", "text/plain", text).header.Get("Stream-Next-Offset"))
		}
		s.trim("a", at[1])
		gone := func(what, offset, reason, earliest string) {
			t.Helper()
			for _, live := range []string{"", "&live=long-poll", "&live=sse"} {
				f := s.fetch("GET", "/streams/a?offset="+offset+live, "")
				f.want(t, what+live, 410, `"code":"gap"`)
				f.want(t, what+live, 410, `"reason":"`+reason+`"`)
				if got := f.header.Get("Leat-Earliest-Offset"); earliest != "" && got != earliest {
					t.Errorf("%s%s: the earliest is %s, want %s", what, live, got, earliest)
				}
			}
		}
		gone("trimmed", at[0], "trimmed", at[1])
		s.fetch("GET", "/streams/a?offset="+at[1], "").wantChunk(t, "what is there", 200, "three", at[2], "u")
		s.fetch("GET", "/streams/a?offset=-1", "").wantChunk(t, "the start", 200, "three", at[2], "u")
		s.trim("a", at[2])
		s.fetch("GET", "/streams/a?offset=-1", "").wantChunk(t, "all is gone", 200, "", at[2], "u")
		s.fetch("GET", "/streams/a?offset="+at[2], "").wantChunk(t, "at its end", 200, "", at[2], "u")
		gone("all is gone", at[1], "trimmed", at[2])

		s.fetch("DELETE", "/streams/a", "")
		next := s.make("a", "text/plain", "anew").header.Get("Stream-Next-Offset")
		gone("made anew", at[2], "replaced", zeroOffset)
		gone("made anew", at[0], "replaced", zeroOffset)
		s.fetch("GET", "/streams/a?offset=-1", "").wantChunk(t, "anew", 200, "anew", next, "u")
		gone("another store's", "0000000000000001_0000000000000005", "foreign", zeroOffset)
	})
}

// An offset may be one at which the stream had nothing yet: whoever has lost something
// goes on at the beginning of an epoch. What comes first is no other stream's.
func TestDurableOffsetBeforeAllContent(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		at := s.make("b", "text/plain", "elsewhere").header.Get("Stream-Next-Offset")
		polled := make(chan fetched, 1)
		go func() { polled <- s.fetch("GET", "/streams/a?live=long-poll&offset="+at, "") }() // ends with what is added
		until(t, s.srv, "it is polled", func(m server.Metrics) bool {
			return slices.ContainsFunc(m.Readers, func(r server.Readers) bool { return r.Format == "durable-poll" && r.Count == 1 })
		})
		events := s.durable("a", "offset="+at)
		events.control()
		next := s.add("a", "text/plain", "first").header.Get("Stream-Next-Offset")
		(<-polled).wantChunk(t, "it was waited for", 200, "first", next, "u")
		if ev := events.next(); ev.Type != "data" || string(ev.Data) != "first" {
			t.Errorf("the events are %+v", ev)
		}
	})
}

// What was acknowledged is read by whoever asks then, without waiting.
func TestDurableReadYourWrites(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		next := s.make("a", "text/plain", "").header.Get("Stream-Next-Offset")
		for i := range 300 {
			before := next
			text := fmt.Sprint("record ", i)
			next = s.add("a", "text/plain", text).header.Get("Stream-Next-Offset")
			s.fetch("GET", "/streams/a?offset="+before, "").wantChunk(t, "an append", 200, text, next, "u")
			s.fetch("GET", "/streams/a?offset="+next, "").wantChunk(t, "its end", 200, "", next, "u")
		}
	})
}

// An answer has all there is, however large that is, or what it is bounded to: then who
// asks again gets the rest.
func TestDurableChunks(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) { testChunks(t, s, 1) })
	overProtocols(t, server.Options{ReadChunk: 256 << 10}, func(t *testing.T, s *service) { testChunks(t, s, 4) })
	overProtocols(t, server.Options{ReadChunk: 1}, func(t *testing.T, s *service) { testChunks(t, s, 12) })
	overProtocols(t, server.Options{TailMemory: 1}, func(t *testing.T, s *service) { testChunks(t, s, 1) })
}

func testChunks(t *testing.T, s *service, answers int) {
	for _, contentType := range []string{"application/octet-stream", "application/json"} {
		f := s.make("a", contentType, "")
		var want strings.Builder
		for i := range 12 {
			text := strconv.Quote(strings.Repeat(string(rune('a'+i%26)), 100<<10))
			want.WriteString(text)
			f = s.add("a", contentType, text)
		}
		for range 2 {
			var got strings.Builder
			offset, n := "-1", 1
			for ; ; n++ {
				f := s.fetch("GET", "/streams/a?offset="+offset, "")
				offset = f.header.Get("Stream-Next-Offset")
				if contentType == "application/json" {
					f.body = strings.ReplaceAll(f.body[1:len(f.body)-1], `","`, `""`)
				}
				got.WriteString(f.body)
				if f.status != 200 || f.cut {
					t.Fatalf("status %d, %d bytes, cut %v", f.status, len(f.body), f.cut)
				}
				if f.header.Get("Stream-Up-To-Date") == "true" {
					break
				}
			}
			if n != answers || got.String() != want.String() || offset != f.header.Get("Stream-Next-Offset") {
				t.Errorf("%s: %d bytes in %d answers up to %s; want %d in %d up to %s", contentType, got.Len(), n, offset, want.Len(), answers, f.header.Get("Stream-Next-Offset"))
			}
			if f.header.Get("Stream-Closed") == "" {
				// What broke off is there as far as it goes.
				f = s.fetch("POST", "/streams/a", "", "Stream-Closed", "true", "Leat-End", "aborted")
			}
		}
		s.fetch("DELETE", "/streams/a", "")
	}
}

// A page of an origin that may read sees what it needs, and asks with what it needs.
func TestDurableCORS(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), CORSOrigins: []string{"https://app.example"}}, protocols["HTTP/1.1"])
	s.make("a", "application/octet-stream", "x")
	for _, query := range []string{"offset=-1", "offset=-1&live=long-poll", "offset=-1&live=sse"} {
		resp := s.do("GET", "/streams/a?"+query, "", "Origin", "https://app.example")
		exposed := ", " + strings.ToLower(resp.Header.Get("Access-Control-Expose-Headers")) + ","
		for field := range resp.Header {
			if field = strings.ToLower(field); (strings.HasPrefix(field, "stream-") || field == "etag") && !strings.Contains(exposed, ", "+field+",") {
				t.Errorf("%s: %s is not exposed", query, field)
			}
		}
	}
	f := s.fetch("OPTIONS", "/streams/a", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "if-none-match")
	if f.header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(f.header.Get("Access-Control-Allow-Headers"), "If-None-Match") {
		t.Errorf("preflight of another origin: %v", f.header)
	}
}
