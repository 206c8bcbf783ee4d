package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/store/memstore"
)

// A sinkhole is a response that nobody reads.
type sinkhole struct {
	header http.Header
	status int
}

func (w *sinkhole) Header() http.Header         { return w.header }
func (w *sinkhole) Write(p []byte) (int, error) { return len(p), nil }
func (w *sinkhole) WriteHeader(status int)      { w.status = status }

func (w *sinkhole) SetReadDeadline(time.Time) error { return nil }

// BenchmarkPost is a publish and an append without net/http and the disk: what is
// left is what Leat itself adds to them.
func BenchmarkPost(b *testing.B) {
	for _, target := range []string{"/events?topic=sensors/1", "/streams/sensors/1"} {
		b.Run(strings.TrimPrefix(strings.Split(target, "?")[0], "/"), func(b *testing.B) {
			st := memstore.New(memstore.Options{})
			defer st.Close()
			s, err := New(Options{Store: st, Loops: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown(b.Context())
			do := func(method, target, body string) int {
				r := httptest.NewRequest(method, target, nil)
				r.Header.Set("Content-Type", "text/plain")
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				w := &sinkhole{header: http.Header{}}
				s.ServeHTTP(w, r)
				return w.status
			}
			do(http.MethodPut, "/streams/sensors/1", "")
			body := strings.Repeat("leat", 25)
			proto := httptest.NewRequest(http.MethodPost, target, nil)
			proto.Header.Set("Content-Type", "text/plain")
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				reader := strings.NewReader(body)
				for pb.Next() {
					r := *proto
					reader.Reset(body)
					r.Body, r.ContentLength = io.NopCloser(reader), int64(len(body))
					w := &sinkhole{header: http.Header{}}
					s.ServeHTTP(w, &r)
					if w.status/100 != 2 {
						b.Fatalf("answered with %d", w.status)
					}
				}
			})
		})
	}
}
