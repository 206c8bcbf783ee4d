package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
)

// Three ways in which middleware wraps an http.ResponseWriter.
type (
	// unwrapping is how it should be done.
	unwrapping struct{ http.ResponseWriter }

	// flushing is how it was done before there was http.ResponseController.
	flushing struct{ http.ResponseWriter }

	// hiding is how it is done by who thinks of the status alone.
	hiding struct {
		http.ResponseWriter
		status int
	}
)

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w flushing) Flush()                        { w.ResponseWriter.(http.Flusher).Flush() }

func (w *hiding) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// middlewares wrap a server's response in some way, inside of a mux and under a prefix.
var middlewares = map[string]func(http.ResponseWriter) http.ResponseWriter{
	"none":      func(w http.ResponseWriter) http.ResponseWriter { return w },
	"unwraps":   func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{unwrapping{w}} },
	"flushes":   func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{flushing{w}} },
	"hides all": func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{&hiding{ResponseWriter: w}} },
}

// mounted serves a handler under /leat/ of a mux that has other paths too.
func mounted(wrap func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "home") })
		mux.Handle("/leat/", http.StripPrefix("/leat", h))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(wrap(w), r) })
	}
}

// "Works under foreign middleware and inside an existing mux": all of it where the
// middleware lets through that something is flushed, and all but streams where it does
// not, which is then said.
func TestUnderMiddleware(t *testing.T) {
	for name, wrap := range middlewares {
		t.Run(name, func(t *testing.T) {
			for version, set := range protocols {
				t.Run(version, func(t *testing.T) {
					o := server.Options{Store: memory(t), Subscriptions: true}
					if version == "HTTP/1.1 not taken" {
						o.Loops = -1
					}
					s := start(t, o, set, mounted(wrap))
					if resp := s.do("GET", "/", ""); resp.StatusCode != 200 {
						t.Errorf("the mux answers %d", resp.StatusCode)
					}
					s.url += "/leat"
					s.underMiddleware(t, name != "hides all")
				})
			}
		})
	}
}

// underMiddleware uses a bit of everything.
func (s *service) underMiddleware(t *testing.T, streams bool) {
	resp := s.do("PUT", "/streams/a/b", "", "Content-Type", "text/plain")
	if got, want := resp.Header.Get("Location"), s.url+"/streams/a/b"; resp.StatusCode != 201 || got != want {
		t.Errorf("PUT: status %d, Location %q, want %q", resp.StatusCode, got, want)
	}
	s.fetch("PUT", "/streams/__ds/subscriptions/x", `{"type":"webhook","pattern":"none/*","webhook":{"url":"http://127.0.0.1:1/hook"}}`).
		want(t, "PUT of a subscription", 201, `"jwks_url":"`+s.url+`/streams/__ds/jwks.json"`)
	large := strings.Repeat("0123456789abcdef", 16<<10)
	for _, body := range []string{"first", large} {
		if resp := s.do("POST", "/streams/a/b", body, "Content-Type", "text/plain"); resp.StatusCode != 204 {
			t.Fatalf("POST: status %d", resp.StatusCode)
		}
	}
	if got, err := io.ReadAll(s.do("GET", "/streams/a/b", "").Body); err != nil || string(got) != "first"+large {
		t.Errorf("GET: %d bytes, %v", len(got), err)
	}
	if a := s.read(s.do("GET", "/events?topic=a/*&from=start&as=json&wait=5s", "")); len(a["events"].([]any)) != 2 {
		t.Errorf("poll: %.100v", a)
	}
	if !streams {
		resp := s.do("GET", "/events?topic=a/b", "")
		var problem struct{ Code, Detail, Advice string }
		err := json.NewDecoder(resp.Body).Decode(&problem)
		if err != nil || resp.StatusCode != 500 || !strings.Contains(problem.Detail, "*server_test.hiding") || !strings.Contains(problem.Advice, "Unwrap()") {
			t.Errorf("a stream that cannot be: status %d, %+v, %v", resp.StatusCode, problem, err)
		}
		return
	}
	r := s.subscribe("topic=live")
	if ev := r.next(); ev.Type != "leat.cursor" {
		t.Errorf("%+v", ev)
	}
	for _, data := range []string{"one", "two"} { // each is there before the next is published
		s.publish("live", data)
		if ev := r.next(); string(ev.Data) != data {
			t.Errorf("got %q, want %q", ev.Data, data)
		}
	}
	r.close()
}
