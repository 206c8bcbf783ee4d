package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// A fetched is an answer that was read to its end, or until it was cut.
type fetched struct {
	status int
	header http.Header
	body   string
	cut    bool
}

// fetch sends a request and reads the answer.
func (s *service) fetch(method, path, body string, fields ...string) fetched {
	s.t.Helper()
	return drain(s.do(method, path, body, fields...))
}

func drain(resp *http.Response) fetched {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fetched{resp.StatusCode, resp.Header, string(body), err != nil}
}

// send is fetch for a body whose length is not announced. It closes the body before
// the answer: with HTTP/2 that waits for a body that is being read.
func (s *service) send(method, path string, body io.ReadCloser, fields ...string) (fetched, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, struct{ io.Reader }{body})
	if err != nil {
		return fetched{}, err
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fetched{}, err
	}
	defer resp.Body.Close()
	defer body.Close()
	text, err := io.ReadAll(resp.Body)
	return fetched{resp.StatusCode, resp.Header, string(text), err != nil}, nil
}

// chunked is send with a body that is there.
func (s *service) chunked(method, path, body string, fields ...string) fetched {
	s.t.Helper()
	f, err := s.send(method, path, io.NopCloser(strings.NewReader(body)), fields...)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// want checks a status and part of a body, and that what is not an answer of
// success is a problem document with nothing in its header that describes content.
func (f fetched) want(t testing.TB, what string, status int, body string) {
	t.Helper()
	if f.status != status || !strings.Contains(f.body, body) || f.cut {
		t.Errorf("%s: status %d, %q, cut %v; want %d, %q", what, f.status, f.body, f.cut, status, body)
	}
	if f.status < 400 {
		return
	}
	if f.header.Get("Content-Type") != "application/problem+json" || f.header.Get("ETag") != "" || f.header.Get("Accept-Ranges") != "" {
		t.Errorf("%s: status %d with %v", what, f.status, f.header)
	}
}

// make makes a stream with PUT.
func (s *service) make(name, contentType, body string, fields ...string) fetched {
	s.t.Helper()
	f := s.fetch("PUT", "/streams/"+name, body, append(fields, "Content-Type", contentType)...)
	if f.status != 201 {
		s.t.Fatalf("PUT %s: status %d, %q", name, f.status, f.body)
	}
	return f
}

// add appends to a stream with POST.
func (s *service) add(name, contentType, body string, fields ...string) fetched {
	s.t.Helper()
	f := s.fetch("POST", "/streams/"+name, body, append(fields, "Content-Type", contentType)...)
	if f.status != 204 && f.status != 200 {
		s.t.Fatalf("POST %s: status %d, %q", name, f.status, f.body)
	}
	return f
}

// end ends a stream: state is what Leat-End has, empty for complete.
func (s *service) end(name, state string) {
	s.t.Helper()
	fields := []string{"Stream-Closed", "true"}
	if state != "" {
		fields = append(fields, "Leat-End", state)
	}
	if f := s.fetch("POST", "/streams/"+name, "", fields...); f.status != 204 || f.header.Get("Stream-Closed") != "true" {
		s.t.Fatalf("ending %s: status %d, %v, %q", name, f.status, f.header, f.body)
	}
}

// content is what there is of a stream.
func (s *service) content(name string) string {
	s.t.Helper()
	f := s.fetch("GET", "/streams/"+name+"?as=bytes", "")
	if f.status != 200 {
		s.t.Fatalf("GET %s: status %d, %q", name, f.status, f.body)
	}
	return f.body
}

// trim removes the records of a stream up to that with an offset.
func (s *service) trim(name, through string) {
	s.t.Helper()
	o, err := leat.ParseOffset(through)
	if err == nil {
		err = s.st.Trim(s.t.Context(), name, o.Seq)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// errGone is why an upload of a test breaks off.
var errGone = errors.New("the publisher goes away")

// events reads an event stream to its end.
func (s *service) events(path string, fields ...string) []sse.Event {
	s.t.Helper()
	var all []sse.Event
	for ev, err := range sse.NewDecoder(s.do("GET", path, "", fields...).Body, nil).Events() {
		if err != nil {
			s.t.Fatal(err)
		}
		ev.Data = append([]byte(nil), ev.Data...)
		all = append(all, ev)
	}
	return all
}

type rawJSON = json.RawMessage

func mustDecode(text string, v any) {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		panic(fmt.Sprintf("%q: %v", text, err))
	}
}
