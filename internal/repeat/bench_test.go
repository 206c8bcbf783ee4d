package repeat

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// BenchmarkRequest is what a request costs beside the system calls and its handler.
func BenchmarkRequest(b *testing.B) {
	head := []byte("POST /events?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n")
	like, err := http.NewRequest("POST", "http://localhost/events?topic=b", nil)
	if err != nil {
		b.Fatal(err)
	}
	like.RequestURI = "/events?topic=b"
	like.Header = http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"1"}}
	p, ok := newPattern(head, like)
	if !ok {
		b.Fatal("it is not taken for a pattern")
	}
	p.first = p.first.WithContext(context.Background())
	a := answer{header: make(http.Header)}
	now, typ := time.Now(), []string{"application/json"}
	b.ReportAllocs()
	for b.Loop() {
		query, _, ok := p.match(head)
		if !ok {
			b.Fatal("it does not match")
		}
		r := p.request(query, []byte("data"))
		a.reset()
		a.Header()["Content-Type"] = typ
		a.Write(r.body.rest)
		a.bytes(now, false)
	}
}
