package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// parameters are what a client is started with, by the names of the contract.
type parameters map[string]any

// A driven is a client of the service.
type driven struct {
	url string
}

// start makes a client that reads t's stream. The reconnection delay is the
// shortest that it allows, unless p says otherwise.
func (t *T) start(p parameters) {
	t.stream = t.streams.add()
	body := parameters{
		"streamUrl": t.stream.url, "callbackUrl": t.stream.url + "/told", "tag": t.name, "initialDelayMs": 0,
	}
	for name, value := range p {
		body[name] = value
	}
	resp, err := send(http.MethodPost, t.suite.service.url+"/", body)
	if err != nil {
		t.fail("starting a client: %v", err)
	}
	location := resp.Header.Get("Location")
	base, _ := url.Parse(t.suite.service.url + "/")
	where, err := base.Parse(location)
	if resp.StatusCode/100 != 2 || location == "" || err != nil {
		t.fail("starting a client: the service answers %s with Location %q", resp.Status, location)
	}
	t.client = &driven{url: where.String()}
}

// open starts a client, and its stream.
func (t *T) open(p parameters) *conn {
	t.start(p)
	return t.connection().open()
}

// connection is the next request of the client.
func (t *T) connection() *conn {
	return patient(t, t.stream.conns, "request of the client")
}

// staysAway checks that the client does not come back. A slow one may come
// later than that is waited for: then this test has seen nothing.
func (t *T) staysAway(after string) {
	select {
	case c := <-t.stream.conns:
		c.cut()
		t.fail("after %s the client asks again", after)
	case <-time.After(t.suite.away):
	}
}

func (t *T) command(body parameters) {
	resp, err := send(http.MethodPost, t.client.url, body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("the service answers %s", resp.Status)
	}
	if err != nil {
		t.fail("command %v: %v", body["command"], err)
	}
}

func (t *T) restart() { t.command(parameters{"command": "restart"}) }

// listens tells a client that has to know which types of events are to come.
func (t *T) listens(types ...string) {
	for _, kind := range types {
		if kind != "message" && t.has("event-type-listeners") {
			t.command(parameters{"command": "listen", "listen": parameters{"type": kind}})
		}
	}
}

func (t *T) has(capability string) bool {
	for _, c := range t.suite.service.Capabilities {
		if c == capability {
			return true
		}
	}
	return false
}

// stop ends the client.
func (c *driven) stop() { send(http.MethodDelete, c.url, nil) }

// send sends a request with JSON, and reads the answer away.
func send(method, url string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// An event is what a client is to receive.
type event struct{ kind, data, id string }

func (e event) String() string { return fmt.Sprintf("%s %s (id %q)", e.kind, brief(e.data), e.id) }

// brief shows a text that may be long.
func brief(s string) string {
	if len(s) > 100 {
		return fmt.Sprintf("%q… of %d bytes", s[:100], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// next is the next callback, except for comments, and errors that are no matter.
func (t *T) next(what string) message {
	for {
		m := patient(t, t.stream.messages, what)
		if m.Kind == "comment" || m.Kind == "error" && t.lenient {
			continue
		}
		return m
	}
}

// wants checks that these are the next events, and that there is no error before
// them.
func (t *T) wants(events ...event) {
	for i, want := range events {
		m := t.next(fmt.Sprintf("event %d, %v,", i+1, want))
		if m.Kind != "event" {
			t.fail("event %d: got %s %q, want %v", i+1, m.Kind, m.Comment, want)
		}
		got := event{m.Event.Type, m.Event.Data, m.Event.ID}
		if got.kind == "" {
			got.kind = "message"
		}
		if got != want {
			t.fail("event %d:\n got %v\nwant %v", i+1, got, want)
		}
	}
}

// failed checks that the client meets an error, now.
func (t *T) failed() {
	if m := t.next("error"); m.Kind != "error" {
		t.fail("got %s %v, want an error", m.Kind, event{m.Event.Type, m.Event.Data, m.Event.ID})
	}
}

// comments checks that these are the next comments.
func (t *T) comments(texts ...string) {
	for _, want := range texts {
		// Some clients hand over the space that may follow the colon.
		if m := patient(t, t.stream.messages, "comment"); m.Kind != "comment" || strings.TrimPrefix(m.Comment, " ") != strings.TrimPrefix(want, " ") {
			t.fail("got %s %q, want the comment %q", m.Kind, m.Comment, want)
		}
	}
}

// equal checks something about a request.
func (t *T) equal(what, got, want string) {
	if got != want {
		t.fail("%s is %q, want %q", what, got, want)
	}
}
