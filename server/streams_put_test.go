package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// "Answer 201 carries Location (absolute URL, same path), Content-Type,
// Stream-Next-Offset, and Stream-Closed when closed. An existing stream: 200 if
// type, TTL/expiry, closed state are equal, otherwise 409."
func TestPut(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		type fields []string
		text := fields{"Content-Type", "text/plain"}
		for _, test := range []struct {
			what           string
			first, again   fields
			body           string
			statusOfSecond int
		}{
			{"the same", text, text, "", 200},
			{"no type is bytes", fields{}, fields{"Content-Type", "application/octet-stream"}, "", 200},
			{"parameters and case do not count", text, fields{"Content-Type", "TEXT/Plain; charset=utf-8"}, "", 200},
			{"another type", text, fields{"Content-Type", jsonType}, "", 409},
			{"the same TTL", append(text, "Stream-TTL", "3600"), append(text, "Stream-TTL", "3600"), "", 200},
			{"another TTL", append(text, "Stream-TTL", "3600"), append(text, "Stream-TTL", "3601"), "", 409},
			{"no TTL any more", append(text, "Stream-TTL", "3600"), text, "", 409},
			{"the same expiry", append(text, "Stream-Expires-At", "2099-12-31T23:59:59Z"), append(text, "Stream-Expires-At", "2099-12-31T23:59:59Z"), "", 200},
			{"the same expiry in other words", append(text, "Stream-Expires-At", "2099-12-31T23:59:59Z"), append(text, "Stream-Expires-At", "2100-01-01T00:59:59+01:00"), "", 409},
			{"what is no type is none", fields{"Content-Type", "nonsense"}, fields{"Content-Type", "application/octet-stream"}, "", 200},
			{"another expiry", append(text, "Stream-Expires-At", "2099-12-31T23:59:59Z"), append(text, "Stream-Expires-At", "2099-12-31T23:59:58Z"), "", 409},
			{"the same retention", append(text, "Leat-Retention", "records=10, age=60"), append(text, "Leat-Retention", "age=60", "Leat-Retention", "records=10"), "", 200},
			{"another retention", append(text, "Leat-Retention", "records=10"), append(text, "Leat-Retention", "bytes=10"), "", 409},
			{"closed and not", append(text, "Stream-Closed", "true"), text, "", 409},
			{"closed both times", append(text, "Stream-Closed", "TRUE"), append(text, "Stream-Closed", "true"), "", 200},
			{"open and closed", text, append(text, "Stream-Closed", "true"), "", 409},
			{"closed in two ways", append(text, "Stream-Closed", "true"), append(text, "Stream-Closed", "true", "Leat-End", "aborted"), "", 409},
			{"any other value of Stream-Closed is none", append(text, "Stream-Closed", "1"), append(text, "Stream-Closed", "yes"), "", 200},
			{"content does not count the second time", text, text, "content", 200},
			{"JSON without content", fields{"Content-Type", jsonType}, fields{"Content-Type", jsonType}, "", 200},
			{"what curl -d sends is text", fields{"Content-Type", formType}, text, "a=b", 200},
		} {
			s.fetch("DELETE", "/streams/a", "")
			first := s.fetch("PUT", "/streams/a", test.body, test.first...)
			first.want(t, test.what, 201, "")
			over := strings.EqualFold(get(test.first, "Stream-Closed"), "true")
			if first.header.Get("Location") != s.url+"/streams/a" || first.header.Get("Content-Type") == "" || first.header.Get("Stream-Next-Offset") == "" || (first.header.Get("Stream-Closed") == "true") != over {
				t.Errorf("%s: 201 with %v", test.what, first.header)
			}
			second := s.fetch("PUT", "/streams/a", test.body, test.again...)
			if second.status != test.statusOfSecond {
				t.Errorf("%s: the second time status %d, %q", test.what, second.status, second.body)
			}
			if second.status == 200 && (second.header.Get("Content-Type") != first.header.Get("Content-Type") || second.header.Get("Stream-Next-Offset") != first.header.Get("Stream-Next-Offset") || second.header.Get("Location") != "" ||
				second.header.Get("Stream-Closed") != first.header.Get("Stream-Closed")) {
				t.Errorf("%s: 200 with %v, after %v", test.what, second.header, first.header)
			}
			if got := s.content("a"); test.body != "" && got != test.body {
				t.Errorf("%s: the content is %q, want %q", test.what, got, test.body)
			}
		}
	})
}

// get returns the value of a field in pairs of names and values.
func get(fields []string, name string) string {
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == name {
			return fields[i+1]
		}
	}
	return ""
}

// HEAD tells the configuration in the words in which it was asked for.
func TestPutIsTold(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain; charset=UTF-8", "x", "Stream-TTL", "3600", "Leat-Retention", "age=60,records=10 ,bytes=5")
		s.make("b", "application/vnd.x+json; v=1", "", "Stream-Expires-At", "2099-12-31T23:59:59.5+01:00", "Stream-Closed", "true", "Leat-End", `error; reason="disk \"full\""`)
		for name, want := range map[string]map[string]string{
			"a": {"Content-Type": "text/plain; charset=utf-8", "Stream-TTL": "3600", "Stream-Expires-At": "", "Leat-Retention": "records=10, bytes=5, age=60", "Stream-Closed": "", "Leat-End": ""},
			"b": {"Content-Type": "application/vnd.x+json; v=1", "Stream-TTL": "", "Stream-Expires-At": "2099-12-31T23:59:59.5+01:00", "Leat-Retention": "", "Stream-Closed": "true", "Leat-End": `error; reason="disk \"full\""`},
		} {
			f := s.fetch("HEAD", "/streams/"+name, "")
			for field, value := range want {
				if got := f.header.Get(field); got != value {
					t.Errorf("%s: %s is %q, want %q", name, field, got, value)
				}
			}
		}
	})
}

// The body of PUT is the first content: as bytes, or the elements of a JSON array;
// "chunked bodies count".
func TestPutContent(t *testing.T) {
	overProtocols(t, server.Options{MaxRecord: 1000}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			contentType, body, content string
			records                    int64
		}{
			{"text/plain", "", "", 0},
			{"text/plain", "é\r\n", "é\r\n", 1},
			{"application/octet-stream", "\x00\xff", "\x00\xff", 1},
			{"application/x-ndjson", "{}\n{}\n", "{}\n{}\n", 1},
			{"text/event-stream", "data: x\n\n", "data: x\n\n", 1},
			{jsonType, "", "[]", 0},
			{jsonType, "[]", "[]", 0},
			{jsonType, ` [1.0, [2 ,3] ,"a\u0000"] `, `[1.0,[2,3],"a\u0000"]`, 3},
			{jsonType, `{"a": 1, "a": 2}`, `[{"a":1,"a":2}]`, 1},
			{"application/ld+json", "[[1]]", "[[1]]", 1},
		} {
			for what, put := range map[string]func(method, path, body string, fields ...string) fetched{"with a length": s.fetch, "chunked": s.chunked} {
				s.fetch("DELETE", "/streams/a", "")
				put("PUT", "/streams/a", test.body, "Content-Type", test.contentType).want(t, test.body, 201, "")
				info, err := s.st.Stream(t.Context(), "a")
				if err != nil || info.Records != test.records {
					t.Errorf("%s %q %s: %d records, %v, want %d", test.contentType, test.body, what, info.Records, err, test.records)
				}
				if got := s.content("a"); got != test.content {
					t.Errorf("%s %q %s: the content is %q, want %q", test.contentType, test.body, what, got, test.content)
				}
			}
		}
	})
}

// A malformed head or body makes nothing.
func TestPutRefusals(t *testing.T) {
	overProtocols(t, server.Options{MaxRecord: 1000}, func(t *testing.T, s *service) {
		longest := strings.Repeat("x", 1001)
		for _, test := range []struct {
			field, value string
			status       int
			code         string
		}{
			{"Stream-TTL", "-1", 400, "invalid_parameter"},
			{"Stream-TTL", "+1", 400, "invalid_parameter"},
			{"Stream-TTL", "01", 400, "invalid_parameter"},
			{"Stream-TTL", "1.5", 400, "invalid_parameter"},
			{"Stream-TTL", "1e3", 400, "invalid_parameter"},
			{"Stream-TTL", "1, 1", 400, "invalid_parameter"},
			{"Stream-TTL", "99999999999999999999", 400, "invalid_parameter"},
			{"Stream-TTL", "3162240001", 400, "invalid_parameter"},
			{"Stream-Expires-At", "tomorrow", 400, "invalid_parameter"},
			{"Stream-Expires-At", "2099-12-31", 400, "invalid_parameter"},
			{"Stream-Expires-At", "2099-12-31T23:59:59", 400, "invalid_parameter"},
			{"Stream-Expires-At", "2099-12-31 23:59:59Z", 400, "invalid_parameter"},
			{"Stream-Expires-At", "2099-12-31T23:59:59,5Z", 400, "invalid_parameter"},
			{"Stream-Expires-At", "2099-12-31T3:59:59Z", 400, "invalid_parameter"},
			{"Stream-Expires-At", "2099-13-31T23:59:59Z", 400, "invalid_parameter"},
			{"Leat-Retention", "records", 400, "invalid_parameter"},
			{"Leat-Retention", "records=", 400, "invalid_parameter"},
			{"Leat-Retention", "records=0", 400, "invalid_parameter"},
			{"Leat-Retention", "records=-1", 400, "invalid_parameter"},
			{"Leat-Retention", "records=1000000000000000", 400, "invalid_parameter"},
			{"Leat-Retention", "records=1,,bytes=1", 400, "invalid_parameter"},
			{"Leat-Retention", "weight=1", 400, "invalid_parameter"},
			{"Leat-Retention", "age=99999999999", 400, "invalid_parameter"},
			{"Leat-Retention", "age=1h", 400, "invalid_parameter"},
			{"Leat-End", "complete", 400, "invalid_parameter"},
			{"Content-Type", "text", 415, "unsupported_media_type"},
			{"Content-Type", "*/*", 415, "unsupported_media_type"},
			{"Content-Type", "text/plain; charset=latin1", 415, "unsupported_media_type"},
			{"Content-Encoding", "gzip", 415, "unsupported_media_type"},
		} {
			f := s.fetch("PUT", "/streams/a", "x", test.field, test.value)
			f.want(t, test.field+": "+test.value, test.status, test.code)
		}
		s.fetch("PUT", "/streams/a", "", "Stream-TTL", "1", "Stream-Expires-At", "2099-12-31T23:59:59Z").want(t, "TTL and expiry", 400, "invalid_parameter")
		s.fetch("PUT", "/streams/a", "", "Stream-Expires-At", "2099-12-31T23:59:59Z", "Stream-Expires-At", "2099-12-31T23:59:59Z").want(t, "two expiries", 400, "invalid_parameter")
		for _, test := range []struct {
			contentType, body string
			status            int
		}{
			{"text/plain", "\xff", 400},
			{jsonType, "{", 400},
			{jsonType, " ", 400},
			{jsonType, "[1,]", 400},
			{jsonType, "1 2", 400},
			{"text/plain", longest, 413},
			{jsonType, `["` + longest + `"]`, 413},
			{jsonType, "[" + strings.Repeat("1,", 500) + "1]", 413},
		} {
			for _, put := range []func(method, path, body string, fields ...string) fetched{s.fetch, s.chunked} {
				put("PUT", "/streams/a", test.body, "Content-Type", test.contentType).want(t, fmt.Sprintf("%s %.10q", test.contentType, test.body), test.status, "")
			}
		}
		s.fetch("GET", "/streams/a", "").want(t, "after all that", 404, "not_found")
	})
}

// All the ways to say how a stream ends, in PUT and POST.
func TestEndField(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct{ field, told, state, reason string }{ // told empty: refused
			{"complete", "-", "complete", ""},
			{"aborted", "aborted", "aborted", ""},
			{"error", "error", "error", ""},
			{`error; reason="disk full"`, `error; reason="disk full"`, "error", "disk full"},
			{`error;reason="a\\b\"c"`, `error; reason="a\\b\"c"`, "error", `a\b"c`},
			{`error ;  reason=""`, "error", "error", ""},
			{`aborted; reason=%"gr%c3%bc%c3%9fe %25 \"`, `aborted; reason=%"gr%c3%bc%c3%9fe %25 \"`, "aborted", `grüße % \`},
			{`error; reason=%"plain"`, `error; reason="plain"`, "error", "plain"},
			{`error; reason=%"a%0ab"`, `error; reason=%"a%0ab"`, "error", "a\nb"},
			{`error; reason=` + `"` + strings.Repeat("x", 1024) + `"`, `error; reason=` + `"` + strings.Repeat("x", 1024) + `"`, "error", strings.Repeat("x", 1024)},
			{"truncated", "", "", ""},
			{"deleted", "", "", ""},
			{"Complete", "", "", ""},
			{"error;", "", "", ""},
			{"error; reason", "", "", ""},
			{"error; reason=x", "", "", ""},
			{`error; reason="x`, "", "", ""},
			{`error; reason="\x"`, "", "", ""},
			{`error; reason="\"`, "", "", ""},
			{`error; reason="a"b"`, "", "", ""},
			{`error; reason="é"`, "", "", ""},
			{`error; reason=%"%c3"`, "", "", ""},
			{`error; reason=%"%C3%BC"`, "", "", ""},
			{`error; reason=%"%0"`, "", "", ""},
			{`error; reason=%"%zz"`, "", "", ""},
			{`error; why="x"`, "", "", ""},
			{`error; reason="x"; more=1`, "", "", ""},
			{`error; reason=` + `"` + strings.Repeat("x", 1025) + `"`, "", "", ""},
		} {
			for _, method := range []string{"PUT", "POST"} {
				s.fetch("DELETE", "/streams/a", "")
				status := 201
				if method == "POST" {
					s.make("a", "text/plain", "")
					status = 204
				}
				f := s.fetch(method, "/streams/a", "x", "Content-Type", "text/plain", "Stream-Closed", "true", "Leat-End", test.field)
				if test.told == "" {
					f.want(t, test.field, 400, "invalid_parameter")
					continue
				}
				f.want(t, test.field, status, "")
				for what, h := range map[string]fetched{"the answer": f, "HEAD": s.fetch("HEAD", "/streams/a", "")} {
					if told := h.header.Get("Leat-End"); told != strings.Trim(test.told, "-") || h.header.Get("Stream-Closed") != "true" {
						t.Errorf("%s: %s says %q", test.field, what, told)
					}
				}
				end := s.newest("a")
				if end.Kind != leat.KindEnd || end.Type != test.state || string(end.Data) != test.reason {
					t.Errorf("%s: the end is %+v", test.field, end)
				}
			}
		}
		s.make("b", "text/plain", "")
		s.fetch("POST", "/streams/b", "x", "Content-Type", "text/plain", "Leat-End", "error").want(t, "Leat-End alone", 400, "invalid_parameter")
		s.fetch("POST", "/streams/b", "x", "Content-Type", "text/plain", "Stream-Closed", "false", "Leat-End", "error").want(t, "Leat-End of what goes on", 400, "invalid_parameter")
		s.fetch("POST", "/streams/b", "x", "Content-Type", "text/plain", "Stream-Closed", "true", "Leat-End", "error", "Leat-End", "error").want(t, "two ends", 400, "invalid_parameter")
	})
}

// newest returns the newest entry of a stream.
func (s *service) newest(name string) leat.Record {
	s.t.Helper()
	info, err := s.st.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := s.st.ReadStream(s.t.Context(), name, info.Last-1, info.Last, 1)
	if err != nil || len(b.Records) != 1 {
		s.t.Fatalf("the newest of %s: %v, %v", name, b, err)
	}
	return b.Records[0]
}

// "Expired = 404 everywhere, and a new PUT gives 201": a stream whose time is over
// when it is made as well.
func TestPutExpired(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		for _, fields := range [][]string{{"Stream-TTL", "0"}, {"Stream-Expires-At", past}} {
			for range 2 {
				s.fetch("PUT", "/streams/a", "x", append(fields, "Content-Type", "text/plain")...).want(t, fields[0], 201, "")
				for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
					if f := s.fetch(method, "/streams/a", "x", "Content-Type", "text/plain"); f.status != 404 {
						t.Errorf("%s of a stream that was over: status %d", method, f.status)
					}
				}
			}
		}
	})
}

// DELETE removes all there is, and a stream of that name made later is another.
func TestDelete(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for range 3 {
			s.make("a", "text/plain", "one")
			s.fetch("DELETE", "/streams/a", "").want(t, "DELETE", 204, "")
			s.fetch("DELETE", "/streams/a", "").want(t, "DELETE again", 404, "not_found")
		}
		s.make("a", jsonType, "")
		if got := s.content("a"); got != "[]" {
			t.Errorf("made anew it has %q", got)
		}
	})
}
