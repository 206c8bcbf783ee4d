package server_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A told is what a control event of the Durable Streams protocol says.
type told struct {
	Next     string `json:"streamNextOffset"`
	Cursor   string `json:"streamCursor"`
	UpToDate bool   `json:"upToDate"`
	Closed   bool   `json:"streamClosed"`
	End      string `json:"leatEnd"`
	Reason   string `json:"leatReason"`
}

// data reads a data event, and the control event that stands behind it.
func (r *reader) data() (string, told) {
	r.t.Helper()
	ev := r.next()
	if ev.Type != "data" {
		r.t.Fatalf("got %+v, want an event data", ev)
	}
	c := r.control()
	if c.Next != ev.ID {
		r.t.Errorf("a control event says %s behind %s", c.Next, ev.ID)
	}
	return string(ev.Data), c
}

// control reads a control event.
func (r *reader) control() (c told) {
	r.t.Helper()
	ev := r.next()
	if err := json.Unmarshal(ev.Data, &c); err != nil || ev.Type != "control" {
		r.t.Fatalf("got %+v, want an event control (%v)", ev, err)
	}
	if c.Closed != (c.Cursor == "") {
		r.t.Errorf("closed and a cursor, or neither: %s", ev.Data)
	}
	return c
}

// durable reads a stream as the events of the protocol.
func (s *service) durable(name, query string, fields ...string) *reader {
	s.t.Helper()
	return s.readEvents("/streams/"+name+"?live=sse&"+query, fields...)
}

// interval is the number of the present interval of the cursors.
func interval() int64 {
	return int64(time.Since(time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)) / (20 * time.Second))
}

// cursorOf checks that a cursor is the present one if nothing is asked for, else later
// than what the client came with and not by more than an hour.
func cursorOf(t *testing.T, what, had, got string) {
	t.Helper()
	n, err := strconv.ParseInt(got, 10, 64)
	now := interval()
	was, bad := strconv.ParseInt(had, 10, 64)
	switch {
	case err != nil:
		t.Errorf("%s: the cursor is %q", what, got)
	case bad == nil && was >= now-1 && was < now+24*180:
		if n <= was && was >= now || n > was+180 {
			t.Errorf("%s: after the cursor %s comes %s", what, had, got)
		}
	case n < now-1 || n > now:
		t.Errorf("%s: after the cursor %q comes %s, and it is %d", what, had, got, now)
	}
}

// wantChunk checks an answer to an offset: its content, and the fields that say where
// it goes and whether that is the end. flags has u for up to date, c for closed.
func (f fetched) wantChunk(t *testing.T, what string, status int, body, next, flags string) {
	t.Helper()
	got := ""
	if f.header.Get("Stream-Up-To-Date") == "true" {
		got += "u"
	}
	if f.header.Get("Stream-Closed") == "true" {
		got += "c"
	}
	if f.status != status || f.body != body || f.header.Get("Stream-Next-Offset") != next || got != flags || f.cut {
		t.Errorf("%s: status %d, %.80q, next %s, %q; want %d, %.80q, %s, %q", what, f.status, f.body, f.header.Get("Stream-Next-Offset"), got, status, body, next, flags)
	}
	if strings.Contains(f.header.Get("Vary"), "Accept") {
		t.Errorf("%s: Vary %q", what, f.header.Get("Vary"))
	}
	if status == 200 && f.header.Get("Content-Length") != strconv.Itoa(len(body)) {
		t.Errorf("%s: Content-Length %q", what, f.header.Get("Content-Length"))
	}
}
