package upload_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/internal/upload"
)

// Whoever interrupts a body cannot know that its last byte has come in the same
// moment. By then net/http reads on, for a client that goes away, meets the time
// that has passed and takes the client for gone, with every request that it will
// send on this connection. So the connection is closed.
func TestInterruptAtTheEndOfABody(t *testing.T) {
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if err := r.Context().Err(); err != nil {
				http.Error(w, "born dead", http.StatusTeapot)
			}
			return
		}
		b := upload.NewBody(w, r, time.Minute)
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Error(err)
		}
		b.Interrupt()
		<-r.Context().Done() // that is what must not last
		b.Leave()
		w.WriteHeader(http.StatusConflict)
	}))
	defer hs.Close()
	for range 3 {
		// A body of unknown length.
		resp, err := hs.Client().Post(hs.URL, "text/plain", io.MultiReader(strings.NewReader("x")))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusConflict {
			t.Errorf("the upload was answered with %s", resp.Status)
		}
		if resp, err = hs.Client().Get(hs.URL); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the next request was answered with %s", resp.Status)
		}
	}
}
