package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// socket opens a WebSocket that must open.
func (s *service) socket(query string, fields ...string) (*bufio.Reader, *socket) {
	s.t.Helper()
	header := make(http.Header)
	for i := 0; i < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	ws, _, err := dial(s.t.Context(), s.client, s.url+"/events?"+query, header)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ws.Close() })
	return bufio.NewReader(ws), ws
}

// overSockets runs a test over a server that WebSockets can be opened to.
func overSockets(t *testing.T, o server.Options, test func(s *service)) {
	if o.Store == nil {
		o.Store = memory(t)
	}
	test(start(t, o, protocols["HTTP/1.1"]))
}

// closed returns how a WebSocket was closed, behind what it still had to say.
func closed(t *testing.T, ws *socket) (code websocket.StatusCode, reason string) {
	t.Helper()
	for {
		if _, _, err := ws.conn.Read(t.Context()); err != nil {
			var e websocket.CloseError
			if !errors.As(err, &e) {
				t.Fatalf("it was not closed: %v", err)
			}
			return e.Code, e.Reason
		}
	}
}

// A WebSocket has the lines of NDJSON, each as a message, and one that comes back with
// the id of any of them gets exactly the rest.
func TestWebSocket(t *testing.T) {
	overSockets(t, server.Options{}, func(s *service) {
		envelopes, ids := s.publishForms()
		begun, _ := s.socket("topic=*&from=start")
		readLines(t, begun, 1)
		if got, want := readLines(t, begun, len(envelopes)), strings.Join(envelopes, "\n")+"\n"; got != want {
			t.Errorf("from the start:\n got %s\nwant %s", got, want)
		}
		for i, id := range ids {
			for _, resume := range [][]string{{"topic=*&from=" + id}, {"topic=*&last_event_id=" + id}, {"topic=*&from=start", "Last-Event-ID", id}} {
				r, _ := s.socket(resume[0], resume[1:]...)
				want := strings.Join(append([]string{`{"id":"` + id + `"}`}, envelopes[i+1:]...), "\n") + "\n"
				if got := readLines(t, r, len(envelopes)-i); got != want {
					t.Errorf("%v:\n got %s\nwant %s", resume, got, want)
				}
			}
		}
		live := s.publish("a", "live")
		if got, want := readLines(t, begun, 1), `{"id":"`+live+`","topic":"a","time":"…","data":"live"}`+"\n"; got != want {
			t.Errorf("live: got %q, want %q", got, want)
		}
	})
}

// A message has a whole envelope, however large: pieces of it are frames of one message.
func TestWebSocketLargeRecord(t *testing.T) {
	overSockets(t, server.Options{}, func(s *service) {
		r, _ := s.socket("topic=a")
		readLines(t, r, 1)
		data := strings.Repeat("0123456789abcdef", 1<<16)
		s.publish("a", data)
		s.publish("a", "next")
		if got := readLines(t, r, 1); !strings.HasSuffix(got, `"data":"`+data+`"}`+"\n") {
			t.Errorf("a message of %d bytes", len(got))
		}
		if got := readLines(t, r, 1); !strings.HasSuffix(got, `"data":"next"}`+"\n") {
			t.Errorf("behind it: %s", got)
		}
	})
}

// A gap is told; one that asks for an error gets it before there is a WebSocket.
func TestWebSocketGap(t *testing.T) {
	overSockets(t, server.Options{}, func(s *service) {
		first, second := s.publish("a", "1"), s.publish("a", "2")
		trimmed, _ := leat.ParseOffset(second)
		if err := s.st.Trim(t.Context(), "a", trimmed.Seq); err != nil {
			t.Fatal(err)
		}
		r, _ := s.socket("topic=a&last_event_id=" + first)
		want := `{"id":"` + first + `"}` + "\n" + `{"id":"` + first + `","gap":{"reason":"trimmed","asked":"` + first + `","next":"` + first +
			`","topics":[{"topic":"a","through":"` + second + `"}],"more":0}}` + "\n"
		if got := readLines(t, r, 2); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		_, resp, err := dial(t.Context(), s.client, s.url+"/events?topic=a&gap=error&from="+first, nil)
		if err == nil || resp == nil || resp.StatusCode != 410 {
			t.Errorf("gap=error: %v, %v", resp, err)
		}
	})
}

// The end of all that is asked for is told, and then the connection is closed as one that
// has done its work. Who comes back with the end is closed at once.
func TestWebSocketEnd(t *testing.T) {
	overSockets(t, server.Options{}, func(s *service) {
		s.do("PUT", "/streams/a", "x", "Content-Type", "text/plain")
		r, ws := s.socket("topic=a&from=start")
		readLines(t, r, 2)
		s.do("POST", "/streams/a", "", "Stream-Closed", "true")
		var end struct{ ID string }
		if line := readLines(t, r, 1); json.Unmarshal([]byte(line), &end) != nil || !strings.Contains(line, `"end":{"topic":"a","state":"complete"}`) {
			t.Errorf("the end is %s", line)
		}
		if code, reason := closed(t, ws); code != websocket.StatusNormalClosure || reason != "ended" {
			t.Errorf("closed with %d, %q", code, reason)
		}
		_, again := s.socket("topic=a&last_event_id=" + end.ID)
		if code, reason := closed(t, again); code != websocket.StatusNormalClosure || reason != "ended" {
			t.Errorf("again: closed with %d, %q", code, reason)
		}
	})
}

// When the server stops, the last message says when to come back and with what.
func TestWebSocketShutdown(t *testing.T) {
	overSockets(t, server.Options{Drain: 20 * time.Second}, func(s *service) {
		id := s.publish("a", "x")
		r, ws := s.socket("topic=a")
		readLines(t, r, 1)
		s.untilReaders(1)
		stopped := make(chan error, 1)
		go func() { stopped <- s.srv.Shutdown(context.WithoutCancel(t.Context())) }() // ended by the readers' end
		var last struct {
			ID    string
			Retry int
		}
		if line := readLines(t, r, 1); json.Unmarshal([]byte(line), &last) != nil || last.ID != id || last.Retry < 500 || last.Retry > 21000 {
			t.Errorf("the last message is %s", line)
		}
		if code, reason := closed(t, ws); code != websocket.StatusServiceRestart || reason != "shutdown" {
			t.Errorf("closed with %d, %q", code, reason)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// A silence has signs of life that a page can see; with positions if the log has moved.
func TestWebSocketHeartbeat(t *testing.T) {
	overSockets(t, server.Options{Heartbeat: 50 * time.Millisecond}, func(s *service) {
		r, _ := s.socket("topic=a")
		readLines(t, r, 1)
		if got := readLines(t, r, 2); got != "{}\n{}\n" {
			t.Errorf("nothing has moved: %q", got)
		}
		id := s.publish("other", "x")
		for {
			if got := readLines(t, r, 1); got == `{"id":"`+id+`"}`+"\n" {
				break
			} else if got != "{}\n" {
				t.Fatalf("the log has moved on to %s: %q", id, got)
			}
		}
	})
}

// CORS does not apply to WebSockets: a page of another origin could read one, with the
// cookies of this one, if the server did not look at the Origin.
func TestWebSocketOrigin(t *testing.T) {
	overSockets(t, server.Options{CORSOrigins: []string{"https://friend.example"}}, func(s *service) {
		for origin, want := range map[string]int{"https://foe.example": 403, "https://friend.example": 101, s.url: 101, "": 101} {
			ws, resp, err := dial(t.Context(), s.client, s.url+"/events?topic=a", http.Header{"Origin": {origin}})
			switch {
			case resp == nil:
				t.Fatal(err)
			case resp.StatusCode != want:
				t.Errorf("a page of %q: status %d, want %d", origin, resp.StatusCode, want)
			case ws == nil:
				if a := s.read(resp); a["code"] != "cross_origin" {
					t.Errorf("a page of %q: %v", origin, a)
				}
			}
			if ws != nil {
				ws.Close()
			}
		}
	})
}

// What cannot be upgraded is a problem document that says why.
func TestWebSocketRefused(t *testing.T) {
	overSockets(t, server.Options{MaxSubscribers: 1}, func(s *service) {
		const key = "dGhlIHNhbXBsZSBub25jZQ=="
		for _, c := range []struct {
			query, version, key, code string
			status                    int
		}{
			{"topic=a", "8", key, "invalid_parameter", 400},
			{"topic=a", "13", "", "invalid_parameter", 400},
			{"topic=a", "13", "short", "invalid_parameter", 400},
			{"topic=", "13", key, "invalid_name", 400},
			{"topic=a&from=yesterday", "13", key, "invalid_parameter", 400},
		} {
			resp := s.do("GET", "/events?"+c.query, "", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", c.version, "Sec-WebSocket-Key", c.key)
			if a := s.read(resp); resp.StatusCode != c.status || a["code"] != c.code || resp.Header.Get("Upgrade") != "" {
				t.Errorf("%+v: status %d, %v, %v", c, resp.StatusCode, a, resp.Header)
			}
		}
		s.untilReaders(0)
		r, _ := s.socket("topic=a")
		readLines(t, r, 1)
		_, resp, err := dial(t.Context(), s.client, s.url+"/events?topic=a", nil)
		if resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("one reader too many: %v, %v", resp, err)
		}
	})
}

// Behind middleware that does not hand the connection over there is no WebSocket, and the
// answer says what to do instead.
func TestWebSocketBehindMiddleware(t *testing.T) {
	overSockets(t, server.Options{}, func(s *service) {
		type opaque struct{ http.ResponseWriter } // it has no Unwrap
		hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.srv.ServeHTTP(opaque{w}, r) }))
		defer hs.Close()
		_, resp, err := dial(t.Context(), hs.Client(), hs.URL+"/events?topic=a", nil)
		if resp == nil || resp.StatusCode != 400 {
			t.Fatalf("%v, %v", resp, err)
		}
		if a := s.read(resp); !strings.Contains(a["advice"].(string), "text/event-stream") {
			t.Errorf("%v", a)
		}
	})
}

// A client has nothing to say: one that speaks is closed, and said why.
func TestWebSocketClientSpeaks(t *testing.T) {
	overSockets(t, server.Options{}, func(s *service) {
		r, ws := s.socket("topic=a")
		readLines(t, r, 1)
		if err := ws.conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if code, reason := closed(t, ws); code != websocket.StatusPolicyViolation || !strings.Contains(reason, "POST") {
			t.Errorf("closed with %d, %q", code, reason)
		}
		s.untilReaders(0)
	})
}

// A client that takes nothing is cut after the stall timeout, and one that has gone is
// noticed; nobody else is the slower for it.
func TestWebSocketStalls(t *testing.T) {
	overSockets(t, server.Options{StallTimeout: 200 * time.Millisecond, Loops: -1}, func(s *service) {
		r, _ := s.socket("topic=a")
		readLines(t, r, 1)
		other, ws := s.socket("topic=b")
		readLines(t, other, 1)
		s.untilReaders(2)
		large := strings.Repeat("x", 1<<20)
		for i := range 30 { // more than the kernel holds
			s.publish("a", large)
			s.publish("b", strconv.Itoa(i))
			if got := readLines(t, other, 1); !strings.Contains(got, `"data":"`+strconv.Itoa(i)+`"`) {
				t.Fatalf("beside it: %s", got)
			}
		}
		s.untilReaders(1)
		if _, err := io.Copy(io.Discard, r); err == nil {
			t.Error("the stalled WebSocket ends as if all had been sent")
		}
		ws.Close()
		s.untilReaders(0)
	})
}
