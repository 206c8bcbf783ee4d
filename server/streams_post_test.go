package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

const sseType = "text/event-stream"

// Every row of "append": what a body of one type makes in a stream of another.
func TestPost(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			stream, query, contentType, body string
			status                           int
			answer                           string // a part
			records                          []string
		}{
			{"text/plain", "", "text/plain", "one\r\n", 204, "", []string{"one\r\n"}},
			{"text/plain", "", "TEXT/plain; charset=utf-8", "é", 204, "", []string{"é"}},
			{"text/plain", "", formType, "a=b", 204, "", []string{"a=b"}},
			{"text/plain", "?type=price&key=k", "text/plain", "7", 204, "", []string{"7"}},
			{"application/octet-stream", "", "application/octet-stream", "\x00\xff", 204, "", []string{"\x00\xff"}},
			{jsonType, "", jsonType, ` {"n": 1.0, "n": 2e400} `, 204, "", []string{`{"n":1.0,"n":2e400}`}},
			{jsonType, "", jsonType, `[1, [2, 3], []]`, 204, "", []string{"1", "[2,3]", "[]"}},
			{jsonType, "?type=price&key=k", jsonType, `[1]`, 204, "", []string{"1"}},
			{"application/ld+json", "", "application/ld+json", `[[1]]`, 204, "", []string{"[1]"}},

			// "On a JSON stream an NDJSON body is many appends."
			{jsonType, "", ndjsonType, "1\n\n {\"a\": 2}\r\n[3]", 200, `{"count":3,"last":"`, []string{"1", `{"a":2}`, "[3]"}},
			{jsonType, "", "application/ndjson", "1\n", 200, `{"count":1,`, []string{"1"}},
			{jsonType, "", "application/jsonl", "1\n", 200, `{"count":1,`, []string{"1"}},
			{jsonType, "", ndjsonType, "1\n2\n{\n4\n", 400, `"line":3`, []string{"1", "2"}},
			{jsonType, "", ndjsonType, "\n\n", 200, `{"count":0}`, nil},

			// "On a text or JSON stream an SSE body is many."
			{"text/plain", "", sseType, ": hi\ndata: one\ndata: two\n\nevent: price\nid: k\ndata: 7\n\n", 200, `{"count":2,"last":"`, []string{"one\ntwo", "7"}},
			{"text/plain", "", sseType, "id: k\ndata: 7\n\nid: k\ndata: 7\n\n", 200, `{"count":2,"duplicates":1,"last":"`, []string{"7"}},
			{jsonType, "", sseType, "data: {\"a\":\ndata: 1}\n\ndata: 2\r\n\r\n", 200, `{"count":2,`, []string{`{"a":1}`, "2"}},
			{jsonType, "", sseType, "data: 1\n\ndata: x\n\n", 400, `"event":2`, []string{"1"}},
			{"text/plain", "", sseType, "data: one\n\ndata: two\n", 400, `"count":1`, []string{"one"}},

			// "On a stream of that same type the body is bytes."
			{ndjsonType, "", ndjsonType, "{\n", 204, "", []string{"{\n"}},
			{sseType, "", sseType, "data: one\n\ndata: t", 204, "", []string{"data: one\n\ndata: t"}},
			{formType + "x", "", formType + "x", "a=b", 204, "", []string{"a=b"}},

			// append=stream.
			{"text/plain", "?append=stream", "text/plain", "one", 200, `{"count":1,"bytes":3,"last":"`, []string{"one"}},
			{"text/plain", "?append=stream", "", "one", 200, `"bytes":3`, []string{"one"}},
			{"image/png", "?append=stream", formType, "one", 200, `"bytes":3`, []string{"one"}},
			{ndjsonType, "?append=stream", ndjsonType, "{\n", 200, `"bytes":2`, []string{"{\n"}},
			{"image/png", "?append=stream", "text/plain", "one", 409, "content_type_mismatch", nil},
			{jsonType, "?append=stream", jsonType, "1", 400, "invalid_parameter", nil},

			// "Any other type 409"; none 400; nothing 400.
			{"text/plain", "", "text/html", "x", 409, "content_type_mismatch", nil},
			{"text/plain", "", jsonType, "1", 409, "content_type_mismatch", nil},
			{"text/plain", "", ndjsonType, "1\n", 409, "content_type_mismatch", nil},
			{"application/octet-stream", "", sseType, "data: x\n\n", 409, "content_type_mismatch", nil},
			{"application/octet-stream", "", formType, "x", 409, "content_type_mismatch", nil},
			{jsonType, "", "application/ld+json", "1", 409, "content_type_mismatch", nil},
			{jsonType, "", "text/plain", "1", 409, "content_type_mismatch", nil},
			{jsonType, "", formType, "1", 409, "content_type_mismatch", nil},
			{"text/plain", "", "nonsense", "x", 409, "content_type_mismatch", nil},
			{"text/plain", "", "text/plain; charset=latin1", "x", 415, "unsupported_media_type", nil},
			{"text/plain", "", "", "x", 400, "Content-Type", nil},
			{"text/plain", "", "text/plain", "", 400, "nothing to append", nil},
			{jsonType, "", jsonType, "", 400, "nothing to append", nil},
			{jsonType, "", jsonType, "[]", 400, "nothing to append", nil},
			{jsonType, "", ndjsonType, "", 400, "nothing to append", nil},
			{"text/plain", "", sseType, "", 400, "nothing to append", nil},
			{"text/plain", "?append=stream", "text/plain", "", 400, "nothing to append", nil},

			// All or nothing.
			{jsonType, "", jsonType, "[1,2,}", 400, "invalid_body", nil},
			{jsonType, "", jsonType, "[1,2", 400, "invalid_body", nil},
			{jsonType, "", jsonType, "[\"\xff\"]", 400, "invalid_body", nil},
			{"text/plain", "", "text/plain", "a\xffb", 400, "invalid_body", nil},

			// What the query says.
			{"text/plain", "?append=all", "text/plain", "x", 400, "invalid_parameter", nil},
			{"text/plain", "?type=leat.end", "text/plain", "x", 400, "invalid_type", nil},
			{"text/plain", "?type=a%0Ab", "text/plain", "x", 400, "invalid_type", nil},
			{"text/plain", "?key=%FF", "text/plain", "x", 400, "invalid_key", nil},
			{"text/plain", "?key=a&key=b", "text/plain", "x", 400, "invalid_parameter", nil},
			{"text/plain", "?type=a&type=b", "text/plain", "x", 400, "invalid_parameter", nil},
			{"text/plain", "?x=%zz", "text/plain", "x", 400, "invalid_parameter", nil},
			{"text/plain", "?unknown=1", "text/plain", "x", 204, "", []string{"x"}},
			{jsonType, "?key=k", jsonType, "[1,2]", 400, "invalid_parameter", nil},
			{jsonType, "?type=k", ndjsonType, "1\n", 400, "invalid_parameter", nil},
			{"text/plain", "?key=k", sseType, "data: x\n\n", 400, "invalid_parameter", nil},
			{"text/plain", "?append=stream&key=k", "text/plain", "x", 400, "invalid_parameter", nil},
		} {
			for what, post := range map[string]func(method, path, body string, fields ...string) fetched{"with a length": s.fetch, "chunked": s.chunked} {
				what = fmt.Sprintf("%s: POST%s %s %q %s", test.stream, test.query, test.contentType, test.body, what)
				s.fetch("DELETE", "/streams/a", "")
				made := s.make("a", test.stream, "")
				var fields []string
				if test.contentType != "" {
					fields = []string{"Content-Type", test.contentType}
				}
				f := post("POST", "/streams/a"+test.query, test.body, fields...)
				f.want(t, what, test.status, test.answer)
				b, err := s.st.ReadStream(t.Context(), "a", 0, 0, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for i := range b.Records {
					got = append(got, string(b.Records[i].Data))
				}
				if strings.Join(got, "|") != strings.Join(test.records, "|") || len(got) != len(test.records) {
					t.Errorf("%s: records %q, want %q", what, got, test.records)
				}
				if f.status >= 300 {
					continue
				}
				next := made.header.Get("Stream-Next-Offset")
				if len(got) > 0 {
					next = b.Records[len(got)-1].Offset.String()
				}
				if f.header.Get("Stream-Next-Offset") != next || f.header.Get("Stream-Closed") != "" {
					t.Errorf("%s: %v, want Stream-Next-Offset %s", what, f.header, next)
				}
				if strings.Contains(test.query, "type=price") && (b.Records[0].Type != "price" || b.Records[0].Key != "k") {
					t.Errorf("%s: %+v", what, b.Records[0])
				}
			}
		}
	})
}

// A key that was used says 204 again, and stores nothing.
func TestPostKey(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		for range 3 {
			s.fetch("POST", "/streams/a?key=k1", "one", "Content-Type", "text/plain").want(t, "k1", 204, "")
		}
		f := s.add("a", "text/plain", "two")
		// The offset is where the stream stands, not where the record is.
		again := s.fetch("POST", "/streams/a?key=k1", "one", "Content-Type", "text/plain")
		if again.status != 204 || again.header.Get("Stream-Next-Offset") != f.header.Get("Stream-Next-Offset") {
			t.Errorf("again: status %d, %v, after %v", again.status, again.header, f.header)
		}
		for range 3 {
			f := s.fetch("POST", "/streams/a?key=k2", "three", "Content-Type", "text/plain", "Stream-Closed", "true")
			if f.status != 204 || f.header.Get("Stream-Closed") != "true" {
				t.Errorf("the last, with a key: status %d, %v", f.status, f.header)
			}
		}
		s.fetch("POST", "/streams/a?key=k1", "one", "Content-Type", "text/plain").want(t, "k1 after the end", 204, "")
		s.fetch("POST", "/streams/a?key=k3", "four", "Content-Type", "text/plain").want(t, "k3 after the end", 409, "ended")
		if got := s.content("a"); got != "onetwothree" {
			t.Errorf("the content is %q", got)
		}
	})
}

// "A POST, no body, Stream-Closed: true: 204, repeatable", its Content-Type is
// ignored; "otherwise 409 with Stream-Closed: true and Stream-Next-Offset".
func TestClosing(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, stream := range []string{"text/plain", jsonType, ndjsonType, sseType, "image/png"} {
			for _, contentType := range []string{"", "text/plain", jsonType, ndjsonType, sseType, formType, "nonsense"} {
				for _, query := range []string{"", "?append=stream"} {
					for what, post := range map[string]func(method, path, body string, fields ...string) fetched{"with a length": s.fetch, "chunked": s.chunked} {
						what = fmt.Sprintf("%s: closing%s with Content-Type %q %s", stream, query, contentType, what)
						if query != "" && stream == jsonType {
							continue
						}
						s.fetch("DELETE", "/streams/a", "")
						s.make("a", stream, "1")
						fields := []string{"Stream-Closed", "true"}
						if contentType != "" {
							fields = append(fields, "Content-Type", contentType)
						}
						var next string
						for range 2 {
							f := post("POST", "/streams/a"+query, "", fields...)
							if f.status != 204 || f.header.Get("Stream-Closed") != "true" || f.header.Get("Leat-End") != "" || next != "" && f.header.Get("Stream-Next-Offset") != next {
								t.Errorf("%s: status %d, %v, %q", what, f.status, f.header, f.body)
							}
							next = f.header.Get("Stream-Next-Offset")
						}
						if end := s.newest("a"); end.Kind != leat.KindEnd || end.Type != "complete" || end.Offset.String() != next {
							t.Errorf("%s: the end is %+v, not at %s", what, end, next)
						}
					}
				}
			}
		}
		s.fetch("POST", "/streams/none", "", "Stream-Closed", "true").want(t, "no stream", 404, "not_found")
	})
}

// With a body, both or neither; and in every manner of appending.
func TestClosingWithBody(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			stream, query, contentType, body, content string
			status                                    int
		}{
			{"text/plain", "", "text/plain", "x", "x", 204},
			{"text/plain", "?key=k", "text/plain", "x", "x", 204},
			{"text/plain", "?append=stream", "text/plain", "x", "x", 200},
			{"text/plain", "", sseType, "data: x\n\ndata: y\n\n", "xy", 200},
			{jsonType, "", jsonType, "[1,2]", "[1,2]", 204},
			{jsonType, "", ndjsonType, "1\n2\n", "[1,2]", 200},
		} {
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", test.stream, "")
			f := s.fetch("POST", "/streams/a"+test.query, test.body, "Content-Type", test.contentType, "Stream-Closed", "true", "Leat-End", `aborted; reason="why"`)
			end := s.newest("a")
			if f.status != test.status || f.header.Get("Stream-Closed") != "true" || f.header.Get("Leat-End") != `aborted; reason="why"` || f.header.Get("Stream-Next-Offset") != end.Offset.String() {
				t.Errorf("%s %q: status %d, %v, %q; the end is %s", test.contentType, test.body, f.status, f.header, f.body, end.Offset)
			}
			if got := s.fetch("GET", "/streams/a", ""); got.body != test.content || !got.cut {
				t.Errorf("%s %q: the content is %q, cut %v", test.contentType, test.body, got.body, got.cut)
			}
			for what, fields := range map[string][]string{
				"more":                 {"Content-Type", test.stream},
				"more and the end":     {"Content-Type", test.stream, "Stream-Closed", "true", "Leat-End", "aborted"},
				"another end":          {"Stream-Closed", "true"},
				"another way, no body": {"Stream-Closed", "true", "Leat-End", "error"},
			} {
				body := map[bool]string{true: "3"}[strings.HasPrefix(what, "more")]
				f := s.fetch("POST", "/streams/a", body, fields...)
				f.want(t, what, 409, `"code":"ended"`)
				if f.header.Get("Stream-Closed") != "true" || f.header.Get("Leat-End") != `aborted; reason="why"` || f.header.Get("Stream-Next-Offset") != end.Offset.String() {
					t.Errorf("%s: 409 with %v", what, f.header)
				}
			}
		}
		// A refused body does not end the stream.
		s.make("b", jsonType, "")
		for contentType, body := range map[string]string{jsonType: "[1,", ndjsonType: "1\n{\n", "text/plain": "x", sseType: "data: {\n\n"} {
			f := s.fetch("POST", "/streams/b", body, "Content-Type", contentType, "Stream-Closed", "true")
			if h := s.fetch("HEAD", "/streams/b", ""); f.status < 400 || h.header.Get("Stream-Closed") != "" {
				t.Errorf("%s %q: status %d, then %v", contentType, body, f.status, h.header)
			}
		}
	})
}

// "At most 1 MiB by default … too large 413", announced or not, of a record, an
// array, a line and an event; the stream takes what is as large as that.
func TestPostTooLarge(t *testing.T) {
	const most = 1000
	fits := strings.Repeat("x", most)
	overProtocols(t, server.Options{MaxRecord: most}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			stream, contentType, body string
			count                     any // of records that are stored nevertheless
		}{
			{"text/plain", "text/plain", fits + "x", nil},
			{"text/plain", "text/plain", strings.Repeat(fits, 3000), nil},
			{jsonType, jsonType, `"` + fits[:most-1] + `"`, nil},
			{jsonType, jsonType, `["` + fits + `"]`, nil},
			{jsonType, jsonType, "[" + strings.Repeat("1,", most) + "1]", nil},
			{jsonType, ndjsonType, "1\n\"" + fits[:most-1] + "\"\n", 1.0},
			{"text/plain", sseType, "data: 1\n\ndata: " + fits + "x\n\n", 1.0},
		} {
			for what, post := range map[string]func(method, path, body string, fields ...string) fetched{"with a length": s.fetch, "chunked": s.chunked} {
				s.fetch("DELETE", "/streams/a", "")
				s.make("a", test.stream, "")
				what = fmt.Sprintf("%s %.12q… %s", test.contentType, test.body, what)
				f := post("POST", "/streams/a", test.body, "Content-Type", test.contentType)
				f.want(t, what, 413, "too_large")
				if info, _ := s.st.Stream(t.Context(), "a"); test.count == nil && info.Records != 0 || test.count != nil && (info.Records != 1 || !strings.Contains(f.body, `"count":1`)) {
					t.Errorf("%s: %d records, %q", what, info.Records, f.body)
				}
			}
		}
		s.make("b", "text/plain", fits)
		s.add("b", "text/plain", fits)
		s.add("b", sseType, "data: "+fits+"\n\n")
		s.make("c", jsonType, `"`+fits[:most-2]+`"`)
		s.add("c", ndjsonType, `"`+fits[:most-2]+`"`)
		s.make("d", "text/plain", "")
		s.fetch("POST", "/streams/d?append=stream", strings.Repeat(fits, 10)+"x", "Content-Type", "text/plain").want(t, "append=stream", 200, `"bytes":10001`)
		if got := s.content("d"); got != strings.Repeat(fits, 10)+"x" {
			t.Errorf("append=stream: %d bytes", len(got))
		}
	})
}
