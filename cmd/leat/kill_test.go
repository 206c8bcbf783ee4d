package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat/client"
	"github.com/leat-dev/leat/sse"
)

// "kill -9 under load 20 times in a row: every acknowledged record there, once,
// in order, and a reader that resumes each time saw each once."
//
// Some publishers repeat what was not answered, with keys: theirs are there
// exactly once. Others post without keys and never repeat: what was answered is
// there once, what was not is there at most once.
func TestKillUnderLoad(t *testing.T) {
	for _, durability := range []string{"disk", "os"} {
		t.Run(durability, func(t *testing.T) { killUnderLoad(t, durability, 20) })
	}
}

func killUnderLoad(t *testing.T, durability string, kills int) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	data := t.TempDir()
	port, err := lastingPort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + port
	server, url := startServer(t, address, data, durability)
	c := &client.Client{URL: url}

	l := newLedger()
	var readers sync.WaitGroup
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	// Ended by stopReading; joined below.
	readers.Go(func() { l.read(t, reading, url) })

	publishing, stopPublishing := context.WithCancel(ctx)
	defer stopPublishing()
	var publishers sync.WaitGroup
	for i := range 3 {
		publishers.Go(func() { l.publishWithKeys(t, ctx, publishing, c, fmt.Sprint("keyed/", i)) })
		publishers.Go(func() { l.publishOnce(publishing, url, fmt.Sprint("plain/", i)) })
	}
	for range kills {
		// The kills come when records flow, not when the clock says so.
		for goal := l.delivered.Load() + 200; l.delivered.Load() < goal; {
			select {
			case <-l.progress:
			case <-ctx.Done():
				t.Fatal("records have stopped to arrive")
			}
		}
		server.Process.Kill()
		server.Wait()
		server, _ = startServer(t, address, data, durability)
	}
	stopPublishing()
	publishers.Wait()
	l.awaitAll(t, ctx)
	stopReading()
	readers.Wait()
	l.check(t)
	t.Logf("%d records, %d kills", l.delivered.Load(), kills)
}

// startServer runs leat serve until the test ends, and returns its URL once it
// takes requests.
func startServer(t *testing.T, listen, data, durability string) (*exec.Cmd, string) {
	t.Helper()
	return launch(t, exec.Command("leat", "serve", "--listen", listen, "--data", data, "--durability", durability))
}

// launch runs a command that serves until the test ends, and returns its URL once it
// takes requests.
func launch(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("leat serve said nothing:", err)
	}
	return cmd, strings.TrimSpace(line)
}

// pause is how long a client waits that finds no server.
const pause = 10 * time.Millisecond

// A ledger has what was answered and what was read, by topic.
type ledger struct {
	delivered atomic.Int64
	progress  chan struct{} // has room for one

	mu       sync.Mutex
	sent     map[string]int          // keyed topics: records that were answered
	answered map[string]map[int]bool // plain topics: numbers that were answered
	order    map[string][]int        // all topics: numbers in the order they were read
}

func newLedger() *ledger {
	return &ledger{
		progress: make(chan struct{}, 1),
		sent:     map[string]int{}, answered: map[string]map[int]bool{}, order: map[string][]int{},
	}
}

// read notes every record, over all restarts. It comes back at once, with the
// last id that it has seen: package client would be politer.
func (l *ledger) read(t *testing.T, ctx context.Context, url string) {
	last := ""
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, "GET", url+"/events?topic=**&from=start&envelope=1", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			<-time.After(pause) // the server is starting
			continue
		}
		last = l.readStream(t, resp.Body, last)
		resp.Body.Close()
	}
}

// readStream notes the records of one connection and returns the last id.
func (l *ledger) readStream(t *testing.T, body io.Reader, last string) string {
	for ev, err := range sse.NewDecoder(body, &sse.Options{LastEventID: last}).Events() {
		switch {
		case err != nil:
			return last
		case ev.Type == "leat.cursor":
			continue
		case ev.Type != "":
			t.Errorf("the reader was told: %s %s", ev.Type, ev.Data)
			continue
		case ev.ID <= last:
			t.Errorf("%s came after %s", ev.ID, last)
		}
		last = ev.ID
		l.note(t, ev.Data)
	}
	return last
}

func (l *ledger) note(t *testing.T, envelope []byte) {
	var env struct{ Topic, Data string }
	if err := json.Unmarshal(envelope, &env); err != nil {
		t.Error(err)
	}
	n, err := strconv.Atoi(env.Data)
	if err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	l.order[env.Topic] = append(l.order[env.Topic], n)
	l.mu.Unlock()
	l.delivered.Add(1)
	select {
	case l.progress <- struct{}{}:
	default:
	}
}

// publishWithKeys publishes until publishing ends, and then what is left.
func (l *ledger) publishWithKeys(t *testing.T, ctx, publishing context.Context, c *client.Client, topic string) {
	p, err := c.Publisher(client.PublisherOptions{BatchRecords: 20})
	if err != nil {
		t.Error(err)
		return
	}
	n := 0
	for ; publishing.Err() == nil; n++ {
		if err := p.Publish(ctx, client.Text(topic, fmt.Sprint(n))); err != nil {
			t.Error(err)
			return
		}
	}
	if _, err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	l.sent[topic] = n
	l.mu.Unlock()
}

// publishOnce posts each number once, answered or not.
func (l *ledger) publishOnce(publishing context.Context, url, topic string) {
	l.mu.Lock()
	answered := map[int]bool{}
	l.answered[topic] = answered
	l.mu.Unlock()
	for n := 0; publishing.Err() == nil; n++ {
		resp, err := http.Post(url+"/events?topic="+topic, "text/plain", strings.NewReader(fmt.Sprint(n)))
		if err != nil {
			<-time.After(pause)
			continue // whether it is stored is unknown
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			l.mu.Lock()
			answered[n] = true
			l.mu.Unlock()
		}
	}
}

// missing says which answered record has not been read, "" if all have.
func (l *ledger) missing() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for topic, n := range l.sent {
		if got := len(l.order[topic]); got < n {
			return fmt.Sprintf("%s has %d records of %d", topic, got, n)
		}
	}
	for topic, answered := range l.answered {
		seen := map[int]bool{}
		for _, n := range l.order[topic] {
			seen[n] = true
		}
		for n := range answered {
			if !seen[n] {
				return fmt.Sprintf("%s has no %d", topic, n)
			}
		}
	}
	return ""
}

// awaitAll waits until everything that was answered has been read.
func (l *ledger) awaitAll(t *testing.T, ctx context.Context) {
	for {
		why := l.missing()
		if why == "" {
			return
		}
		select {
		case <-l.progress:
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing comes any more, and %s", why)
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}

func (l *ledger) check(t *testing.T) {
	for topic, n := range l.sent {
		for i, got := range l.order[topic] {
			if got != i {
				t.Fatalf("%s: record %d is %d", topic, i, got)
			}
		}
		if got := len(l.order[topic]); got != n || n == 0 {
			t.Errorf("%s: %d records, %d were published", topic, got, n)
		}
	}
	for topic, answered := range l.answered {
		last := -1
		for _, n := range l.order[topic] {
			if n <= last {
				t.Errorf("%s: %d came after %d", topic, n, last)
			}
			last = n
		}
		if len(answered) == 0 {
			t.Errorf("%s: nothing was answered", topic)
		}
	}
}
