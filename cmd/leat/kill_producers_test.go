package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// kill -9 at any moment, while producers send lines and single records to one stream and
// repeat what was not answered: each is stored once, in order, and none is refused.
func TestKillWithProducers(t *testing.T) {
	for _, durability := range []string{"disk", "os"} {
		t.Run(durability, func(t *testing.T) { killWithProducers(t, durability, 10) })
	}
}

func killWithProducers(t *testing.T, durability string, kills int) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	data := t.TempDir()
	port, err := lastingPort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + port
	server, url := startServer(t, address, data, durability)
	if status, body := sendTo(ctx, "PUT", url, "", "application/json"); status != http.StatusCreated {
		t.Fatal(status, body)
	}

	const producers = 4
	progress := make(chan bool)
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	var sending sync.WaitGroup
	sent := make([]int, producers)
	for p := range producers {
		// Ended by stop, and joined below.
		sending.Go(func() { sent[p] = produce(t, ctx, stopping, url, p, progress) })
	}
	for range kills {
		// The kills come when requests flow, not when the clock says so.
		for range 30 {
			select {
			case <-progress:
			case <-ctx.Done():
				t.Fatal("nothing is stored any more")
			}
		}
		server.Process.Kill()
		server.Wait()
		server, _ = startServer(t, address, data, durability)
	}
	stop()
	sending.Wait()

	status, body := sendTo(ctx, "GET", url, "", "")
	var all []string
	if err := json.Unmarshal([]byte(body), &all); status != http.StatusOK || err != nil {
		t.Fatal(status, err)
	}
	next := make([]int, producers)
	for _, text := range all {
		var p, n int
		if _, err := fmt.Sscanf(text, "%d/%d", &p, &n); err != nil || n != next[p] {
			t.Fatalf("%s is stored where %d is the next", text, next[p])
		}
		next[p]++
	}
	for p := range producers {
		if next[p] != sent[p] {
			t.Errorf("%d of producer %d are stored, %d were answered", next[p], p, sent[p])
		}
	}
	t.Logf("%d records, %d kills", len(all), kills)
}

// produce sends the records of a producer, some a line each and some alone, and repeats
// each request until it is answered. It returns how many there are.
func produce(t *testing.T, ctx, stopping context.Context, url string, p int, progress chan<- bool) int {
	next := 0
	for round := 0; stopping.Err() == nil; round++ {
		n, contentType, body := 1, "application/json", fmt.Sprintf(`"%d/%d"`, p, next)
		if round%2 == 0 {
			n, contentType = 1+round%7, "application/x-ndjson"
			body = ""
			for i := range n {
				body += fmt.Sprintf("\"%d/%d\"\n", p, next+i)
			}
		}
		for {
			status, answer := sendTo(ctx, "POST", url, body, contentType,
				"Producer-Id", fmt.Sprint("producer", p), "Producer-Epoch", "0", "Producer-Seq", fmt.Sprint(next))
			if status == http.StatusOK || status == http.StatusNoContent {
				break
			}
			if status != 0 && status != http.StatusServiceUnavailable || ctx.Err() != nil {
				t.Errorf("producer %d, request %d: status %d, %s", p, next, status, answer)
				return next
			}
			<-time.After(pause) // the server is starting
		}
		next += n
		select {
		case progress <- true:
		case <-stopping.Done():
		}
	}
	return next
}

// sendTo sends a request to the stream of the test. The status is 0 if there was no
// answer, or not all of it.
func sendTo(ctx context.Context, method, url, body, contentType string, fields ...string) (status int, answer string) {
	req, err := http.NewRequestWithContext(ctx, method, url+"/streams/s", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}
