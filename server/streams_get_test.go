package server_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
)

// "(c) by Accept: text/event-stream and application/x-ndjson live; */* or the
// stream's own type: the whole content so far, with its length. as= overrides.
// Vary: Accept"; RFC 9110, section 12.5.1: q values and wildcards; "406 that lists
// what there is".
func TestStreamForms(t *testing.T) {
	const x, html = "application/x-ndjson", "text/html"
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for name, contentType := range map[string]string{"text": "text/plain; charset=utf-8", "json": jsonType, "png": "image/png", "sse": sseType, "lines": ndjsonType} {
			s.make(name, contentType, map[string]string{"json": "1"}[name])
			s.end(name, "")
		}
		for _, test := range []struct{ stream, accept, as, want string }{ // want empty: 406
			{"text", "", "", "text/plain; charset=utf-8"},
			{"text", "*/*", "", "text/plain; charset=utf-8"},
			{"text", "text/*", "", "text/plain; charset=utf-8"},
			{"text", "text/plain", "", "text/plain; charset=utf-8"},
			{"text", "TEXT/Plain;charset=utf-8;q=0.5", "", "text/plain; charset=utf-8"},
			{"text", sseType, "", sseType},
			{"text", sseType + ", */*;q=0.1", "", sseType},
			{"text", sseType + ";q=0.5, text/plain", "", "text/plain; charset=utf-8"},
			{"text", "text/plain;q=0.5, application/*", "", x},
			{"text", "text/plain;q=0, text/*", "", sseType},
			{"text", "*/*;q=0.5, text/plain;q=0", "", sseType},
			{"text", x, "", x},
			{"text", "application/jsonl", "", "application/jsonl"},
			{"text", "application/ndjson, " + html, "", "application/ndjson"},
			{"text", html, "", ""},
			{"text", "text/plain;q=0", "", ""},
			{"text", "*/*;q=0", "", ""},
			{"text", jsonType, "", ""},
			{"text", html, "bytes", "text/plain; charset=utf-8"},
			{"text", html, "sse", sseType},
			{"text", "*/*", "ndjson", x},
			{"text", "application/jsonl", "ndjson", "application/jsonl"},
			{"json", "", "", jsonType},
			{"json", "application/*", "", jsonType},
			{"json", x, "", x},
			{"json", sseType, "", sseType},
			{"json", sseType, "bytes", jsonType},
			{"png", "image/*", "", "image/png"},
			{"png", "image/webp,image/*;q=0.8,*/*;q=0.5", "", "image/png"},
			{"png", "text/*", "", sseType},
			{"sse", sseType, "", sseType},
			{"lines", x, "", x},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				what := fmt.Sprintf("%s %s, Accept %q, as=%s", method, test.stream, test.accept, test.as)
				f := s.fetch(method, "/streams/"+test.stream+"?as="+test.as, "", "Accept", test.accept)
				if f.header.Get("Vary") != "Accept" {
					t.Errorf("%s: Vary %q", what, f.header.Get("Vary"))
				}
				if test.want == "" {
					if f.status != 406 || method == "GET" && !(strings.Contains(f.body, `"available":["text/plain","text/event-stream","application/x-ndjson"`) && strings.Contains(f.body, "not_acceptable")) {
						t.Errorf("%s: status %d, %q", what, f.status, f.body)
					}
					continue
				}
				if f.status != 200 || f.header.Get("Content-Type") != test.want {
					t.Errorf("%s: status %d, %q, want %q", what, f.status, f.header.Get("Content-Type"), test.want)
				}
				// A stream of events of its own is bytes, with a tag and a length.
				if bytes := test.as == "bytes" || test.as == "" && test.want != sseType && !strings.Contains(test.want, "nd") && !strings.Contains(test.want, "jsonl") || test.stream == "sse" || test.stream == "lines"; bytes != (f.header.Get("ETag") != "") {
					t.Errorf("%s: ETag %q", what, f.header.Get("ETag"))
				}
			}
		}
		for _, query := range []string{"as=xml", "as=json", "follow=yes", "live=sse", "x=%zz", "as=sse&heartbeat=x", "as=ndjson&gap=x", "as=sse&from=x"} {
			s.fetch("GET", "/streams/text?"+query, "").want(t, query, 400, "invalid_parameter")
		}
		s.fetch("GET", "/streams/json?follow=1", "").want(t, "follow=1 of JSON", 400, "as=ndjson")
	})
}

// "HEAD equal to GET without body in every form" (RFC 9110, section 9.3.2).
func TestHeadIsGet(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("open", "text/plain", "0123456789", "Stream-TTL", "3600", "Leat-Retention", "records=10")
		s.make("empty", "text/plain", "")
		s.make("over", "text/plain", "0123456789", "Stream-Closed", "true")
		s.make("broken", "text/plain", "0123456789", "Stream-Closed", "true", "Leat-End", "aborted")
		s.make("nothing", "text/plain", "", "Stream-Closed", "true", "Leat-End", "aborted")
		s.make("json", jsonType, "[1,2]")
		s.make("jsonbroken", jsonType, "[1,2]", "Stream-Closed", "true", "Leat-End", "aborted")
		s.make("trimmed", "text/plain", "01234")
		s.trim("trimmed", s.add("trimmed", "text/plain", "56789").header.Get("Stream-Next-Offset"))
		s.add("trimmed", "text/plain", "abc")
		over := s.fetch("HEAD", "/streams/over", "").header
		for _, stream := range []string{"open", "empty", "over", "broken", "nothing", "json", "jsonbroken", "trimmed", "none", "a//b"} {
			for _, query := range []string{"", "?as=bytes", "?as=sse", "?as=ndjson", "?follow=1", "?as=xml", "?as=ndjson&from=" + over.Get("Stream-Next-Offset"), "?as=sse&gap=error&from=1_1"} {
				for _, fields := range [][]string{
					nil, {"Range", "bytes=0-"}, {"Range", "bytes=3-5"}, {"Range", "bytes=10-"}, {"Range", "bytes=11-"}, {"Range", "bytes=-3"}, {"Range", "bytes=5-999999999999"}, {"Range", "bytes=0-1,3-4"},
					{"Accept", sseType}, {"Accept", "text/html"}, {"If-None-Match", over.Get("ETag")}, {"If-None-Match", "*"},
					{"Range", "bytes=3-5", "If-Range", over.Get("ETag")}, {"Last-Event-ID", over.Get("Stream-Next-Offset")},
				} {
					what := fmt.Sprint(stream, query, fields)
					getting := s.do("GET", "/streams/"+stream+query, "", fields...)
					getting.Body.Close()
					head := s.fetch("HEAD", "/streams/"+stream+query, "", fields...)
					h := getting.Header
					h.Del("Date")
					head.header.Del("Date")
					if head.header.Get("Cache-Control") == "no-store" {
						head.header.Set("Cache-Control", h.Get("Cache-Control")) // the one that differs
					}
					if head.status != getting.StatusCode || head.body != "" || head.cut || !maps.EqualFunc(h, head.header, slices.Equal) {
						t.Errorf("%s: HEAD %d %v\n GET %d %v", what, head.status, head.header, getting.StatusCode, h)
					}
				}
			}
		}
	})
}

// The whole content so far with its length and tag; JSON is an array of the texts
// as they are; a tag that matches is 304 with what a cache needs.
func TestWholeContent(t *testing.T) {
	overProtocols(t, server.Options{TailMemory: 1 << 20}, func(t *testing.T, s *service) {
		long := strings.Repeat("0123456789abcde\n", 40<<10/16)
		s.make("text", "text/plain", "")
		s.make("json", jsonType, "")
		text, elements := "", []string{}
		var tags []string
		check := func() {
			t.Helper()
			for name, want := range map[string]string{"text": text, "json": "[" + strings.Join(elements, ",") + "]"} {
				f := s.fetch("GET", "/streams/"+name, "")
				if f.status != 200 || f.body != want || f.cut || f.header.Get("Content-Length") != strconv.Itoa(len(want)) || f.header.Get("Cache-Control") != "no-cache" {
					t.Fatalf("%s: status %d, %d bytes, want %d, cut %v, %v", name, f.status, len(f.body), len(want), f.cut, f.header)
				}
				if ranges := map[string]string{"text": "bytes", "json": "none"}[name]; f.header.Get("Accept-Ranges") != ranges {
					t.Errorf("%s: Accept-Ranges %q", name, f.header.Get("Accept-Ranges"))
				}
				tag := f.header.Get("ETag")
				if slices.Contains(tags, tag) {
					t.Errorf("%s has the tag %s again", name, tag)
				}
				tags = append(tags, tag)
				for _, match := range []string{tag, "W/" + tag, `"x", ` + tag + `, "y"`, "*"} {
					f := s.fetch("GET", "/streams/"+name, "", "If-None-Match", match, "Range", "bytes=0-0")
					if f.status != 304 || f.body != "" || f.header.Get("ETag") != tag || f.header.Get("Vary") != "Accept" || f.header.Get("Cache-Control") != "no-cache" {
						t.Errorf("%s, If-None-Match %s: status %d, %v", name, match, f.status, f.header)
					}
				}
				for _, match := range append(tags[:len(tags)-1:len(tags)-1], `"x"`, tag[1:len(tag)-1], "") {
					if f := s.fetch("GET", "/streams/"+name, "", "If-None-Match", match); f.status != 200 || f.body != want {
						t.Errorf("%s, If-None-Match %s: status %d", name, match, f.status)
					}
				}
			}
		}
		check()
		for _, piece := range []string{"é", "", long, "\x00", long + long} {
			if piece != "" {
				s.add("text", "text/plain", piece)
			}
			text += piece
			element := strconv.Quote(strings.TrimSuffix(piece, "\x00"))
			s.add("json", jsonType, "["+element+", 1.0]")
			elements = append(elements, element, "1.0")
			if piece == "" {
				s.add("text", "text/plain", "x")
				text += "x"
			}
			check()
		}
		s.end("text", "")
		s.end("json", "")
		check() // "MUST change on closing"
	})
}

// "Range in all forms": of a stream that is open, one that has ended, and one whose
// front was trimmed.
func TestRanges(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("open", "text/plain", "01234")
		s.add("open", "text/plain", "56789")
		s.make("over", "text/plain", "01234")
		s.add("over", "text/plain", "56789", "Stream-Closed", "true")
		s.make("trimmed", "text/plain", "01234")
		s.trim("trimmed", s.fetch("HEAD", "/streams/trimmed", "").header.Get("Stream-Next-Offset"))
		s.add("trimmed", "text/plain", "56789")
		s.make("empty", "text/plain", "")
		for _, test := range []struct {
			stream, rng, body, contentRange string
			status                          int
		}{
			{"open", "bytes=0-", "0123456789", "bytes 0-9/*", 206},
			{"open", "bytes=3-", "3456789", "bytes 3-9/*", 206},
			{"open", "bytes=3-5", "345", "bytes 3-5/*", 206},
			{"open", "bytes=4-5", "45", "bytes 4-5/*", 206},
			{"open", "bytes=9-9", "9", "bytes 9-9/*", 206},
			{"open", "bytes=5-100", "56789", "bytes 5-9/*", 206},
			{"open", "BYTES=5-5", "5", "bytes 5-5/*", 206},
			{"over", "bytes=0-", "0123456789", "bytes 0-9/10", 206},
			{"over", "bytes=3-5", "345", "bytes 3-5/10", 206},
			{"over", "bytes=5-999999999999", "56789", "bytes 5-9/10", 206},
			{"over", "bytes=5-99999999999999999999", "56789", "bytes 5-9/10", 206},
			{"over", "bytes=-3", "789", "bytes 7-9/10", 206},
			{"over", "bytes=-100", "0123456789", "bytes 0-9/10", 206},
			{"over", "bytes=-99999999999999999999", "0123456789", "bytes 0-9/10", 206},
			{"trimmed", "bytes=0-", "56789", "bytes 5-9/*", 206}, // FIRST > 0: trimmed at the front
			{"trimmed", "bytes=5-", "56789", "bytes 5-9/*", 206},
			{"trimmed", "bytes=-100", "56789", "bytes 5-9/*", 206},
			{"trimmed", "bytes=7-8", "78", "bytes 7-8/*", 206},
			{"trimmed", "", "56789", "", 200},

			{"open", "bytes=10-", "", "bytes */10", 416},
			{"open", "bytes=11-12", "", "bytes */10", 416},
			{"open", "bytes=99999999999999999999-", "", "bytes */10", 416},
			{"open", "bytes=-0", "", "bytes */10", 416},
			{"over", "bytes=10-", "", "bytes */10", 416},
			{"over", "bytes=10-999999999999", "", "bytes */10", 416},
			{"empty", "bytes=0-", "", "bytes */0", 416},
			{"empty", "bytes=-1", "", "bytes */0", 416},
			{"trimmed", "bytes=1-", "", "", 410},
			{"trimmed", "bytes=0-9", "", "", 410},
			{"trimmed", "bytes=4-4", "", "", 410},
			{"trimmed", "bytes=0-999999999999", "", "", 410},

			// "MAY ignore the Range header field": several pieces, and what is none.
			{"over", "bytes=0-1,3-4", "0123456789", "", 200},
			{"over", "bytes=5-3", "0123456789", "", 200},
			{"over", "bytes=-", "0123456789", "", 200},
			{"over", "bytes=", "0123456789", "", 200},
			{"over", "bytes=a-b", "0123456789", "", 200},
			{"over", "bytes=+1-", "0123456789", "", 200},
			{"over", "bytes=--1", "0123456789", "", 200},
			{"over", "bytes=1-2-3", "0123456789", "", 200},
			{"over", "bytes=0x1-", "0123456789", "", 200},
			{"over", "bytes 0-1", "0123456789", "", 200},
			{"over", "lines=0-1", "0123456789", "", 200},
		} {
			what := test.stream + ", Range: " + test.rng
			f := s.fetch("GET", "/streams/"+test.stream, "", "Range", test.rng)
			if f.status != test.status || f.header.Get("Content-Range") != test.contentRange || f.status < 300 && (f.body != test.body || f.header.Get("Content-Length") != strconv.Itoa(len(test.body)) || f.header.Get("ETag") == "") {
				t.Errorf("%s: status %d, %q, %q, %v", what, f.status, f.header.Get("Content-Range"), f.body, f.header)
			}
			if f.status >= 400 {
				f.want(t, what, test.status, "")
				if f.header.Get("Stream-Closed") != map[bool]string{true: "true"}[test.stream == "over"] || f.header.Get("Stream-Next-Offset") == "" {
					t.Errorf("%s: %v", what, f.header)
				}
				if test.stream == "trimmed" && !strings.Contains(f.body, `"start":5`) {
					t.Errorf("%s: %s does not say where it begins", what, f.body)
				}
			}
		}
		s.make("json", jsonType, "[1,2]")
		f := s.fetch("GET", "/streams/json", "", "Range", "bytes=0-0")
		if f.status != 200 || f.body != "[1,2]" || f.header.Get("Accept-Ranges") != "none" {
			t.Errorf("a range of JSON: status %d, %q, %v", f.status, f.body, f.header)
		}
	})
}

// "If-Range matches any tag of the same generation whose bytes are still there,
// because appending keeps every prefix", and nothing else.
func TestIfRange(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "other")
		deleted := s.fetch("HEAD", "/streams/a", "").header.Get("ETag")
		s.fetch("DELETE", "/streams/a", "")
		s.make("a", "text/plain", "01234")
		before := s.fetch("HEAD", "/streams/a", "").header
		older := before.Get("ETag")
		s.add("a", "text/plain", "56789")
		now := s.fetch("HEAD", "/streams/a", "").header.Get("ETag")
		newer := strings.Replace(now, ":10", ":11", 1)
		for _, test := range []struct {
			tag, what string
			holds     bool
		}{
			{now, "the present tag", true},
			{older, "a tag from before an append", true},
			{deleted, "a tag of a stream of that name that was deleted", false},
			{newer, "a tag of bytes that there are not", false},
			{"W/" + now, "a weak tag", false},
			{now[1 : len(now)-1], "no tag", false},
			{`"x"`, "somebody's tag", false},
			{strings.Replace(now, ":0:", ":00:", 1), "a tag written in another way", false},
			{"Wed, 25 Nov 2099 08:12:31 GMT", "a date", false},
		} {
			f := s.fetch("GET", "/streams/a", "", "Range", "bytes=5-", "If-Range", test.tag)
			if test.holds && (f.status != 206 || f.body != "56789") || !test.holds && (f.status != 200 || f.body != "0123456789" || f.header.Get("Content-Range") != "") {
				t.Errorf("%s, %s: status %d, %q", test.what, test.tag, f.status, f.body)
			}
		}
		s.fetch("GET", "/streams/a", "", "Range", "bytes=10-", "If-Range", now).want(t, "nothing more", 416, "range")
		if f := s.fetch("GET", "/streams/a", "", "Range", "bytes=11-", "If-Range", deleted); f.status != 200 || f.body != "0123456789" {
			t.Errorf("a range that another stream had: status %d, %q", f.status, f.body)
		}
		// Trimmed: what the client has is not continued.
		s.trim("a", before.Get("Stream-Next-Offset"))
		for rng, want := range map[string]int{"bytes=5-": 206, "bytes=3-": 200} {
			if f := s.fetch("GET", "/streams/a", "", "Range", rng, "If-Range", older); f.status != want || f.body != "56789" {
				t.Errorf("trimmed, %s: status %d, %q", rng, f.status, f.body)
			}
		}
		s.end("a", "")
		if f := s.fetch("GET", "/streams/a", "", "Range", "bytes=7-", "If-Range", now); f.status != 206 || f.body != "789" || f.header.Get("ETag") == now {
			t.Errorf("ended: status %d, %q, %v", f.status, f.body, f.header)
		}
	})
}

// A tag is good for one life of a stream and no other, over restarts of a store that
// forgets: the sequences are the same, and the bytes are not.
func TestIfRangeOverRestart(t *testing.T) {
	var tag string
	for i, content := range []string{"abcdefghij", "0123456789"} {
		s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
		s.make("a", "text/plain", content)
		if i == 0 {
			tag = s.fetch("HEAD", "/streams/a", "").header.Get("ETag")
		}
		f := s.fetch("GET", "/streams/a", "", "Range", "bytes=5-", "If-Range", tag)
		if want := content[5:]; i == 0 && f.body != want || i == 1 && (f.status != 200 || f.body != content) {
			t.Errorf("life %d: status %d, %q", i, f.status, f.body)
		}
		if f := s.fetch("GET", "/streams/a", "", "If-None-Match", tag); (f.status == 304) != (i == 0) {
			t.Errorf("life %d: If-None-Match %s is %d", i, tag, f.status)
		}
	}
}

// "follow=1: a GET or Range: bytes=N- runs until the stream ends, so that N = size
// waits; Range: bytes=N-999999999999 does the same by RFC 8673": "a live server
// echoes exactly that end, no Content-Length".
func TestLiveRanges(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			query, rng, contentRange, rest string
			status                         int
		}{
			{"?follow=1", "", "", "0123456789", 200},
			{"?follow=1", "bytes=0-", "bytes 0-999999999999/*", "0123456789", 206},
			{"?follow=1", "bytes=3-", "bytes 3-999999999999/*", "3456789", 206},
			{"?follow=1", "bytes=10-", "bytes 10-999999999999/*", "", 206},
			{"?follow=1", "bytes=-2", "bytes 8-999999999999/*", "89", 206},
			{"?follow=1", "bytes=-0", "bytes 10-999999999999/*", "", 206},
			{"?follow=1", "bytes=0-1,3-4", "", "0123456789", 200},
			{"", "bytes=3-999999999999", "bytes 3-999999999999/*", "3456789", 206},
			{"", "bytes=10-999999999999", "bytes 10-999999999999/*", "", 206},
			{"", "bytes=3-99999999999", "bytes 3-99999999999/*", "3456789", 206},
			{"", "bytes=3-9007199254740991", "bytes 3-9007199254740991/*", "3456789", 206},
			{"?follow=1", "bytes=3-999999999998", "bytes 3-999999999998/*", "3456789", 206},
		} {
			what := "GET " + test.query + ", Range: " + test.rng
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", "text/plain", "01234")
			s.add("a", "text/plain", "56789")
			resp := s.do("GET", "/streams/a"+test.query, "", "Range", test.rng)
			h := resp.Header
			if resp.StatusCode != test.status || h.Get("Content-Range") != test.contentRange || resp.ContentLength != -1 || h.Get("ETag") == "" || h.Get("Cache-Control") != "no-cache, no-store, no-transform" || h.Get("Incremental") != "?1" {
				t.Errorf("%s: status %d, %v", what, resp.StatusCode, h)
			}
			expect(t, resp.Body, test.rest)
			for _, piece := range []string{"ab", "é"} {
				s.add("a", "text/plain", piece)
				expect(t, resp.Body, piece)
			}
			s.end("a", "")
			if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
				t.Errorf("%s: then %q, %v", what, rest, err)
			}
		}
		// A range with an end does not wait; what has ended has a length.
		s.make("b", "text/plain", "0123456789")
		for rng, want := range map[string]string{"bytes=3-5": "345", "bytes=3-20": "3456789"} {
			if f := s.fetch("GET", "/streams/b?follow=1", "", "Range", rng); f.status != 206 || f.body != want {
				t.Errorf("follow=1, %s: status %d, %q", rng, f.status, f.body)
			}
		}
		s.fetch("GET", "/streams/b?follow=1", "", "Range", "bytes=11-").want(t, "beyond the end", 416, "range")
		s.end("b", "")
		for rng, want := range map[string]string{"": "0123456789", "bytes=3-": "3456789", "bytes=3-999999999999": "3456789"} {
			if f := s.fetch("GET", "/streams/b?follow=1", "", "Range", rng); f.body != want || f.header.Get("Content-Length") != strconv.Itoa(len(want)) || f.cut {
				t.Errorf("ended, %s: status %d, %q, %v", rng, f.status, f.body, f.header)
			}
		}
		if f := s.fetch("GET", "/streams/b?follow=1", "", "Range", "bytes=10-"); f.status != 416 || f.header.Get("Content-Range") != "bytes */10" || f.header.Get("Stream-Closed") != "true" {
			t.Errorf("all of what has ended: status %d, %v", f.status, f.header)
		}
	})
}

// "HEAD + Range: bytes=0-: 206 Content-Range: bytes FIRST-LAST/*" (RFC 8673, section
// 2.1): where it begins and how far it has come.
func TestLiveRangeProbe(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "01234")
		last := s.add("a", "text/plain", "56789").header.Get("Stream-Next-Offset")
		probe := func() string {
			f := s.fetch("HEAD", "/streams/a", "", "Range", "bytes=0-")
			return fmt.Sprint(f.status, f.header.Get("Content-Range"))
		}
		got := []string{probe()}
		s.add("a", "text/plain", "a")
		s.trim("a", last)
		got = append(got, probe())
		s.end("a", "")
		got = append(got, probe())
		if want := []string{"206bytes 0-9/*", "206bytes 10-10/*", "206bytes 10-10/11"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// trimmingStore trims a stream, once, in the moment in which a reader looks for a
// byte.
type trimmingStore struct {
	store.Store
	trim func()
}

func (s *trimmingStore) Seek(ctx context.Context, name string, pos int64) (uint64, int64, error) {
	if trim := s.trim; trim != nil {
		s.trim = nil
		trim()
	}
	return s.Store.Seek(ctx, name, pos)
}

// A stream that is trimmed between two looks is read as it then is, and a range
// that is gone says what there is.
func TestTrimmedInTheMoment(t *testing.T) {
	st := &trimmingStore{Store: memory(t)}
	s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	for _, test := range []struct {
		rng, body string
		status    int
	}{{"", "56789", 200}, {"bytes=0-", "56789", 206}, {"bytes=3-", `"start":5`, 410}, {"bytes=5-", "56789", 206}} {
		s.fetch("DELETE", "/streams/a", "")
		first := s.make("a", "text/plain", "01234").header.Get("Stream-Next-Offset")
		s.add("a", "text/plain", "56789")
		st.trim = func() { s.trim("a", first) }
		s.fetch("GET", "/streams/a", "", "Range", test.rng).want(t, "Range: "+test.rng, test.status, test.body)
		if st.trim != nil {
			t.Error("nobody has looked")
		}
	}
}

// Without room for a reader, content that is not empty is refused with 503, and
// nothing of its header; and when the server stops, who takes anything gets no
// events in place of bytes.
func TestContentTurnedAway(t *testing.T) {
	overProtocols(t, server.Options{MaxSubscribers: 1}, func(t *testing.T, s *service) {
		for name, contentType := range map[string]string{"text": "text/plain", "sse": sseType} {
			s.make(name, contentType, "data: x\n\n")
		}
		s.make("empty", "text/plain", "")
		waiting := s.do("GET", "/streams/text?follow=1", "")
		expect(t, waiting.Body, "data: x\n\n")
		turned := func(what string, f fetched) {
			t.Helper()
			f.want(t, what, 503, "unavailable")
			if f.header.Get("Retry-After") == "" || f.header.Get("Content-Range") != "" || f.header.Get("Stream-Next-Offset") != "" || f.header.Get("Content-Length") != strconv.Itoa(len(f.body)) {
				t.Errorf("%s: %v", what, f.header)
			}
		}
		for _, name := range []string{"text", "sse"} {
			turned(name, s.fetch("GET", "/streams/"+name, ""))
			turned(name+", a range", s.fetch("GET", "/streams/"+name, "", "Range", "bytes=1-2"))
			s.fetch("HEAD", "/streams/"+name, "").want(t, "HEAD "+name, 200, "")
		}
		s.fetch("GET", "/streams/empty", "").want(t, "empty", 200, "")
		s.fetch("GET", "/streams/text?as=sse", "").want(t, "events", 200, "retry: ")
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := drain(waiting); !f.cut || f.body != "" {
			t.Errorf("a reader of bytes when the server stops: %q, cut %v", f.body, f.cut)
		}
		for _, fields := range [][]string{nil, {"Accept", "*/*"}, {"Accept", "image/png"}, {"Accept", ndjsonType}} {
			f := s.fetch("GET", "/streams/text", "", fields...)
			f.want(t, fmt.Sprint(fields), 503, "unavailable")
		}
		s.fetch("GET", "/streams/text", "", "Accept", sseType).want(t, "events", 200, "retry: ")
	})
}

// What a reader of bytes cannot have, because its store fails, is a problem
// document with a length of its own.
func TestContentCannotBeRead(t *testing.T) {
	st := &trimmingStore{Store: memory(t)}
	s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	s.make("a", "text/plain", strings.Repeat("x", 1000))
	st.trim = func() { st.Store.Close() }
	f := s.fetch("GET", "/streams/a", "", "Range", "bytes=1-")
	f.want(t, "a store that closes", http.StatusServiceUnavailable, "unavailable")
	if f.header.Get("Content-Length") != strconv.Itoa(len(f.body)) || f.header.Get("Content-Range") != "" {
		t.Errorf("%v", f.header)
	}
}
