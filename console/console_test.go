package console_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/leat-dev/leat/console"
)

var next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })

func get(t *testing.T, o console.Options, request *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	console.Wrap(next, o).ServeHTTP(w, request)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

var files = map[string]string{
	"/": "text/html; charset=utf-8", "/console.js": "text/javascript; charset=utf-8", "/console.css": "text/css; charset=utf-8",
}

func TestFiles(t *testing.T) {
	for path, contentType := range files {
		resp, body := get(t, console.Options{}, httptest.NewRequest("GET", path, nil))
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != contentType || body == "" {
			t.Errorf("%s: status %d, type %q, %d bytes", path, resp.StatusCode, resp.Header.Get("Content-Type"), len(body))
		}
		if p := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'") || !strings.HasSuffix(p, "connect-src 'self'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: policy %q", path, p)
		}
		// "A console that loads from a CDN" is a trap of this field. The names of XML are
		// no addresses.
		for _, foreign := range regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`).FindAllString(body, -1) {
			if foreign != "http://www.w3.org" {
				t.Errorf("%s refers to %s", path, foreign)
			}
		}
		if path == "/" && regexp.MustCompile(`(?i)<style|style=|<script[^>]*>[^<]|\son[a-z]+=`).MatchString(body) {
			t.Errorf("%s has a style or a script of its own, which the policy forbids", path)
		}
	}
}

// A page of the lab reads from other names of this machine, and from nowhere else.
func TestPolicyOfTheLab(t *testing.T) {
	resp, _ := get(t, console.Options{Lab: true}, httptest.NewRequest("GET", "/", nil))
	if p := resp.Header.Get("Content-Security-Policy"); !strings.HasSuffix(p, "connect-src 'self' http://*.localhost:* ws://*.localhost:*") {
		t.Errorf("policy %q", p)
	}
}

func TestTags(t *testing.T) {
	seen := map[string]bool{}
	for path := range files {
		resp, _ := get(t, console.Options{}, httptest.NewRequest("GET", path, nil))
		tag := resp.Header.Get("ETag")
		if tag == "" || seen[tag] {
			t.Errorf("%s: tag %q is none or another's", path, tag)
		}
		seen[tag] = true
		again := httptest.NewRequest("GET", path, nil)
		again.Header.Set("If-None-Match", tag)
		if resp, body := get(t, console.Options{}, again); resp.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s: status %d for its own tag", path, resp.StatusCode)
		}
	}
}

// All of the page together is small.
func TestSize(t *testing.T) {
	const most = 100_000
	sum := 0
	for path := range files {
		_, body := get(t, console.Options{}, httptest.NewRequest("GET", path, nil))
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(z, body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		sum += packed.Len()
	}
	if sum >= most {
		t.Errorf("the page has %d bytes when it is compressed, at most %d are allowed", sum, most)
	}
}

func TestEverythingElseIsTheServers(t *testing.T) {
	for _, request := range []string{"POST /", "GET /events", "GET /index.html", "GET //", "PUT /console.js", "GET /dist/index.html"} {
		method, path, _ := strings.Cut(request, " ")
		if resp, _ := get(t, console.Options{}, httptest.NewRequest(method, path, nil)); resp.StatusCode != http.StatusTeapot {
			t.Errorf("%s: status %d", request, resp.StatusCode)
		}
	}
}
