package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
)

// fork makes a fork of a stream.
func (s *service) fork(name, source string, fields ...string) fetched {
	s.t.Helper()
	f := s.fetch("PUT", "/streams/"+name, "", append(fields, "Stream-Forked-From", "/streams/"+source)...)
	if f.status != 201 {
		s.t.Fatalf("PUT %s, a fork of %s: status %d, %q", name, source, f.status, f.body)
	}
	return f
}

// data returns the payloads of events, and the others by their names in brackets.
func data(all []sse.Event) (text []string) {
	for _, ev := range all {
		switch ev.Type {
		case "leat.cursor":
		case "":
			text = append(text, string(ev.Data))
		default:
			text = append(text, "["+ev.Type+"]")
		}
	}
	return text
}

// A reader of a fork gets, in each form, what it inherits under its own name and
// with the source's offsets, then its own records, from any offset on and without a
// repeat. Nothing of the source that came later is among them.
func TestForkForms(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		var ids []string
		for _, text := range []string{"one ", "two ", "three "} {
			ids = append(ids, s.add("a", "text/plain", text).header.Get("Stream-Next-Offset"))
		}
		if f := s.fork("b", "a", "Stream-Fork-Offset", ids[1]); f.header.Get("Stream-Next-Offset") != ids[1] || f.header.Get("Content-Type") != "text/plain" || f.header.Get("Location") != s.url+"/streams/b" {
			t.Errorf("the answer has %v", f.header)
		}
		s.add("a", "text/plain", "four ")
		s.make("x", "text/plain", "")
		ids = append(ids[:2], s.add("b", "text/plain", "own ").header.Get("Stream-Next-Offset"))
		f := s.fetch("PUT", "/streams/c", "first ", "Content-Type", "text/plain", "Stream-Forked-From", s.url+"/v1/stream/b")
		f.want(t, "a fork of a fork", 201, "")
		s.add("b", "text/plain", "late ")
		s.add("c", "text/plain", "second ")
		s.end("c", "")

		const all = "one two own first second "
		s.fetch("GET", "/streams/c?as=bytes", "").want(t, "content", 200, all)
		if h := s.fetch("HEAD", "/streams/c?as=bytes", "").header; h.Get("Content-Length") != strconv.Itoa(len(all)) || h.Get("Stream-Closed") != "true" {
			t.Errorf("HEAD: %v", h)
		}
		whole := s.fetch("GET", "/streams/c?as=bytes", "")
		for from := range len(all) {
			for _, to := range []int{from, min(from+6, len(all)-1), len(all) - 1} {
				f := s.fetch("GET", "/streams/c?as=bytes", "", "Range", fmt.Sprintf("bytes=%d-%d", from, to), "If-Range", whole.header.Get("ETag"))
				if f.status != 206 || f.body != all[from:to+1] || f.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, to, len(all)) {
					t.Fatalf("bytes %d to %d: %d, %q, %v", from, to, f.status, f.body, f.header)
				}
			}
		}
		want := []string{"one ", "two ", "own ", "first ", "second ", "[leat.end]"}
		if got := data(s.events("/streams/c?as=sse")); !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
		for i, id := range ids {
			if got := data(s.events("/streams/c?as=sse", "Last-Event-ID", id)); !slices.Equal(got, want[i+1:]) {
				t.Errorf("events after %d: %q, want %q", i, got, want[i+1:])
			}
		}
		for n := range 7 {
			from := max(0, len(want)-n) // an end counts
			if n == 0 {
				continue // that is only what comes
			}
			if got := data(s.events("/streams/c?as=sse&from=-" + strconv.Itoa(n))); !slices.Equal(got, want[from:]) {
				t.Errorf("the last %d events: %q, want %q", n, got, want[from:])
			}
		}
		lines := s.fetch("GET", "/streams/c?as=ndjson", "").body
		if n := strings.Count(lines, `"topic":"c"`); n != 6 || strings.Contains(lines, `"topic":"a"`) {
			t.Errorf("lines: %s", lines)
		}
		// On /events a fork has its own records alone.
		if got := data(s.events("/events?topic=c&from=start")); !slices.Equal(got, want[3:]) {
			t.Errorf("/events: %q, want %q", got, want[3:])
		}
	})
}

// The same in the forms of the Durable Streams protocol, in answers of a few bytes, and
// with the last of each chain up to date.
func TestForkChunks(t *testing.T) {
	overProtocols(t, server.Options{ReadChunk: 5, LongPollTimeout: -1}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		for i := range 5 {
			s.add("a", "text/plain", fmt.Sprint("a", i, " "))
		}
		s.fork("b", "a")
		s.add("a", "text/plain", "not ")
		s.fork("c", "b")
		for i := range 5 {
			s.add("b", "text/plain", fmt.Sprint("b", i, " "))
		}
		s.fork("d", "b")
		for name, want := range map[string]string{"b": "a0 a1 a2 a3 a4 b0 b1 b2 b3 b4 ", "c": "a0 a1 a2 a3 a4 ", "d": "a0 a1 a2 a3 a4 b0 b1 b2 b3 b4 "} {
			got, offset := "", "-1"
			for range 20 {
				f := s.fetch("GET", "/streams/"+name+"?offset="+offset, "")
				if f.status != 200 {
					t.Fatalf("%s after %s: status %d, %q", name, offset, f.status, f.body)
				}
				got, offset = got+f.body, f.header.Get("Stream-Next-Offset")
				if again := s.fetch("GET", "/streams/"+name+"?offset="+offset+"&live=long-poll", ""); f.header.Get("Stream-Up-To-Date") == "" && (again.status != 200 || again.body == "") {
					t.Errorf("%s: a poll after %s: status %d, %q", name, offset, again.status, again.body)
				}
				if f.header.Get("Stream-Up-To-Date") == "true" {
					break
				}
			}
			if head := s.fetch("HEAD", "/streams/"+name, "").header.Get("Stream-Next-Offset"); got != want || offset != head {
				t.Errorf("%s: %q up to %s, want %q up to %s", name, got, offset, want, head)
			}
		}
	})
}

// A reader that waits for a fork is woken by what is appended to that, and not by its
// source.
func TestForkFollowed(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "one\n")
		s.fork("b", "a")
		b := s.follow("/streams/b?follow=1")
		a := s.follow("/streams/a?follow=1")
		want := func(what, want string) {
			t.Helper()
			from := b
			if what == "a" {
				from = a
			}
			if line, err := from.ReadString('\n'); line != want || err != nil {
				t.Fatalf("%s: %q, %v, want %q", what, line, err, want)
			}
		}
		want("a", "one\n")
		want("b", "one\n")
		for i := range 20 {
			text := fmt.Sprint(i, "\n")
			s.add("a", "text/plain", "not "+text)
			want("a", "not "+text)
			s.add("b", "text/plain", text)
			want("b", text)
		}
	})
}

// "a JSON stream's GET is always one array, also across a fork boundary"; "a
// sub-offset inside a record copies the partial bytes".
func TestForkPoints(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		const zero = "0000000000000000_0000000000000000"
		s.make("j", "application/json", `[1,[2],{"a":3},4]`)
		s.fork("half", "j", "Stream-Fork-Offset", zero, "Stream-Fork-Sub-Offset", "3")
		s.add("half", "application/json", `["own",5]`)
		s.fetch("GET", "/streams/half", "").want(t, "JSON", 200, `[1,[2],{"a":3},"own",5]`)
		f := s.fetch("PUT", "/streams/body", `[7,8]`, "Stream-Forked-From", "/streams/half")
		f.want(t, "a body of the type that is inherited", 201, "")
		s.fetch("GET", "/streams/body", "").want(t, "JSON", 200, `[1,[2],{"a":3},"own",5,7,8]`)

		s.make("t", "text/plain", "hello")
		f = s.fetch("PUT", "/streams/hel", "p!", "Content-Type", "text/plain", "Stream-Forked-From", "/streams/t", "Stream-Fork-Offset", zero, "Stream-Fork-Sub-Offset", "3")
		f.want(t, "inside a record", 201, "")
		if got := s.content("hel"); got != "help!" {
			t.Errorf("the fork has %q", got)
		}
		if got := s.content("t"); got != "hello" {
			t.Errorf("the source has %q", got)
		}
	})
}

// What is refused: "404 source missing; 400 offset past the tail or malformed,
// sub-offset malformed, overshooting, without Forked-From; > 0 without Fork-Offset;
// 409 other content type, target taken, source soft-deleted."
func TestForkRefusals(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	const zero = "0000000000000000_0000000000000000"
	s.make("a", "text/plain", "hello")
	s.fork("taken", "a")
	for _, x := range []struct {
		status int
		fields []string
	}{
		{404, []string{"Stream-Forked-From", "/streams/none"}},
		{400, []string{"Stream-Forked-From", "/elsewhere/a"}},
		{400, []string{"Stream-Forked-From", "/streams/a/../b"}},
		{400, []string{"Stream-Forked-From", "%"}},
		{400, []string{"Stream-Forked-From", "/streams/a", "Stream-Fork-Offset", "9999999999999999_9999999999999999"}},
		{400, []string{"Stream-Forked-From", "/streams/a", "Stream-Fork-Offset", "-1"}},
		{400, []string{"Stream-Forked-From", "/streams/a", "Stream-Fork-Sub-Offset", "1"}},
		{400, []string{"Stream-Forked-From", "/streams/a", "Stream-Fork-Offset", zero, "Stream-Fork-Sub-Offset", "6"}},
		{400, []string{"Stream-Forked-From", "/streams/a", "Stream-Fork-Offset", zero, "Stream-Fork-Sub-Offset", "05"}},
		{400, []string{"Stream-Forked-From", "/streams/a", "Stream-Fork-Offset", zero, "Stream-Fork-Sub-Offset", "-1"}},
		{400, []string{"Stream-Fork-Sub-Offset", "0"}},
		{400, []string{"Stream-Fork-Offset", zero}},
		{409, []string{"Stream-Forked-From", "/streams/a", "Content-Type", "application/json"}},
	} {
		s.fetch("PUT", "/streams/b", "", x.fields...).want(t, fmt.Sprint(x.fields), x.status, "")
	}
	s.fetch("PUT", "/streams/taken", "", "Stream-Forked-From", "/streams/a").want(t, "again", 200, "")
	s.fetch("PUT", "/streams/taken", "", "Stream-Forked-From", "/streams/a", "Stream-Fork-Offset", zero).want(t, "another", 409, "")
	s.fetch("PUT", "/streams/taken", "", "Stream-Forked-From", "/streams/a", "If-None-Match", "*").want(t, "again, and it must not be there", 412, "precondition")
	s.fetch("PUT", "/streams/taken", "", "Content-Type", "text/plain", "If-None-Match", "*").want(t, "no fork, and it must not be there", 412, "precondition")
	s.fetch("DELETE", "/streams/a", "").want(t, "DELETE", 204, "")
	for method, status := range map[string]int{"GET": 410, "POST": 410, "PUT": 409, "DELETE": 410} {
		s.fetch(method, "/streams/a", "x", "Content-Type", "text/plain").want(t, method, status, "")
	}
	if f := s.fetch("HEAD", "/streams/a", ""); f.status != 410 {
		t.Errorf("HEAD: %d", f.status)
	}
	s.fetch("PUT", "/streams/b", "", "Stream-Forked-From", "/streams/a").want(t, "a fork of what was deleted", 409, "")
	s.fetch("PUT", "/streams/taken", "", "Stream-Forked-From", "/streams/a").want(t, "again", 200, "")
	if got := s.content("taken"); got != "hello" {
		t.Errorf("the fork has %q", got)
	}
	s.fetch("DELETE", "/streams/taken", "").want(t, "DELETE", 204, "")
	if f := s.fetch("HEAD", "/streams/a", ""); f.status != http.StatusNotFound {
		t.Errorf("the source is still there: %d", f.status)
	}
}

// A cursor that is inherited is good although an earlier stream of that name was
// deleted after it; one whose records the fork has lost is told so.
func TestForkGaps(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		first := s.add("a", "text/plain", "one").header.Get("Stream-Next-Offset")
		s.add("a", "text/plain", "two")
		s.make("b", "text/plain", "old")
		s.fetch("DELETE", "/streams/b", "").want(t, "DELETE", 204, "")
		s.fork("b", "a")
		own := s.add("b", "text/plain", "own").header.Get("Stream-Next-Offset")
		s.add("b", "text/plain", "more")
		s.end("b", "")
		if got := data(s.events("/streams/b?as=sse", "Last-Event-ID", first)); !slices.Equal(got, []string{"two", "own", "more", "[leat.end]"}) {
			t.Errorf("after the first: %q", got)
		}
		if got := data(s.events("/streams/b?as=sse&gap=error", "Last-Event-ID", first)); !slices.Equal(got, []string{"two", "own", "more", "[leat.end]"}) {
			t.Errorf("after the first: %q", got)
		}
		s.trim("b", own)
		// Without what it inherits it is a stream like any other that was made anew.
		if got := data(s.events("/streams/b?as=sse", "Last-Event-ID", first)); !slices.Equal(got, []string{"[leat.gap]", "[leat.gap]", "more", "[leat.end]"}) {
			t.Errorf("after the first, when it is gone: %q", got)
		}
		if got := s.content("b"); got != "more" {
			t.Errorf("it has %q", got)
		}
	})
}
