package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat/client"
	"github.com/leat-dev/leat/server"
)

// A tail that is cut again and again gets what another gets, in each form, and says so.
func TestChaosProves(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := serveOn(t, ln, server.Options{Heartbeat: time.Second})
	c := &client.Client{URL: url}
	for _, form := range []string{"sse", "ndjson", "poll"} {
		var messages []client.Message
		for i := range 300 {
			messages = append(messages, client.Text(form, strconv.Itoa(i)))
		}
		if _, err := c.Publish(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := command(t, "", "tail", form, "--server", url, "--from", "start", "--as", form, "-n", "300", "--raw", "--chaos", "drop=100ms")
		if status != 0 || !strings.Contains(stderr, "300 records came, each once and in order") {
			t.Errorf("%s: status %d, %s", form, status, stderr)
		}
		if lines := strings.Fields(stdout); len(lines) != 300 || lines[299] != "299" {
			t.Errorf("%s: %d lines", form, len(lines))
		}
	}
}

// A server that skips or repeats when a reader comes back is found out.
func TestChaosFindsOut(t *testing.T) {
	const ids = 20
	for name, test := range map[string]struct {
		resume func(last int) int // the event that comes first after an id
		noIDs  bool
		status int
		text   string
	}{
		"right":    {func(last int) int { return last + 1 }, false, 0, "20 records came, each once"},
		"skips":    {func(last int) int { return last + 3 }, false, exitChaos, "2 records were skipped after"},
		"repeats":  {func(last int) int { return last }, false, exitChaos, "it has the record"},
		"from the": {func(last int) int { return 1 }, false, exitChaos, "it has the record \"1\""},
		"no ids":   {nil, true, exitFailed, "nothing can be proved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The first connection is never cut; the second one is at once, after some
			// events, so that the test does not wait for chance.
			var connections atomic.Int64
			url := answersAll(t, func(w http.ResponseWriter, r *http.Request) {
				first := 1
				if id, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
					first = test.resume(id)
				}
				cut := connections.Add(1) > 1 && r.Header.Get("Last-Event-ID") == ""
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "retry: 1\n\n")
				for n := first; n <= ids; n++ {
					if !test.noIDs {
						fmt.Fprintf(w, "id: %d\n", n)
					}
					fmt.Fprintf(w, "data: %d\n\n", n)
					if cut && n == 5 {
						http.NewResponseController(w).Flush()
						panic(http.ErrAbortHandler)
					}
				}
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			status, _, stderr := command(t, "", "tail", url, "-n", strconv.Itoa(ids), "--chaos", "drop=1h")
			if status != test.status || !strings.Contains(stderr, test.text) {
				t.Errorf("status %d, want %d with %q: %s", status, test.status, test.text, stderr)
			}
		})
	}
}

// answersAll serves each request with h.
func answersAll(t *testing.T, h http.HandlerFunc) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	return server.URL
}
