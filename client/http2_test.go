package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
)

// Over HTTP/2 a cut is a reset of the stream, and the connection stays: what
// resumes resumes, and what does not is truncated.
func TestCutsOverHTTP2(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	files := &file{content: content, tag: `"1"`, cuts: []int{1, 5000}}
	protocols := map[string]bool{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols[r.Proto] = true // requests come one after the other
		switch r.URL.Path {
		case "/file":
			files.ServeHTTP(w, r)
		case "/lines":
			broken(ndjson, "1\n2\n")(w, r)
		case "/short":
			short(ndjson, "1\n2\n")(w, r)
		case "/array":
			broken("application/json", "[1,2,")(w, r)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	b, err := Open(t.Context(), server.URL+"/file", OpenOptions{HTTP: server.Client(), Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); err != nil || string(got) != content || files.requests != 3 {
		t.Errorf("got %d bytes, %v in %d requests", len(got), err, files.requests)
	}
	for path, form := range map[string]Form{"/lines": FormLines, "/short": FormLines, "/array": FormArray} {
		n := 0
		for _, err := range Subscribe(t.Context(), server.URL+path, SubscribeOptions{HTTP: server.Client(), Form: form, Retry: time.Millisecond}) {
			if err == nil {
				n++
			} else if leat.CodeOf(err) != CodeTruncated {
				t.Errorf("%s: %v", path, err)
			}
		}
		if n != 2 {
			t.Errorf("%s: %d values", path, n)
		}
	}
	if len(protocols) != 1 || !protocols["HTTP/2.0"] {
		t.Errorf("spoke %v", protocols)
	}
}
