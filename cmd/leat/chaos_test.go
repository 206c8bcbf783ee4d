package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leat-dev/leat/client"
	"github.com/leat-dev/leat/server"
)

// A tail that is cut again and again while records are published gets what another
// gets, in each form, and says so.
func TestChaosProves(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := serveOn(t, ln, server.Options{})
	for _, form := range []string{"sse", "ndjson", "poll"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			const count = 1000
			c := &client.Client{URL: url}
			stop, stopped := make(chan struct{}), make(chan struct{})
			// Owned by the test, which ends and joins it.
			go func() {
				defer close(stopped)
				for n := 1; ; n++ {
					select {
					case <-stop:
						return
					default:
						if _, err := c.Publish(context.Background(), client.Text(form, strconv.Itoa(n))); err != nil {
							t.Errorf("record %d: %v", n, err)
							return
						}
					}
				}
			}()
			// A thousand requests take longer than the time until the first cut.
			args := []string{"tail", form, "--server", url, "--from", "start", "--as", form}
			if form == "sse" { // by its URL, as that has it come back sooner
				args = []string{"tail", url + "/events?topic=sse&from=start&retry=100ms"}
			}
			status, stdout, stderr := command(t, "", append(args, "-n", strconv.Itoa(count), "--raw", "--chaos", "drop=20ms")...)
			close(stop)
			<-stopped
			if status != 0 || !regexp.MustCompile(`chaos: cut [1-9]\d* times?; 1000 records came, each once and in order`).MatchString(stderr) {
				t.Errorf("status %d, %s", status, stderr)
			}
			for i, line := range strings.Fields(stdout) {
				if line != strconv.Itoa(i+1) {
					t.Fatalf("line %d is %s", i+1, line)
				}
			}
		})
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
		"skips":    {func(last int) int { return last + 3 }, false, exitChaos, "2 records are missing"},
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
					if id == ids {
						w.WriteHeader(http.StatusNoContent) // there will be no more
						return
					}
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
