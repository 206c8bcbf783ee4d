package server_test

import (
	"errors"
	"io"
	"testing"

	"github.com/leat-dev/leat/server"
)

// A publisher that goes away in the middle of a body, with the connection or,
// over HTTP/2, with its stream alone: nothing is stored of the record, or of the
// line, in which it stopped, and the server goes on. Two things see to that, the
// error of the body and the end of the request's context: this test fails when
// both are ignored.
func TestPublisherVanishes(t *testing.T) {
	const line = `{"topic":"lines","data":"x"}` + "\n"
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		r := s.subscribe("topic=lines")
		r.next()
		for _, test := range []struct{ query, contentType, whole, half string }{
			{"topic=record", "text/plain", "", "half"},
			{"topic=value", jsonType, "", `{"a":`},
			{"", jsonType, "", `{"topic":"value","data":1`},
			{"", ndjsonType, line, line[:9]},
		} {
			body, upload := io.Pipe()
			gone := make(chan error, 1)
			go func() { // ends with the request
				resp, err := s.client.Post(s.url+"/events?"+test.query, test.contentType, body)
				if err == nil {
					resp.Body.Close()
					err = errors.New(resp.Status)
				}
				gone <- err
			}()
			io.WriteString(upload, test.whole)
			if test.whole != "" {
				r.next() // so it has been stored
			}
			io.WriteString(upload, test.half)
			reason := errors.New("the publisher goes away")
			upload.CloseWithError(reason)
			if err := <-gone; !errors.Is(err, reason) {
				t.Errorf("%s %s: %v, want an upload that was given up", test.query, test.contentType, err)
			}
		}
		s.publish("after", "x")
		// Shutdown waits for what is under way: then there is nothing more to come.
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int64{"record": 0, "value": 0, "lines": 1, "after": 1} {
			if info, err := s.st.Stream(t.Context(), name); err != nil || info.Records != want {
				t.Errorf("%s has %d records, want %d: %v", name, info.Records, want, err)
			}
		}
	})
}
