package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// An uploading is an append whose body is written as a test goes on.
type uploading struct {
	*io.PipeWriter
	answer <-chan fetched // closed without one if there is none
}

// appending begins a POST.
func (s *service) appending(path, contentType string, fields ...string) uploading {
	body, w := io.Pipe()
	answers := make(chan fetched, 1)
	go func() { // ends with the answer, at the latest with the server
		defer close(answers)
		defer body.Close() // who writes on learns that it is over
		if f, err := s.send("POST", path, body, append(fields, "Content-Type", contentType)...); err == nil {
			answers <- f
		}
	}()
	return uploading{w, answers}
}

func (u uploading) write(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(u, text); err != nil {
		t.Fatalf("writing %q: %v", text, err)
	}
}

// follow reads the bytes of a stream as they come.
func (s *service) follow(path string, fields ...string) *bufio.Reader {
	s.t.Helper()
	resp := s.do("GET", path, "", fields...)
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("GET %s: status %d", path, resp.StatusCode)
	}
	return bufio.NewReader(resp.Body)
}

// expect reads exactly the text given.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if string(got[:n]) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// "Line 1 reaches a reader before line 2 is sent": of NDJSON, of events, of bytes;
// over both versions of HTTP, to readers of every form.
func TestLineByLine(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct{ stream, query, contentType, piece, data string }{
			{jsonType, "", ndjsonType, "{\"n\": %d}\n", `{"n":%d}`},
			{"text/plain", "", sseType, "data: %d\n\n", "%d"},
			{"text/plain", "?append=stream", "text/plain", "%d", "%d"},
			{"image/png", "?append=stream", "image/png", "%d", "%d"},
		} {
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", test.stream, "")
			lines := s.follow("/streams/a?as=ndjson")
			readLines(t, lines, 1)
			raw := strings.NewReader("")
			var bytes io.Reader = raw
			if test.stream != jsonType {
				bytes = s.follow("/streams/a?follow=1")
			}
			u := s.appending("/streams/a"+test.query, test.contentType, "Stream-Closed", "true")
			for i := range 5 {
				u.write(t, fmt.Sprintf(test.piece, i))
				var line struct {
					Topic    string
					Data     json.RawMessage
					Encoding string
				}
				if err := json.Unmarshal([]byte(readLines(t, lines, 1)), &line); err != nil || line.Topic != "a" || line.Encoding == "" && strings.Trim(string(line.Data), `"`) != fmt.Sprintf(test.data, i) {
					t.Fatalf("%s: a line %+v, %v", test.contentType, line, err)
				}
				if test.stream != jsonType {
					expect(t, bytes, fmt.Sprintf(test.data, i))
				}
			}
			u.Close()
			f := <-u.answer
			f.want(t, test.contentType, 200, `"count":5`)
			if f.header.Get("Stream-Closed") != "true" {
				t.Errorf("%s: %v", test.contentType, f.header)
			}
			if rest, err := io.ReadAll(bytes); err != nil || len(rest) > 0 {
				t.Errorf("%s: then %q, %v", test.contentType, rest, err)
			}
			if rest, err := io.ReadAll(lines); err != nil || !strings.Contains(string(rest), `"end":{"topic":"a","state":"complete"}`) {
				t.Errorf("%s: then %q, %v", test.contentType, rest, err)
			}
		}
	})
}

// "A body that stops half-way leaves what was acknowledged and says how much";
// "append=stream broken with Stream-Closed ends as truncated", whether the
// connection goes or only stops, and of lines and events too.
func TestUploadBreaks(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct{ stream, query, contentType, whole, half, data string }{
			{"text/plain", "?append=stream", "text/plain", "one", "", "one"},
			{jsonType, "", ndjsonType, "1\n2\n", "3", "[1,2]"},
			{"text/plain", "", sseType, "data: 1\n\ndata: 2\n\n", "data: 3\n", "12"},
		} {
			for _, closing := range []bool{false, true} {
				s.fetch("DELETE", "/streams/a", "")
				s.make("a", test.stream, "")
				lines := s.follow("/streams/a?as=ndjson")
				readLines(t, lines, 1)
				var fields []string
				if closing {
					fields = []string{"Stream-Closed", "true"}
				}
				u := s.appending("/streams/a"+test.query, test.contentType, fields...)
				u.write(t, test.whole)
				readLines(t, lines, max(1, strings.Count(test.data, "2")*2)) // so it has been stored
				u.write(t, test.half)
				u.CloseWithError(errGone)
				<-u.answer
				if !closing {
					s.add("a", test.stream, "9") // it goes on
					readLines(t, lines, 1)
					continue
				}
				rest, err := io.ReadAll(lines)
				if err != nil || !strings.Contains(string(rest), `"end":{"topic":"a","state":"truncated"}`) {
					t.Errorf("%s: then %q, %v", test.contentType, rest, err)
				}
				f := s.fetch("GET", "/streams/a", "")
				if f.body != test.data || !f.cut || f.header.Get("Leat-End") != "truncated" || f.header.Get("Stream-Closed") != "true" {
					t.Errorf("%s: the content is %q, cut %v, %v", test.contentType, f.body, f.cut, f.header)
				}
				s.fetch("POST", "/streams/a", "1", "Content-Type", test.stream).want(t, "after that", 409, "(truncated)")
			}
		}
		// Of what is stored as a whole nothing is, and the stream goes on.
		s.fetch("DELETE", "/streams/a", "")
		s.make("a", "text/plain", "")
		u := s.appending("/streams/a", "text/plain", "Stream-Closed", "true")
		u.write(t, "half")
		u.CloseWithError(errGone)
		<-u.answer
		s.add("a", "text/plain", "next")
		if got := s.content("a"); got != "next" {
			t.Errorf("the content is %q", got)
		}
	})
}

// A sender that half-closes in the middle of its body can hear how much was stored.
func TestUploadBreaksAndIsTold(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for _, test := range []struct {
		stream, query, contentType, body string
		want                             []string
	}{
		{jsonType, "", ndjsonType, "1\n2\n3", []string{`"line":3`, `"count":2`, `"received":5`, `"last":"`}},
		{"text/plain", "", sseType, "data: 1\n\ndata", []string{`"event":2`, `"count":1`, `"received":13`}},
		{"text/plain", "?append=stream", "text/plain", "some bytes", []string{`"bytes":10`, `"count":1`, `"received":10`}},
		{"text/plain", "", "text/plain", "some bytes", []string{`"received":10`}},
		{jsonType, "", jsonType, "[1,2", []string{`"received":4`}},
	} {
		for _, head := range []string{"Transfer-Encoding: chunked", "Content-Length: 1000"} {
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", test.stream, "")
			conn, r := s.dial()
			body := test.body
			if strings.HasPrefix(head, "Transfer") {
				body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
			}
			fmt.Fprintf(conn, "POST /streams/a%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%s\r\n\r\n%s", test.query, test.contentType, head, body)
			conn.(interface{ CloseWrite() error }).CloseWrite()
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%s, %s: %v", test.contentType, head, err)
			}
			f := drain(resp)
			f.want(t, test.contentType+", "+head, 400, `"code":"invalid_body"`)
			for _, part := range test.want {
				if !strings.Contains(f.body, part) {
					t.Errorf("%s, %s: %q has no %s", test.contentType, head, f.body, part)
				}
			}
		}
	}
}

// "Slow 408": a body that is stored as a whole has a limited time, so has each line
// from its first byte on, between lines there is time, and bytes come when they
// come. The answer does not wait for what is missing.
func TestUploadTooSlow(t *testing.T) {
	const limit = 100 * time.Millisecond
	overProtocols(t, server.Options{BodyTimeout: limit}, func(t *testing.T, s *service) {
		for _, test := range []struct {
			stream, query, contentType, first, second string
			status                                    int
			answer                                    string
		}{
			{"text/plain", "", "text/plain", "ha", "lf", 408, `"received":2`},
			{jsonType, "", jsonType, "[1,", "2]", 408, `"received":3`},
			{jsonType, "", ndjsonType, "1\n2", "2\n", 408, `"count":1`},
			{jsonType, "", ndjsonType, "1\n", "2\n", 200, `"count":2`},
			{"text/plain", "", sseType, "data: 1\n\ndata", ": 2\n\n", 408, `"count":1`},
			{"text/plain", "", sseType, "data: 1\n", "data: 2\n\n", 200, `"count":1`},
			{"text/plain", "", sseType, "data: 1\r\r", "data: 2\r\r", 200, `"count":2`},
			{"text/plain", "?append=stream", "text/plain", "1", "2", 200, `"bytes":2`},
		} {
			for _, closing := range []string{"", "true"} {
				what := fmt.Sprintf("%s %q, Stream-Closed %q", test.contentType, test.first, closing)
				s.fetch("DELETE", "/streams/a", "")
				s.make("a", test.stream, "")
				u := s.appending("/streams/a"+test.query, test.contentType, "Stream-Closed", closing)
				u.write(t, test.first)
				if test.status != 408 {
					<-time.After(3 * limit) // the server's clock is the real one
					u.write(t, test.second)
					u.Close()
				}
				f := <-u.answer
				f.want(t, what, test.status, test.answer)
				over := s.fetch("HEAD", "/streams/a", "").header.Get("Leat-End")
				if want := map[bool]string{true: "truncated"}[test.status == 408 && closing != "" && strings.Contains(test.answer, "count")]; over != want {
					t.Errorf("%s: Leat-End %q, want %q", what, over, want)
				}
			}
		}
	})
}

// A body of announced length that comes too slowly is answered when its time is
// over, and not when it comes after all.
func TestAnnouncedBodyTooSlow(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), BodyTimeout: 50 * time.Millisecond}, protocols["HTTP/1.1"])
	s.make("a", "text/plain", "")
	for _, path := range []string{"/streams/a", "/events?topic=b"} {
		conn, r := s.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nha", path)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if f := drain(resp); f.status != 408 || !resp.Close {
			t.Errorf("%s: status %d, Connection: close %v, %q", path, f.status, resp.Close, f.body)
		}
		if rest, err := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("%s: then %q, %v", path, rest, err)
		}
	}
}

// A sender that does not end its body is told at once what is wrong with it, and
// its connection is not used again for what remains.
func TestEarlyAnswer(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("json", jsonType, "")
		s.make("text", "text/plain", "")
		s.make("over", "text/plain", "", "Stream-Closed", "true")
		for _, test := range []struct {
			path, contentType, first string
			status                   int
		}{
			{"/streams/json", ndjsonType, "1\n{\n", 400},
			{"/streams/text", sseType, "data: \xff\n\n", 400},
			{"/streams/none", "text/plain", "x", 404},
			{"/streams/a//b", "text/plain", "x", 400},
			{"/streams/text", "text/html", "x", 409},
			{"/streams/over?append=stream", "text/plain", "x", 409},
			{"/streams/text", "text/plain", strings.Repeat("x", 1<<20+1), 413},
			{"/streams/json", ndjsonType, strings.Repeat("x", 1<<20+2), 413},
			{"/events", ndjsonType, "{\n", 400},
			{"/events", "text/plain", "x", 400},
		} {
			u := s.appending(test.path, test.contentType)
			// A refusal may come before the body is read.
			_, _ = io.WriteString(u, test.first)
			select {
			case f, ok := <-u.answer:
				if !ok {
					t.Errorf("%s %s: no answer", test.path, test.contentType)
					continue
				}
				f.want(t, test.path, test.status, "")
			case <-time.After(5 * time.Second):
				t.Fatalf("%s %s: no answer before the body has ended", test.path, test.contentType)
			}
		}
		s.add("text", "text/plain", "fine")
	})
}

// Over HTTP/1.1 the connection is usable after a refusal if the length of the body
// is known, and closed cleanly if it is not: what remains is never a request.
func TestConnectionAfterRefusal(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	s.make("json", jsonType, "")
	const next = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	conn, r := s.dial()
	for range 3 {
		fmt.Fprintf(conn, "POST /streams/none HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody"+next)
		for _, status := range []int{404, 200} {
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != status {
				t.Fatalf("%v, %v; want %d", resp, err, status)
			}
			io.Copy(io.Discard, resp.Body)
		}
	}
	// The rest looks like a request.
	conn, r = s.dial()
	fmt.Fprintf(conn, "POST /streams/json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\n\r\n"+next+next)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 400 || !resp.Close {
		t.Fatalf("%v, %v; want 400 and Connection: close", resp, err)
	}
	io.Copy(io.Discard, resp.Body)
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("then came %q, %v; want the end", rest, err)
	}
}

// "Expect: 100-continue": what can be refused by its head is refused before the
// body is asked for.
func TestExpectContinue(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), MaxRecord: 1000}, protocols["HTTP/1.1"])
	s.make("text", "text/plain", "")
	for _, test := range []struct {
		path, contentType string
		length, status    int
	}{
		{"/streams/text", "text/plain", 4, 100},
		{"/streams/none", "text/plain", 4, 404},
		{"/streams/text", "text/html", 4, 409},
		{"/streams/text", "text/plain", 1001, 413},
		{"/streams/text?key=a&key=b", "text/plain", 4, 400},
	} {
		conn, r := s.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", test.path, test.contentType, test.length)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != test.status {
			t.Errorf("%s %s, %d bytes: %v, %v; want %d", test.path, test.contentType, test.length, resp, err, test.status)
		}
	}
}

// Text that is cut inside its characters, by append=stream or by the publisher, is
// whole in every form, and exact in bytes.
func TestTextCutInCharacters(t *testing.T) {
	const text = "aé€😀\r\n\u2028z😀"
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for what, post := range map[string]func(piece string){
			"append=stream": func(piece string) {
				s.fetch("POST", "/streams/a?append=stream", piece, "Content-Type", "text/plain").want(t, piece, 200, "")
			},
			"POST": func(piece string) { s.add("a", "text/plain", piece) },
		} {
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", "text/plain", text[:2]) // in the middle of é
			raw := s.follow("/streams/a?follow=1")
			expect(t, raw, text[:2])
			for i := 2; i < len(text); i++ {
				post(text[i : i+1])
				expect(t, raw, text[i:i+1])
			}
			s.end("a", "")
			if got := s.content("a"); got != text {
				t.Errorf("%s: the content is %q", what, got)
			}
			var envelopes, events strings.Builder
			for line := range strings.Lines(s.fetch("GET", "/streams/a?as=ndjson", "").body) {
				var v struct{ Data, Encoding string }
				if err := json.Unmarshal([]byte(line), &v); err != nil || v.Encoding != "" {
					t.Errorf("%s: the line %q, %v", what, line, err)
				}
				envelopes.WriteString(v.Data)
			}
			for _, ev := range s.events("/streams/a?as=sse") {
				if !strings.HasPrefix(ev.Type, "leat.") {
					events.Write(ev.Data)
				}
			}
			if envelopes.String() != text || events.String() != strings.ReplaceAll(text, "\r", "\n") {
				t.Errorf("%s: lines %q, events %q", what, envelopes.String(), events.String())
			}
		}
	})
}

// One upload of single bytes with a stop after each, so that each is a record.
func TestTextInSingleBytes(t *testing.T) {
	const text = "é€😀"
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		raw := s.follow("/streams/a?follow=1")
		u := s.appending("/streams/a?append=stream", "text/plain", "Stream-Closed", "true")
		for i := range len(text) {
			u.write(t, text[i:i+1])
			expect(t, raw, text[i:i+1])
		}
		u.Close()
		(<-u.answer).want(t, "the upload", 200, fmt.Sprintf(`{"count":%d,"bytes":%[1]d,`, len(text)))
		if body := s.fetch("GET", "/streams/a?as=ndjson", "").body + s.fetch("GET", "/streams/a?as=sse", "").body; strings.Contains(body, "\ufffd") || strings.Contains(body, `\ufffd`) || strings.Count(body, "😀") != 2 {
			t.Errorf("there is a replacement character: %s", body)
		}
		b, err := s.st.ReadStream(t.Context(), "a", 0, 0, 1<<20)
		if err != nil || len(b.Records) != len(text)+1 || b.Records[len(text)].Kind != leat.KindEnd {
			t.Errorf("%d records, %v", len(b.Records), err)
		}
	})
}
