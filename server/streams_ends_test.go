package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
)

// ends are the ways in which a stream ends of its own.
var ends = map[string]string{ // Leat-End, and the data of leat.end
	"":                              `{"topic":"a","state":"complete"}`,
	"aborted":                       `{"topic":"a","state":"aborted"}`,
	`error; reason="disk \"full\""`: `{"topic":"a","state":"error","reason":"disk \"full\""}`,
}

// "A broken producer is never reported as complete: raw bodies of such streams are
// cut without a last chunk (reset on HTTP/2)", to those who follow and to those who
// come later, a JSON array as well.
func TestBrokenIsCut(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for state := range ends {
			broken := state != ""
			for contentType, content := range map[string]string{"text/plain": "0123456789", jsonType: "[1,2]", "image/png": "", ndjsonType: "{}\n"} {
				s.fetch("DELETE", "/streams/a", "")
				s.make("a", contentType, content)
				check := func(what string, f fetched, body string, cut bool) {
					t.Helper()
					if f.status/100 != 2 || f.body != body || f.cut != cut {
						t.Errorf("%q, %s, %s: status %d, %q, cut %v; want %q, cut %v", state, contentType, what, f.status, f.body, f.cut, body, cut)
					}
				}
				var following []*http.Response
				if contentType != jsonType {
					following = append(following, s.do("GET", "/streams/a?follow=1", ""), s.do("GET", fmt.Sprintf("/streams/a?follow=1&x=%d", 1), "", "Range", fmt.Sprintf("bytes=%d-", len(content))))
					s.untilReaders(2)
				}
				s.end("a", state)
				for i, resp := range following {
					check("following", drain(resp), content[i*len(content):], broken)
				}
				whole := s.fetch("GET", "/streams/a", "")
				if contentType == jsonType || content == "" {
					check("whole", whole, map[bool]string{true: "[1,2]"}[contentType == jsonType], broken)
					if (whole.header.Get("Content-Length") == "") != broken {
						t.Errorf("%q, %s: %v", state, contentType, whole.header)
					}
					continue
				}
				check("whole", whole, content, broken)
				check("whole, follow=1", s.fetch("GET", "/streams/a?follow=1", ""), content, broken)
				for rng, want := range map[string]struct {
					body string
					cut  bool
				}{
					"bytes=0-":             {content, broken},
					"bytes=1-":             {content[1:], broken},
					"bytes=1-999999999999": {content[1:], broken},
					"bytes=-1":             {content[len(content)-1:], broken},
					"bytes=0-1":            {content[:2], false}, // the end is not in it
				} {
					for _, query := range []string{"", "?follow=1"} {
						f := s.fetch("GET", "/streams/a"+query, "", "Range", rng)
						check(rng+query, f, want.body, want.cut)
						if length := f.header.Get("Content-Range"); strings.HasSuffix(length, "/*") != broken || f.header.Get("Stream-Closed") != "true" || f.header.Get("Leat-End") != state {
							t.Errorf("%q, %s%s: %v", state, rng, query, f.header)
						}
					}
				}
			}
		}
	})
}

// A range that begins where a broken stream ends is no 416: curl -C - takes that
// for "completely downloaded".
func TestNothingMoreOfBroken(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "0123456789", "Stream-Closed", "true", "Leat-End", "aborted")
		for _, rng := range []string{"bytes=10-", "bytes=10-999999999999", "bytes=10-20"} {
			for _, query := range []string{"", "?follow=1"} {
				f := s.fetch("GET", "/streams/a"+query, "", "Range", rng)
				if f.status != 206 || f.body != "" || !f.cut || !strings.HasPrefix(f.header.Get("Content-Range"), "bytes 10-") || f.header.Get("Leat-End") != "aborted" {
					t.Errorf("%s%s: status %d, %q, cut %v, %v", rng, query, f.status, f.body, f.cut, f.header)
				}
			}
		}
		s.fetch("GET", "/streams/a", "", "Range", "bytes=11-").want(t, "beyond the end", 416, "range")
	})
}

// On the wire of HTTP/1.1: all chunks but the last.
func TestCutOnTheWire(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for state := range ends {
		s.fetch("DELETE", "/streams/a", "")
		s.make("a", "text/plain", "0123456789")
		for _, path := range []string{"/streams/a?follow=1", "/streams/a"} {
			conn, r := s.dial()
			if path == "/streams/a" {
				s.end("a", state)
			}
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
			if path != "/streams/a" {
				for line := ""; !strings.Contains(line, "0123456789"); {
					line, _ = r.ReadString('\n')
				}
				s.end("a", state)
			}
			rest, err := io.ReadAll(r)
			last := bytes.HasSuffix(rest, []byte("\r\n0\r\n\r\n")) || bytes.HasSuffix(rest, []byte("\r\n\r\n0123456789")) || string(rest) == "0\r\n\r\n"
			if last != (state == "") {
				t.Errorf("%q, %s: then %q, %v", state, path, rest, err)
			}
			if path != "/streams/a" {
				s.fetch("DELETE", "/streams/a", "")
				s.make("a", "text/plain", "0123456789")
			}
		}
	}
}

// On HTTP/2 the stream is reset and the connection goes on.
func TestCutIsReset(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/2"])
	s.make("a", "text/plain", "0123456789", "Stream-Closed", "true", "Leat-End", "aborted")
	resp := s.do("GET", "/streams/a", "")
	body, err := io.ReadAll(resp.Body)
	if string(body) != "0123456789" || err == nil || !strings.Contains(err.Error(), "stream error") || resp.ProtoMajor != 2 {
		t.Errorf("%s: %q, %v", resp.Proto, body, err)
	}
	s.content("a")
}

// "SSE/NDJSON: leat.end then close"; "204 only if its Last-Event-ID is at or after
// that entry; an earlier cursor gets the rest, the end, then the close"; without a
// cursor the end is told, whatever from says.
func TestEndIsTold(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for state, data := range ends {
			for _, as := range []string{"sse", "ndjson"} {
				what := fmt.Sprintf("%q as %s", state, as)
				s.fetch("DELETE", "/streams/a", "")
				ids := []string{s.make("a", "text/plain", "one").header.Get("Stream-Next-Offset"), s.add("a", "text/plain", "two").header.Get("Stream-Next-Offset")}
				living := s.do("GET", "/streams/a?as="+as, "")
				s.untilReaders(1)
				s.end("a", state)
				id := s.fetch("HEAD", "/streams/a", "").header.Get("Stream-Next-Offset")
				told := map[string]string{
					"sse":    "id: " + id + "\nevent: leat.end\ndata: " + data + "\n\n",
					"ndjson": `{"id":"` + id + `","end":` + data + "}\n",
				}[as]
				if f := drain(living); f.cut || !strings.HasSuffix(f.body, told) || strings.Count(f.body, "one")+strings.Count(f.body, "two") != 2 {
					t.Errorf("%s, live: %q, cut %v", what, f.body, f.cut)
				}
				for from, want := range map[string]string{
					"?from=start": "one two", "?": "one two", "?from=" + ids[0]: "two", "?last_event_id=" + ids[1]: "", "?from=now": "", "?from=-1": "", "?from=-2": "two", "?from=-5m": "one two",
				} {
					f := s.fetch("GET", "/streams/a"+from+"&as="+as, "")
					if f.status != 200 || f.cut || !strings.HasSuffix(f.body, told) || strings.Contains(f.body, "one") != strings.Contains(want, "one") || strings.Contains(f.body, "two") != strings.Contains(want, "two") {
						t.Errorf("%s, %s: status %d, %q", what, from, f.status, f.body)
					}
				}
				events := "/events?topic=a&as=" + as
				if f := s.fetch("GET", events+"&from=start", ""); f.status != 200 || !strings.HasSuffix(f.body, told) {
					t.Errorf("%s, at /events: status %d, %q", what, f.status, f.body)
				}
				if f := s.fetch("GET", events+"&from="+id, ""); f.status != 204 {
					t.Errorf("%s, at /events after the end: status %d, %q", what, f.status, f.body)
				}
				later := s.publish("later", "x")
				for _, at := range []string{id, later} {
					for _, resume := range [][]string{{"?from=" + at}, {"?lastEventID=" + at}, {"?from=start", "Last-Event-ID", at}} {
						f := s.fetch("GET", "/streams/a"+resume[0]+"&as="+as, "", resume[1:]...)
						if f.status != 204 || f.body != "" || f.header.Get("Cache-Control") != "no-store" {
							t.Errorf("%s, %v: status %d, %q, %v", what, resume, f.status, f.body, f.header)
						}
					}
				}
			}
		}
	})
}

// "Deletion and expiry are log entries too": live readers are told, a raw one is
// cut, who comes back is told or gets 204, new ones 404.
func TestGoneIsTold(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, state := range []string{"deleted", "expired"} {
			var fields []string
			if state == "expired" {
				fields = []string{"Stream-Expires-At", time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)}
			}
			id := s.make("a", "text/plain", "one", fields...).header.Get("Stream-Next-Offset")
			events, lines, raw := s.follow("/streams/a?as=sse"), s.follow("/streams/a?as=ndjson"), s.follow("/streams/a?follow=1")
			readLines(t, events, 9) // they have what there is
			readLines(t, lines, 2)
			expect(t, raw, "one")
			if state == "deleted" {
				s.fetch("DELETE", "/streams/a", "").want(t, "DELETE", 204, "")
			}
			data := `{"topic":"a","state":"` + state + `"}`
			if rest, err := io.ReadAll(events); err != nil || !strings.HasSuffix(string(rest), "event: leat.end\ndata: "+data+"\n\n") {
				t.Errorf("%s: then events %q, %v", state, rest, err)
			}
			if rest, err := io.ReadAll(lines); err != nil || !strings.HasSuffix(string(rest), `"end":`+data+"}\n") {
				t.Errorf("%s: then lines %q, %v", state, rest, err)
			}
			if rest, err := io.ReadAll(raw); err == nil || len(rest) > 0 {
				t.Errorf("%s: then bytes %q, %v", state, rest, err)
			}
			for _, query := range []string{"", "?as=sse", "?as=ndjson", "?follow=1", "?as=bytes", "?as=sse&from=now"} {
				s.fetch("GET", "/streams/a"+query, "").want(t, state+query, 404, "not_found")
			}
			s.fetch("GET", "/streams/a", "", "Range", "bytes=3-").want(t, state+", a range", 404, "not_found")
			end := s.newest("a").Offset.String()
			for _, as := range []string{"sse", "ndjson"} {
				s.fetch("GET", "/streams/a?as="+as, "", "Last-Event-ID", id).want(t, state+", as "+as, 200, data)
				if f := s.fetch("GET", "/streams/a?as="+as, "", "Last-Event-ID", end); f.status != 204 {
					t.Errorf("%s, after the end as %s: status %d, %q", state, as, f.status, f.body)
				}
			}
			// Made anew: who knew the old one hears that, and gets the new one whole.
			s.make("a", "text/plain", "new", "Stream-Closed", "true")
			for _, ev := range [][]string{{id, "new"}, {end, "new"}} {
				if f := s.fetch("GET", "/streams/a?as=sse", "", "Last-Event-ID", ev[0]); f.status != 200 || !strings.Contains(f.body, "data: new\n") || strings.Contains(f.body, "data: one\n") {
					t.Errorf("%s and made anew, after %s: status %d, %q", state, ev[0], f.status, f.body)
				}
			}
			s.fetch("DELETE", "/streams/a", "")
		}
	})
}

// A client cuts what it is sent after each number of bytes, comes back as clients of
// that form do, and has in the end exactly what the stream has, and knows that it is
// all.
func TestEveryCut(t *testing.T) {
	pieces := []string{"one\r\n", "t\xc3", "\xa9\xe2\x82", "\xac\n\nid: 9\n", "", "€", "data: {\"id\":\"x\"}\n"}
	content := strings.Join(pieces, "")
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for state, data := range ends {
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", "text/plain", pieces[0])
			tag := s.fetch("HEAD", "/streams/a", "").header.Get("ETag")
			for _, p := range pieces[1:] {
				s.publish("other", "passed over")
				if f := s.fetch("POST", "/streams/a?append=stream", p, "Content-Type", "text/plain"); (f.status == 200) != (p != "") {
					t.Fatalf("%q: status %d, %q", p, f.status, f.body)
				}
			}
			s.end("a", state)
			for form, client := range map[string]func(i int) resumer{
				"sse":    func(int) resumer { return &eventClient{} },
				"ndjson": func(int) resumer { return &lineClient{} },
				"bytes":  func(i int) resumer { return &byteClient{tag: tag, broken: state != ""} },
			} {
				whole := s.fetch("GET", client(0).path(), "")
				if form != "bytes" && whole.cut {
					t.Fatalf("%q, %s: the answer is cut", state, form)
				}
				for cut := range len(whole.body) + 1 {
					c := client(cut)
					done, requests := false, 0
					for ; !done && requests < 4; requests++ {
						limit := -1
						if requests == 0 {
							limit = cut
						}
						done = s.resume(c, limit)
					}
					text, end := c.got()
					want := content
					if form == "sse" {
						want = strings.NewReplacer("\r\n", "\n").Replace(content)
					}
					if !done || text != want || end != data && form != "bytes" {
						t.Fatalf("%q, %s, cut after %d of %d bytes: %d requests, done %v, %q, end %s", state, form, cut, len(whole.body), requests, done, text, end)
					}
					// The one that was cut, the one that has the rest, and for who has
					// not seen a good end one that says that it is all.
					if requests > 2 && !(form == "bytes" && state != "" && requests == 3) {
						t.Errorf("%q, %s, cut after %d of %d bytes: %d requests", state, form, cut, len(whole.body), requests)
					}
				}
			}
		}
	})
}

// A resumer is a client of one form.
type resumer interface {
	path() string
	fields() []string // of the next request

	// take takes a part of an answer, which may end anywhere, and reports whether
	// the client knows that it has all.
	take(f fetched) bool

	// got is the text and the end that it has.
	got() (text, end string)
}

// resume sends the next request of a client. With a limit that is not negative the
// connection is cut after so many bytes.
func (s *service) resume(c resumer, limit int) bool {
	s.t.Helper()
	if limit < 0 {
		return c.take(s.fetch("GET", c.path(), "", c.fields()...))
	}
	resp := s.do("GET", c.path(), "", c.fields()...)
	body := make([]byte, limit)
	n, err := io.ReadFull(resp.Body, body)
	resp.Body.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatalf("the first %d bytes: %v", limit, err)
	}
	return c.take(fetched{resp.StatusCode, resp.Header, string(body[:n]), true})
}

// eventClient is an EventSource.
type eventClient struct {
	lastID, text, end string
}

func (c *eventClient) path() string { return "/streams/a?as=sse" }

func (c *eventClient) fields() []string {
	if c.lastID == "" {
		return nil
	}
	return []string{"Last-Event-ID", c.lastID}
}

func (c *eventClient) take(f fetched) bool {
	if f.status == 204 {
		return true
	}
	var id, typ, data string
	r := bufio.NewReader(strings.NewReader(f.body))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return c.end != "" && !f.cut // an event that has no end is dropped
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			typ = value
		case "data":
			data += value + "\n"
		case "":
			if value != "" || line != "\n" {
				continue // a comment
			}
			if id != "" {
				c.lastID = id
			}
			switch data = strings.TrimSuffix(data, "\n"); typ {
			case "":
				c.text += data
			case "leat.end":
				c.end += data
			}
			id, typ, data = "", "", ""
		}
	}
}

func (c *eventClient) got() (string, string) { return c.text, c.end }

// lineClient reads NDJSON.
type lineClient struct{ eventClient }

func (c *lineClient) path() string { return "/streams/a?as=ndjson" }

func (c *lineClient) take(f fetched) bool {
	if f.status == 204 {
		return true
	}
	for line := range strings.Lines(f.body) {
		if !strings.HasSuffix(line, "\n") || line == "\n" {
			continue // a line without its end is none
		}
		var v struct {
			ID   string
			Data string
			End  rawJSON
		}
		mustDecode(line, &v)
		c.lastID = v.ID
		c.text += v.Data
		c.end += string(v.End)
	}
	return c.end != "" && !f.cut
}

// byteClient is curl -C -, with the tag of when it began.
type byteClient struct {
	tag, text string
	broken    bool
}

func (c *byteClient) path() string { return "/streams/a?follow=1" }

func (c *byteClient) fields() []string {
	if c.text == "" {
		return nil
	}
	return []string{"Range", fmt.Sprintf("bytes=%d-", len(c.text)), "If-Range", c.tag}
}

func (c *byteClient) take(f fetched) bool {
	switch {
	case f.status == 416:
		return !c.broken && f.header.Get("Content-Range") == fmt.Sprintf("bytes */%d", len(c.text)) && f.header.Get("Stream-Closed") == "true"
	case f.status == 200:
		c.text = ""
	case !strings.HasPrefix(f.header.Get("Content-Range"), fmt.Sprintf("bytes %d-", len(c.text))):
		c.text += "not what comes next"
	}
	c.text += f.body
	if c.broken {
		// It never ends well. The header of an answer without a byte says why
		// there is no more.
		return f.status == 206 && f.body == "" && f.cut && f.header.Get("Stream-Closed") == "true" && f.header.Get("Leat-End") != ""
	}
	return !f.cut
}

func (c *byteClient) got() (string, string) { return c.text, "" }
