package main

import (
	"fmt"
	"strings"
	"time"
)

// reopens is the next connection, which is opened.
func (t *T) reopens() *conn { return t.connection().open() }

// mayFail passes over errors: whether a client tells of a connection that has
// ended, although it makes another one, is up to it.
func (t *T) mayFail() { t.lenient = true }

func httpTests() []test {
	made := []test{
		{"http/method and header", "", func(t *T) {
			c := t.open(nil)
			t.equal("the method", c.Method, "GET")
			t.equal("the Accept header", c.Header.Get("Accept"), "text/event-stream")
			t.equal("the Cache-Control header", c.Header.Get("Cache-Control"), "no-cache")
			if ids := c.Header.Values("Last-Event-ID"); len(ids) > 0 {
				t.fail("there is a Last-Event-ID %q", ids)
			}
		}},
		{"http/204 is the end", "server-directed-shutdown-request", func(t *T) {
			t.start(nil)
			t.connection().answer(204, "")
			t.staysAway("204")
		}},
		{"http/204 is the end, also of a reconnect", "server-directed-shutdown-request", func(t *T) {
			c := t.open(nil)
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
			c.end()
			t.connection().answer(204, "")
			t.staysAway("204")
		}},
		{"http/own headers", "headers", func(t *T) {
			c := t.open(parameters{"headers": map[string]string{"header-name-1": "value-1", "header-name-2": "value-2"}})
			t.equal("the header", c.Header.Get("header-name-1"), "value-1")
			t.equal("the header", c.Header.Get("header-name-2"), "value-2")
			c.cut()
			t.equal("the header, the second time,", t.connection().Header.Get("header-name-1"), "value-1")
		}},
		{"http/first Last-Event-ID", "last-event-id", func(t *T) {
			c := t.open(parameters{"lastEventId": "abc"})
			t.equal("the Last-Event-ID", c.Header.Get("Last-Event-ID"), "abc")
			c.send("data: Hello\n\n")
			t.wants(event{"message", "Hello", "abc"})
			c.cut()
			t.equal("the Last-Event-ID, the second time,", t.connection().Header.Get("Last-Event-ID"), "abc")
		}},
		{"http/content type with parameters", "", func(t *T) {
			t.start(nil)
			c := t.connection()
			c.w.Header().Set("Content-Type", "text/event-stream; charset=windows-1252")
			c.send("data: €\n\n")
			t.wants(message1("€"))
		}},
		{"http/another content type is an error", "", func(t *T) {
			t.start(nil)
			t.connection().answer(200, "data: no\n\n", "Content-Type", "text/html")
			t.failed()
			t.staysAway("another content type")
		}},
	}
	for _, method := range []string{"POST", "REPORT"} {
		made = append(made, test{"http/" + method, strings.ToLower(method), func(t *T) {
			const body = `{"hello": "world"}`
			c := t.open(parameters{"method": method, "body": body, "headers": map[string]string{"content-type": "application/json; charset=utf-8"}})
			t.equal("the method", c.Method, method)
			t.equal("the body", c.body, body)
			t.equal("the Content-Type", c.Header.Get("Content-Type"), "application/json; charset=utf-8")
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
		}})
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		made = append(made, test{fmt.Sprintf("http/%d is followed", status), "", func(t *T) {
			t.start(nil)
			t.connection().answer(status, "", "Location", t.stream.url+"/elsewhere")
			c := t.connection().open()
			t.equal("the path of the second request", strings.TrimPrefix(c.URL.Path, "/"+t.stream.id), "/elsewhere")
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
		}})
	}
	for _, status := range []int{301, 307} {
		made = append(made, test{fmt.Sprintf("http/%d without Location is an error", status), "", func(t *T) {
			t.start(nil)
			t.connection().answer(status, "")
			t.failed()
		}}, test{fmt.Sprintf("http/%d with an empty Location is an error", status), "", func(t *T) {
			// To fetch, and so to a browser, it leads to where it came from.
			t.start(nil)
			timer := time.NewTimer(t.suite.timeout)
			defer timer.Stop()
			for {
				select {
				case c := <-t.stream.conns:
					c.answer(status, "", "Location", "")
					continue
				case m := <-t.stream.messages:
					t.equal("the callback", m.Kind, "error")
				case <-timer.C:
					t.fail("no error within %v", t.suite.timeout)
				}
				return
			}
		}})
	}
	for _, status := range []int{400, 401, 404} {
		made = append(made, test{fmt.Sprintf("http/%d is an error, and final", status), "", func(t *T) {
			t.start(nil)
			t.connection().answer(status, "data: no\n\n", "Content-Type", "text/event-stream")
			t.failed()
			t.staysAway(fmt.Sprint(status))
		}})
	}
	return made
}

func reconnectTests() []test {
	hello := event{"message", "Hello", "abc"}
	made := []test{
		{"reconnect/after an end", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\n")
			t.wants(hello)
			c.end()
			t.mayFail()
			c = t.reopens()
			t.equal("the Last-Event-ID", c.Header.Get("Last-Event-ID"), "abc")
			c.send("data: World\n\n")
			t.wants(event{"message", "World", "abc"})
		}},
		{"reconnect/after a cut", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\n")
			t.wants(hello)
			c.cut()
			t.equal("the Last-Event-ID", t.connection().Header.Get("Last-Event-ID"), "abc")
		}},
		{"reconnect/a restart that is asked for", "restart", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\n")
			t.wants(hello)
			t.restart()
			t.mayFail()
			c = t.reopens()
			t.equal("the Last-Event-ID", c.Header.Get("Last-Event-ID"), "abc")
			c.send("data: World\n\n")
			t.wants(event{"message", "World", "abc"})
		}},
		{"reconnect/the id stays over events without one", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\ndata: World\n\n")
			t.wants(hello, event{"message", "World", "abc"})
			c.cut()
			t.equal("the Last-Event-ID", t.connection().Header.Get("Last-Event-ID"), "abc")
		}},
		{"reconnect/the id stays over connections without one", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\n")
			t.wants(hello)
			c.cut()
			t.mayFail()
			c = t.reopens()
			c.send("data: World\n\n")
			t.wants(event{"message", "World", "abc"})
			c.cut()
			t.equal("the Last-Event-ID", t.connection().Header.Get("Last-Event-ID"), "abc")
		}},
		{"reconnect/an empty id resets it", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\nid:\ndata: World\n\n")
			t.wants(hello, message1("World"))
			c.cut()
			if ids := t.connection().Header.Values("Last-Event-ID"); strings.Join(ids, "") != "" {
				t.fail("the Last-Event-ID is %q", ids)
			}
		}},
		{"reconnect/an event that is cut is thrown away, and so is its id", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\nid: def\nevent: greeting\ndata: Wor")
			t.wants(hello)
			c.cut()
			t.mayFail()
			c = t.reopens()
			t.equal("the Last-Event-ID", c.Header.Get("Last-Event-ID"), "abc")
			c.send("data: World\n\n")
			t.wants(event{"message", "World", "abc"})
		}},
		{"reconnect/a block that has only an id counts", "", func(t *T) {
			c := t.open(nil)
			c.send("id: abc\ndata: Hello\n\nid: def\n\n")
			t.wants(hello)
			c.end()
			t.equal("the Last-Event-ID", t.connection().Header.Get("Last-Event-ID"), "def")
		}},
		{"reconnect/an id with other characters is sent as UTF-8", "", func(t *T) {
			c := t.open(nil)
			c.send("id: …\ndata: Hello\n\n")
			t.wants(event{"message", "Hello", "…"})
			c.cut()
			t.equal("the Last-Event-ID", t.connection().Header.Get("Last-Event-ID"), "…")
		}},
		{"reconnect/the body is sent again", "post", func(t *T) {
			const body = `{"hello": "world"}`
			c := t.open(parameters{"method": "POST", "body": body, "headers": map[string]string{"content-type": "application/json"}})
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
			c.cut()
			c = t.connection()
			t.equal("the method", c.Method, "POST")
			t.equal("the body", c.body, body)
			t.equal("the Content-Type", c.Header.Get("Content-Type"), "application/json")
		}},
		{"reconnect/after silence", "read-timeout", func(t *T) {
			c := t.open(parameters{"readTimeoutMs": 500})
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
			t.failed()
			t.mayFail()
			t.reopens().send("data: World\n\n")
			t.wants(message1("World"))
		}},
		{"reconnect/any byte breaks the silence", "read-timeout", func(t *T) {
			c := t.open(parameters{"readTimeoutMs": 2000})
			for range 15 {
				c.send(":")
				time.Sleep(200 * time.Millisecond)
			}
			c.send("\ndata: Hello\n\n")
			t.wants(message1("Hello"))
		}},
		{"reconnect/one connection at a time", "restart", func(t *T) {
			c := t.open(nil)
			c.send("data: Hello\n\n")
			t.wants(message1("Hello"))
			t.restart()
			t.mayFail()
			t.reopens().send("data: World\n\n")
			t.wants(message1("World"))
			timer := time.AfterFunc(t.suite.timeout, func() { c.cut() })
			defer timer.Stop()
			<-c.Context().Done()
			if !timer.Stop() {
				t.fail("the first connection was not closed within %v", t.suite.timeout)
			}
		}},
	}
	for _, status := range []int{500, 503} {
		made = append(made, test{fmt.Sprintf("reconnect/after %d", status), "server-directed-shutdown-request", func(t *T) {
			// Browsers give up. Who claims to be told when to stop does not.
			t.start(nil)
			t.connection().answer(status, "")
			t.mayFail()
			t.reopens().send("data: Hello\n\n")
			t.wants(message1("Hello"))
		}})
	}
	return made
}
