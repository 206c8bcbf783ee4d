package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestShareDescriptors(t *testing.T) {
	for _, test := range []struct{ limit, store, conns, readers, wanted, subscribers int }{
		{0, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 70_000, 70_000},
		{256, 64, 192, 112, 0, 112},
		{1024, 256, 768, 448, 100, 100},
		{20_000, 600, 19_400, 18_288, 0, 18_288},
		{20_000, 600, 19_400, 18_288, 18_288, 18_288},
		{20_000, 600, 19_400, 18_288, 18_289, 18_288},
		{1 << 20, 600, 1<<20 - 600, 1<<20 - 1712, -1, 1<<20 - 1712},
	} {
		d := shareDescriptors(test.limit)
		if d != (descriptors{test.limit, test.store, test.conns, test.readers}) || d.maxSubscribers(test.wanted) != test.subscribers {
			t.Errorf("%d: %+v, with %d wanted %d readers", test.limit, d, test.wanted, d.maxSubscribers(test.wanted))
		}
	}
	for _, test := range []struct {
		limit, wanted int
		warns         string
	}{
		{0, 1 << 30, ""}, {4096, 0, ""}, {4095, 0, "no more than"}, {4095, 100, ""}, {20_000, 18_288, ""}, {20_000, 18_289, "--max-subscribers is 18289"},
	} {
		var out bytes.Buffer
		shareDescriptors(test.limit).warn(&streams{err: &out}, test.wanted)
		if got := out.String(); (got != "") != (test.warns != "") || !strings.Contains(got, test.warns) {
			t.Errorf("%d of %d: %q, want %q", test.wanted, test.limit, got, test.warns)
		}
	}
}

// Readers and connections that are too many are told so, and none of them takes the
// descriptors from the store: what is published meanwhile is stored.
func TestDescriptorsRunOut(t *testing.T) {
	const limit = 256
	d := shareDescriptors(limit)
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec leat serve --listen 127.0.0.1:0 --data "$1"`, limit), "sh", t.TempDir())
	var log bytes.Buffer
	cmd.Stderr = &log
	_, url := launch(t, cmd)
	address := strings.TrimPrefix(url, "http://")
	publisher := connect(t, address)
	publish := func(size int) string {
		return publisher.ask(t, "POST", "/events?topic=a", strings.Repeat("x", size))
	}
	if got := publish(1); got != "200 OK" {
		t.Fatal(got)
	}

	// All readers that there may be, and one more.
	for i := range d.readers + 1 {
		reader := connect(t, address)
		if got := reader.ask(t, "GET", "/events?topic=b&as=sse", ""); got != "200 OK" {
			t.Fatalf("reader %d: %s", i, got)
		}
		line, _ := reader.body.ReadString('\n')
		if turnedAway := strings.Contains(line, "no room"); turnedAway != (i == d.readers) {
			t.Fatalf("reader %d is told %q", i, line)
		}
	}
	// All connections that there may be, and more. They ask for nothing, and are taken
	// in their order: the last ones are refused.
	var idle []*connection
	for range limit {
		idle = append(idle, connect(t, address))
	}
	for _, c := range idle[limit-10:] {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil {
			t.Fatal("a connection that is too many is not refused: ", err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "no room") {
			t.Fatalf("%v, %s", resp, body)
		}
	}
	// So much that the store makes new files.
	for i := range 30 {
		if got := publish(900_000); got != "200 OK" {
			t.Fatalf("publish %d: %s\n%s", i, got, &log)
		}
	}
	for _, c := range idle {
		c.Close()
	}
	for end := time.Now().Add(20 * time.Second); ; {
		c := connect(t, address)
		if got := c.ask(t, "GET", "/healthz", ""); got == "200 OK" {
			break
		} else if time.Now().After(end) {
			t.Fatal("there is no room again:", got)
		}
	}
	metrics, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	body, _ := io.ReadAll(metrics.Body)
	if refused := regexp.MustCompile(`leat_readers_turned_away_total{reason="descriptors"} (\d+)`).FindSubmatch(body); refused == nil || len(refused[1]) < 2 { // ten at least
		t.Errorf("the metrics have %q", refused)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if n := strings.Count(log.String(), "connections are refused"); n != 1 {
		t.Errorf("it was logged %d times, want once:\n%s", n, &log)
	}
}

// A connection sends requests one after another.
type connection struct {
	net.Conn
	br   *bufio.Reader
	body *bufio.Reader // of the last answer
}

func connect(t *testing.T, address string) *connection {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &connection{Conn: c, br: bufio.NewReader(c)}
}

// ask returns the status, or the error.
func (c *connection) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	_, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	if err != nil {
		return err.Error()
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err.Error()
	}
	c.body = bufio.NewReader(resp.Body)
	if method == "POST" {
		io.Copy(io.Discard, resp.Body)
	}
	return resp.Status
}
