package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
)

// A large answer of a known length is as exact as a small one, whoever writes it: the
// whole, a range, an array, and what broke off. Over HTTP/1.1 it has a connection to
// itself, which a small one leaves to the next request.
func TestDownloads(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		var text strings.Builder
		s.make("big", "text/plain", "")
		s.make("torn", "text/plain", "")
		s.make("array", "application/json", "")
		var elements []string
		for i := range 40 {
			part := strings.Repeat(fmt.Sprintf("record %d of some length\n", i), 1+i*40)
			text.WriteString(part)
			s.add("big", "text/plain", part)
			s.add("torn", "text/plain", part)
			elements = append(elements, fmt.Sprintf("%q", part))
			s.add("array", "application/json", elements[i])
		}
		s.end("torn", "error")
		all := text.String()
		array := "[" + strings.Join(elements, ",") + "]"
		for _, test := range []struct {
			path, rng string
			status    int
			body      string
			cut       bool
		}{
			{path: "big", status: 200, body: all},
			{path: "big", rng: "bytes=1001-400000", status: 206, body: all[1001:400001]},
			{path: "big", rng: "bytes=12345-", status: 206, body: all[12345:]},
			{path: "big", rng: "bytes=7-70", status: 206, body: all[7:71]},
			{path: "torn", status: 200, body: all, cut: true},
			{path: "array", status: 200, body: array},
		} {
			for _, ends := range []bool{false, true} {
				if ends && test.path == "big" && test.rng == "" {
					s.end("big", "") // the same once it has ended
				}
				var fields []string
				if test.rng != "" {
					fields = []string{"Range", test.rng}
				}
				resp := s.do("GET", "/streams/"+test.path+"?as=bytes", "", fields...)
				got := drain(resp)
				what := test.path + " " + test.rng
				if got.status != test.status || got.cut != test.cut {
					t.Errorf("%s: status %d, cut %v; want %d, %v", what, got.status, got.cut, test.status, test.cut)
				}
				if got.body != test.body {
					t.Errorf("%s: %d bytes, want %d, or others", what, len(got.body), len(test.body))
				}
				if !test.cut && resp.ContentLength != int64(len(test.body)) {
					t.Errorf("%s: Content-Length %d, want %d", what, resp.ContentLength, len(test.body))
				}
				if taken := len(test.body) >= 256<<10 && strings.HasSuffix(t.Name(), "HTTP/1.1"); !test.cut && resp.Close != taken {
					t.Errorf("%s: the connection ends with the answer: %v, want %v", what, resp.Close, taken)
				}
			}
		}
	})
}
