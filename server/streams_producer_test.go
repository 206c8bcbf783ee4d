package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/leat-dev/leat/server"
)

// producer are the fields of a request of a producer.
func producer(epoch, seq int, more ...string) []string {
	return append([]string{"Content-Type", "text/plain", "Producer-Id", "p", "Producer-Epoch", fmt.Sprint(epoch), "Producer-Seq", fmt.Sprint(seq)}, more...)
}

// Every row of the table of the protocol, over HTTP: statuses, fields, problem
// documents, and where the stream stands.
func TestProducer(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		for _, test := range []struct {
			what     string
			fields   []string
			status   int
			body     string
			answered string // Producer-Epoch, -Seq, -Expected-Seq and -Received-Seq
		}{
			{"unknown, in the middle", producer(0, 1), 409, "sequence_gap", "- - 0 1"},
			{"unknown", producer(0, 0), 200, "", "0 0 - -"},
			{"the next", producer(0, 1), 200, "", "0 1 - -"},
			{"a duplicate", producer(0, 0), 204, "", "0 1 - -"},
			{"a gap", producer(0, 3), 409, "sequence_gap", "- - 2 3"},
			{"an epoch that begins at 1", producer(2, 1), 400, "invalid_parameter", "- - - -"},
			{"an epoch", producer(2, 0), 200, "", "2 0 - -"},
			{"the epoch before", producer(0, 2), 403, "stale_epoch", "2 - - -"},
			{"with Stream-Seq", producer(2, 1, "Stream-Seq", "b"), 200, "", "2 1 - -"},
			{"a duplicate with Stream-Seq", producer(2, 1, "Stream-Seq", "a"), 204, "", "2 1 - -"},
			{"the next with a Stream-Seq that is not", producer(2, 2, "Stream-Seq", "b"), 409, "out_of_order", "- - - -"},
			{"the next in another state", producer(2, 2, "If-Match", `"x"`), 412, "precondition_failed", "- - - -"},
			{"a duplicate in another state", producer(2, 1, "If-Match", `"x"`), 204, "", "2 1 - -"},
			{"no id", producer(2, 2)[4:], 400, "missing", "- - - -"},
			{"an empty id", append(producer(2, 2)[4:], "Producer-Id", ""), 400, "empty", "- - - -"},
			{"a long id", append(producer(2, 2)[4:], "Producer-Id", strings.Repeat("n", 1025)), 400, "1024", "- - - -"},
			{"no numbers", producer(2, 2)[:4], 400, "missing", "- - - -"},
			{"a sequence that is none", append(producer(2, 2)[:6], "Producer-Seq", "+2"), 400, "2^53", "- - - -"},
			{"a sequence that is too large", append(producer(2, 2)[:6], "Producer-Seq", "9007199254740992"), 400, "2^53", "- - - -"},
			{"append=stream", producer(2, 2), 400, "append=stream", "- - - -"},
		} {
			path := "/streams/a"
			if test.what == "append=stream" {
				path += "?append=stream"
			}
			f := s.fetch("POST", path, "x", test.fields...)
			f.want(t, test.what, test.status, test.body)
			var answered []string
			for _, name := range []string{"Producer-Epoch", "Producer-Seq", "Producer-Expected-Seq", "Producer-Received-Seq"} {
				if value := f.header.Get(name); value != "" {
					answered = append(answered, value)
				} else {
					answered = append(answered, "-")
				}
			}
			if got := strings.Join(answered, " "); got != test.answered {
				t.Errorf("%s: answered %s, want %s", test.what, got, test.answered)
			}
			if next := s.fetch("HEAD", "/streams/a", "").header.Get("Stream-Next-Offset"); f.status != 400 && f.header.Get("Stream-Next-Offset") != next {
				t.Errorf("%s: status %d with Stream-Next-Offset %q, want %s", test.what, f.status, f.header.Get("Stream-Next-Offset"), next)
			}
			if f.header.Get("X-Content-Type-Options") != "nosniff" || f.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
				t.Errorf("%s: status %d with %v", test.what, f.status, f.header)
			}
		}
		if got := s.content("a"); got != "xxxx" {
			t.Errorf("the content is %q", got)
		}
	})
}

// The order of the checks of the protocol: a duplicate is one whatever else is wrong,
// and what has ended is told before what does not fit.
func TestPostChecksInOrder(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("j", jsonType, "")
		inJSON := func(fields []string) []string { return append(fields, "Content-Type", jsonType)[2:] }
		s.fetch("POST", "/streams/j", "1", inJSON(producer(0, 0))...).want(t, "the first", 200, "")
		for _, body := range []string{"2", "[]", "[1,", "\xff"} {
			s.fetch("POST", "/streams/j", body, inJSON(producer(0, 0))...).want(t, "a duplicate of "+body, 204, "")
			s.fetch("POST", "/streams/j", body, inJSON(producer(0, 2))...).want(t, "a gap before "+body, 409, "sequence_gap")
		}
		s.fetch("POST", "/streams/j", "[1,", inJSON(producer(0, 1))...).want(t, "the next", 400, "invalid_body")
		s.fetch("POST", "/streams/j", "x", producer(0, 0)...).want(t, "a duplicate of another type", 409, "content_type_mismatch")
		s.fetch("POST", "/streams/none", "x", "Producer-Id", "p").want(t, "one header, no type and no stream", 400, "missing")
		s.fetch("POST", "/streams/none", "x").want(t, "no type and no stream", 400, "Content-Type")
		s.fetch("POST", "/streams/none", "x", producer(0, 1)...).want(t, "no stream", 404, "not_found")

		s.fetch("POST", "/streams/j", "[2]", inJSON(producer(0, 1, "Stream-Closed", "true"))...).want(t, "the last", 200, "")
		for _, body := range []string{"", "[2]", "[1,", "x"} {
			f := s.fetch("POST", "/streams/j", body, inJSON(producer(0, 1, "Stream-Closed", "true"))...)
			if f.want(t, "the last again with "+body, 204, ""); f.header.Get("Stream-Closed") != "true" || f.header.Get("Producer-Seq") != "1" {
				t.Errorf("the last again with %q: %v", body, f.header)
			}
		}
		s.fetch("POST", "/streams/j", "x", producer(0, 1)...).want(t, "the last again with another type", 204, "")
		for what, fields := range map[string][]string{
			"another type": producer(0, 2), "nobody": {"Content-Type", jsonType}, "nobody, another type": {"Content-Type", "text/plain"}, "another": inJSON(producer(1, 0)),
		} {
			f := s.fetch("POST", "/streams/j", "[1,", fields...)
			if f.want(t, "after the end: "+what, 409, "ended"); f.header.Get("Stream-Closed") != "true" || f.header.Get("Stream-Next-Offset") == "" {
				t.Errorf("after the end: %s: %v", what, f.header)
			}
		}
		if got := s.content("j"); got != "[1,2]" {
			t.Errorf("the content is %q", got)
		}
	})
}

// "A repeated NDJSON body with producer headers stores each line once", wherever it
// stopped before; so does an event stream, and so does the end.
func TestProducerLines(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for contentType, line := range map[string]string{ndjsonType: "%d\n", sseType: "id: same\ndata: %d\n\n"} {
			body := func(n int) (text string) {
				for i := range n {
					text += fmt.Sprintf(line, i)
				}
				return text
			}
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", jsonType, "")
			fields := func(seq int, more ...string) []string {
				return append(producer(3, seq, more...), "Content-Type", contentType)[2:]
			}
			s.fetch("POST", "/streams/a", body(3)+strings.ReplaceAll(line, "%d", "{"), fields(0)...).want(t, "broken in line 4", 400, `"count":3`)
			f := s.fetch("POST", "/streams/a", body(5), fields(0)...)
			if f.want(t, "repeated, and more", 200, `"count":5,"duplicates":3`); f.header.Get("Producer-Seq") != "4" || f.header.Get("Producer-Epoch") != "3" {
				t.Errorf("%v", f.header)
			}
			f = s.fetch("POST", "/streams/a", body(2), fields(0)...)
			if f.want(t, "an older one", 200, `"count":2,"duplicates":2`); f.header.Get("Producer-Seq") != "4" {
				t.Errorf("%v", f.header)
			}
			s.fetch("POST", "/streams/a", body(1), fields(6)...).want(t, "a gap", 409, "sequence_gap")
			for range 2 {
				f := s.fetch("POST", "/streams/a", body(5), fields(0, "Stream-Closed", "true")...)
				if f.want(t, "the end", 200, `"duplicates":5`); f.header.Get("Producer-Seq") != "5" || f.header.Get("Stream-Closed") != "true" {
					t.Errorf("%v", f.header)
				}
			}
			s.fetch("POST", "/streams/a", body(1), fields(0, "If-Match", "*", "Stream-Seq", "1")...).want(t, "Stream-Seq", 400, "one append")
			if got := s.content("a"); got != "[0,1,2,3,4]" {
				t.Errorf("%s: the content is %s", contentType, got)
			}
		}
	})
}

// Of those who append to one state of a stream one wins: If-Match takes the ETag and
// the Stream-Next-Offset of any answer.
func TestIfMatch(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		made := s.make("a", "text/plain", "")
		const writers, rounds = 4, 5
		var all sync.WaitGroup
		for w := range writers {
			// Ends after its rounds, and is joined below.
			all.Go(func() {
				for n := 0; n < rounds; {
					h := s.fetch("HEAD", "/streams/a", "").header
					state := map[int]string{0: h.Get("ETag"), 1: h.Get("Stream-Next-Offset"), 2: `"` + h.Get("Stream-Next-Offset") + `"`, 3: `"x", ` + h.Get("ETag")}[w]
					f := s.fetch("POST", "/streams/a", h.Get("Content-Length")+"\n", "Content-Type", "text/plain", "If-Match", state)
					switch f.status {
					case 204:
						n++
					case 412:
						if f.header.Get("Stream-Next-Offset") == "" {
							t.Errorf("412 with %v", f.header)
						}
					default:
						t.Errorf("status %d, %q", f.status, f.body)
						return
					}
				}
			})
		}
		all.Wait()
		at := 0
		for line := range strings.Lines(s.content("a")) {
			if line != fmt.Sprintf("%d\n", at) {
				t.Fatalf("%q was appended at byte %d", line, at)
			}
			at += len(line)
		}
		for what, test := range map[string]struct {
			match  string
			status int
		}{"anything": {"*", 204}, "an old one": {made.header.Get("Stream-Next-Offset"), 412}, "nonsense": {"x", 412}, "weak": {"W/" + s.fetch("HEAD", "/streams/a", "").header.Get("ETag"), 412}} {
			s.fetch("POST", "/streams/a", "x", "Content-Type", "text/plain", "If-Match", test.match).want(t, what, test.status, "")
		}
		s.fetch("POST", "/streams/a?key=k", "x", "Content-Type", "text/plain", "If-Match", "*", "Stream-Seq", "1").want(t, "with a key", 400, "key")

		f := s.fetch("PUT", "/streams/a", "", "Content-Type", "text/plain", "If-None-Match", "*")
		if f.want(t, "PUT of what exists", 412, "precondition_failed"); f.header.Get("Stream-Next-Offset") == "" {
			t.Errorf("412 with %v", f.header)
		}
		s.fetch("POST", "/events?topic=t", "x", "Content-Type", "text/plain")
		s.fetch("PUT", "/streams/t", "", "Content-Type", "text/plain", "If-None-Match", "*", "Stream-TTL", "60").want(t, "PUT of a topic", 412, "precondition_failed")
		if h := s.fetch("HEAD", "/streams/t", "").header; h.Get("Stream-TTL") != "" {
			t.Errorf("a topic is kept in another way by what was refused: %v", h)
		}
		s.fetch("PUT", "/streams/new", "", "Content-Type", "text/plain", "If-None-Match", "*").want(t, "PUT of what is not there", http.StatusCreated, "")
	})
}
