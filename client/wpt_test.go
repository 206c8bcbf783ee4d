package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// This file has what web-platform-tests check in eventsource/ of a connection,
// as far as a program that is no browser can show it; each test names its file
// there. What these tests check of the format is in package sse (wptVectors).
// What has no counterpart here: constructors, interfaces, event targets, CORS,
// credentials, workers and the back/forward cache, which are those of a browser.

// wpt is a server with the handlers that those tests share.
type wpt struct {
	script
	*fakeServer
}

func newWPT(t *testing.T, steps ...http.HandlerFunc) *wpt {
	w := &wpt{script: script{steps: steps}}
	w.fakeServer = newFakeServer(t, &w.script)
	return w
}

// read returns the data of the events up to n, or to the end, and what the
// source would be told as errors: one for each reconnect, and the last.
func (w *wpt) read(t *testing.T, n int, o SubscribeOptions) (data string, errs []error) {
	o.HTTP = w.client
	o.Notify = func(n Notice) {
		if n.Kind == Waiting {
			errs = append(errs, n.Err)
		}
	}
	var all []string
	for e, err := range Subscribe(t.Context(), anyURL, o) {
		if err != nil {
			errs = append(errs, err)
			break
		}
		if all = append(all, string(e.Data)); len(all) == n {
			break
		}
	}
	return strings.Join(all, "|"), errs
}

// lastEventID is resources/last-event-id.py: without the header it sends idValue
// and asks for a short retry, with it it sends it back.
func lastEventID(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if last := r.Header.Get("Last-Event-ID"); last != "" {
			stream("data: "+last+"\n\n")(w, r)
			return
		}
		stream("id: "+id+"\nretry: 200\ndata: hello\n\n")(w, r)
	}
}

func TestWPT(t *testing.T) {
	ok := stream("data: data\n\n")
	final := func(t *testing.T, w *wpt, errs []error) {
		if len(errs) != 1 || leat.CodeOf(errs[0]) != CodeAnswer && leat.CodeOf(errs[0]) != leat.CodeNotFound || w.requests() != 1 {
			t.Errorf("errors %v after %d requests", errs, w.requests())
		}
	}
	for name, run := range map[string]func(*testing.T){
		"format-mime-trailing-semicolon": func(t *testing.T) {
			w := newWPT(t, typed("text/event-stream;", "data: data\n\n"))
			if data, errs := w.read(t, 1, SubscribeOptions{}); data != "data" || len(errs) > 0 {
				t.Errorf("got %q, %v", data, errs)
			}
		},
		"format-mime-bogus": func(t *testing.T) {
			w := newWPT(t, typed("x bogus", "data: data\n\n"))
			data, errs := w.read(t, 1, SubscribeOptions{})
			if data != "" {
				t.Errorf("got %q", data)
			}
			final(t, w, errs)
		},
		"format-mime-valid-bogus": func(t *testing.T) {
			w := newWPT(t, typed("text/x-bogus", "data: data\n\n"))
			data, errs := w.read(t, 1, SubscribeOptions{})
			if data != "" {
				t.Errorf("got %q", data)
			}
			final(t, w, errs)
		},
		"format-utf-8": func(t *testing.T) {
			w := newWPT(t, typed("text/event-stream;charset=windows-1252", "data: ok…\n\n"))
			if data, _ := w.read(t, 1, SubscribeOptions{}); data != "ok…" {
				t.Errorf("got %q", data)
			}
		},
		"event-data": func(t *testing.T) {
			w := newWPT(t, func(rw http.ResponseWriter, r *http.Request) {
				for _, part := range []string{"data:msg", "\n", "data: msg\n\n", ":", "\n", "falsefield:msg\n\n", "falsefield:msg\n", "Data:data\n\n", "data\n\n", "data:end\n\n"} {
					stream(part)(rw, r)
					time.Sleep(300 * time.Millisecond)
				}
			})
			if data, _ := w.read(t, 3, SubscribeOptions{}); data != "msg\nmsg||end" {
				t.Errorf("got %q", data)
			}
		},
		"format-data-before-final-empty-line": func(t *testing.T) {
			w := newWPT(t, stream("retry:1000\ndata:test1\n\nid:test\ndata:test2"))
			if data, _ := w.read(t, 2, SubscribeOptions{}); data != "test1|test1" {
				t.Errorf("got %q", data)
			}
			if id := w.header(1, "Last-Event-ID"); id != "" {
				t.Errorf("the id of an event that did not end is sent: %q", id)
			}
		},
		"format-field-id": func(t *testing.T) {
			w := newWPT(t, lastEventID("…"))
			if data, _ := w.read(t, 2, SubscribeOptions{}); data != "hello|…" {
				t.Errorf("got %q", data)
			}
		},
		"format-field-id-2": func(t *testing.T) {
			w := newWPT(t, lastEventID("…"))
			if data, _ := w.read(t, 4, SubscribeOptions{}); data != "hello|…|…|…" {
				t.Errorf("got %q: the id has to stay over connections", data)
			}
		},
		"format-field-id-3": func(t *testing.T) {
			for _, reset := range []string{"id", "id:"} {
				w := newWPT(t, stream("retry: 200\nid: 1\ndata: 1\n\n"+reset+"\ndata: 2\n\n"))
				w.read(t, 3, SubscribeOptions{})
				if id := w.header(1, "Last-Event-ID"); id != "" {
					t.Errorf("%q leaves %q", reset, id)
				}
			}
		},
		"format-field-id-null": func(t *testing.T) {
			for _, id := range []string{"\x00\x00", "x\x00", "\x00x", "x\x00x", " \x00"} {
				w := newWPT(t, lastEventID(id))
				if data, _ := w.read(t, 2, SubscribeOptions{}); data != "hello|hello" {
					t.Errorf("%q: got %q", id, data)
				}
			}
		},
		"format-field-retry": func(t *testing.T) { retries(t, "retry:03000\ndata:x\n\n", 3*time.Second) },
		"format-field-retry-bogus": func(t *testing.T) {
			retries(t, "retry:3000\nretry:1000x\ndata:x\n\n", 3*time.Second)
		},
		"format-field-retry-bogus-2": func(t *testing.T) {
			retries(t, "retry:3000\nretry:-5000\nretry:5000x\ndata:x\n\n", 3*time.Second)
		},
		"format-field-retry-empty": func(t *testing.T) { retries(t, "retry\ndata:x\n\n", minRetry) },
		"request-accept": func(t *testing.T) {
			w := newWPT(t, ok)
			w.read(t, 1, SubscribeOptions{})
			if accept := w.header(0, "Accept"); accept != "text/event-stream" {
				t.Errorf("accepts %q", accept)
			}
		},
		"request-cache-control": func(t *testing.T) {
			w := newWPT(t, ok)
			w.read(t, 1, SubscribeOptions{})
			if value := w.header(0, "Cache-Control"); value != "no-cache" {
				t.Errorf("Cache-Control is %q", value)
			}
		},
		"request-redirect": func(t *testing.T) {
			for _, code := range []int{301, 302, 303, 307} {
				w := newWPT(t, status(code, "Location", "/message"), ok)
				if data, errs := w.read(t, 1, SubscribeOptions{}); data != "data" || len(errs) > 0 {
					t.Errorf("%d: got %q, %v", code, data, errs)
				}
			}
		},
		"request-status-error": func(t *testing.T) {
			// That test has 503 too, after which a browser never comes back.
			// This client does: see TestTemporaryRefusals.
			for _, code := range []int{204, 205, 210, 299, 404, 410} {
				w := newWPT(t, func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", "text/event-stream")
					rw.WriteHeader(code)
					if code != 204 && code != 205 {
						io.WriteString(rw, "data: data\n\n")
					}
				})
				data, errs := w.read(t, 1, SubscribeOptions{})
				if data != "" || w.requests() != 1 {
					t.Errorf("%d: got %q in %d requests", code, data, w.requests())
				}
				if code == 204 && len(errs) > 0 {
					t.Errorf("204 is no error here: it is the end, %v", errs)
				} else if code != 204 {
					final(t, w, errs)
				}
			}
		},
		"eventsource-reconnect, after 200": func(t *testing.T) {
			w := newWPT(t, stream("retry: 2\ndata: ok\n\n"), ok)
			if data, errs := w.read(t, 2, SubscribeOptions{}); data != "ok|data" || len(errs) != 1 {
				t.Errorf("got %q, %v", data, errs)
			}
		},
		"eventsource-reconnect, never after 204": func(t *testing.T) {
			w := newWPT(t, ok, ok, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "text/event-stream")
				rw.WriteHeader(204)
				io.WriteString(rw, "data: must not get through\n\n")
			})
			if data, errs := w.read(t, 9, SubscribeOptions{}); data != "data|data" || len(errs) != 2 || w.requests() != 3 {
				t.Errorf("got %q, %v in %d requests", data, errs, w.requests())
			}
		},
		"eventsource-close": func(t *testing.T) {
			closed := make(chan struct{})
			w := newWPT(t, func(rw http.ResponseWriter, r *http.Request) {
				hang("data: data\n\n")(rw, r)
				close(closed)
			})
			w.read(t, 1, SubscribeOptions{})
			<-closed
			time.Sleep(time.Hour)
			if w.requests() != 1 {
				t.Errorf("%d requests", w.requests())
			}
		},
		"eventsource-constructor-url-bogus": func(t *testing.T) {
			for _, err := range Subscribe(t.Context(), "http://this is invalid/", SubscribeOptions{}) {
				if leat.CodeOf(err) != leat.CodeInvalidParameter {
					t.Errorf("got %v", err)
				}
			}
		},
		"eventsource-url": func(t *testing.T) {
			w := newWPT(t, ok)
			target := "http://leat.test/message?x=" + url.QueryEscape("a b") + "#fragment"
			for range Subscribe(t.Context(), target, SubscribeOptions{HTTP: w.client}) {
				break
			}
			if got := w.seen[0].URL.String(); got != "/message?x=a+b" {
				t.Errorf("asked for %s", got)
			}
		},
		"eventsource-cross-origin-preflight": func(t *testing.T) {
			// Which ids need a preflight is a browser's to decide. Here each is
			// sent as it is, whatever it has in it.
			for _, id := range []string{strings.Repeat("x", 255), "<", "…"} {
				w := newWPT(t, lastEventID(id))
				if data, _ := w.read(t, 2, SubscribeOptions{}); data != "hello|"+id {
					t.Errorf("%q: got %q", id, data)
				}
			}
		},
		"eventsource-request-cancellation": func(t *testing.T) {
			closed := make(chan struct{})
			w := newWPT(t, func(rw http.ResponseWriter, r *http.Request) {
				silent(rw, r)
				close(closed)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for _, err := range Subscribe(ctx, anyURL, SubscribeOptions{HTTP: w.client}) {
				if err == nil {
					t.Error("an event")
				}
			}
			<-closed
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
	}
}

// retries checks that a reconnect comes after a delay, and at most half as much
// again as jitter, or as Retry allows where the server has asked for nothing.
func retries(t *testing.T, body string, want time.Duration) {
	t.Helper()
	w := newWPT(t, stream(body), stream("data: y\n\n"))
	if data, _ := w.read(t, 2, SubscribeOptions{}); data != "x|y" {
		t.Fatalf("got %q", data)
	}
	if gap := w.gap(0); gap < want || gap > 2*want+2*time.Second {
		t.Errorf("reconnected after %v, want %v", gap, want)
	}
}
