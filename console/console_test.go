package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/leat-dev/leat/console"
)

var next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })

func get(t *testing.T, method, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	console.Wrap(next).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestFiles(t *testing.T) {
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/console.js": "text/javascript; charset=utf-8", "/console.css": "text/css; charset=utf-8",
	} {
		resp, body := get(t, "GET", path)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != contentType || body == "" {
			t.Errorf("%s: status %d, type %q, %d bytes", path, resp.StatusCode, resp.Header.Get("Content-Type"), len(body))
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: policy %q", path, resp.Header.Get("Content-Security-Policy"))
		}
		// "A console that loads from a CDN" is a trap of this field.
		if foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]+`).FindString(body); foreign != "" {
			t.Errorf("%s refers to %s", path, foreign)
		}
		if strings.Contains(body, "innerHTML") || strings.Contains(body, "style=") {
			t.Errorf("%s makes markup of text, or has a style of its own", path)
		}
	}
}

func TestEverythingElseIsTheServers(t *testing.T) {
	for _, request := range []string{"POST /", "GET /events", "GET /index.html", "GET //", "PUT /console.js", "GET /files/index.html"} {
		method, path, _ := strings.Cut(request, " ")
		if resp, _ := get(t, method, path); resp.StatusCode != http.StatusTeapot {
			t.Errorf("%s: status %d", request, resp.StatusCode)
		}
	}
}
