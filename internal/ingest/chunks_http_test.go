package ingest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// The way to interrupt a Read that the comment of NewChunks names is one, over
// HTTP/1 and HTTP/2: the handler stops in the middle of a body whose sender
// says nothing, and answers.
func TestChunksInterruptedByDeadline(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			c := NewChunks(Body{Reader: r.Body, MaxRecord: 100}, func() {
				if err := rc.SetReadDeadline(time.Unix(1, 0)); err != nil {
					t.Error(err)
				}
			})
			a, err := c.Next()
			if err != nil {
				t.Error(err)
			}
			c.Close()
			w.Header().Set("Proto", r.Proto)
			w.Write(a.Data)
		}))
		server.EnableHTTP2 = h2
		server.StartTLS()
		body, send := io.Pipe()
		go io.WriteString(send, "hello") // ends when the client has read it
		resp, err := server.Client().Post(server.URL, "", body)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil || string(answer) != "hello" || (resp.Header.Get("Proto") == "HTTP/2.0") != h2 {
			t.Errorf("%s: %q, %v", resp.Header.Get("Proto"), answer, err)
		}
		resp.Body.Close()
		send.Close()
		server.Close()
	}
}

// A body that has come to its end is not interrupted: the connection goes on.
func TestChunksKeepConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		c := NewChunks(Body{Reader: r.Body, MaxRecord: 100}, func() { rc.SetReadDeadline(time.Unix(1, 0)) })
		defer c.Close()
		for {
			a, err := c.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			w.Header().Add("Chunk", string(a.Data))
			w.Header().Set("From", r.RemoteAddr)
		}
	}))
	defer server.Close()
	var first string
	for range 3 {
		body, send := io.Pipe()
		go func() { // ends when the client has read it
			io.WriteString(send, "hello")
			send.Close()
		}()
		resp, err := server.Client().Post(server.URL, "", body)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if from := resp.Header.Get("From"); first == "" {
			first = from
		} else if from != first {
			t.Errorf("the connection was given up")
		}
		if resp.Header.Get("Chunk") != "hello" {
			t.Errorf("got %q", resp.Header.Values("Chunk"))
		}
	}
}
