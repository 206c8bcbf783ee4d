package server_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
)

// Event streams of the protocol, byte for byte: id before event, no space where its
// clients know none, a control event behind each with data, the end in a closed one.
func TestDurableEventsOnTheWire(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, test := range []struct{ contentType, body, data, encoding string }{
			{"text/plain", "one\ntwo\r\nthree\rfour", "data:one\ndata:two\ndata:three\ndata:four\n", ""},
			{"text/plain", " x\n y\n", "data:  x\ndata:  y\ndata:\n", ""},
			{"text/plain", "x\n\nevent: control\ndata:{}\n\n", "data:x\ndata:\ndata:event: control\ndata:data:{}\ndata:\ndata:\n", ""},
			{"application/json", `[ {"n": 12345678901234567890} , "a\nb" ]`, "", ""},
			{"application/octet-stream", "\x00\x01\xff\n", "data:" + base64.StdEncoding.EncodeToString([]byte("\x00\x01\xff\n")) + "\n", "base64"},
		} {
			s.make("a", test.contentType, test.body)
			s.end("a", `error; reason="disk full"`)
			resp := s.do("GET", "/streams/a?offset=-1&live=sse", "")
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%q: status %d, %v", test.body, resp.StatusCode, err)
			}
			got := string(body)
			if h := resp.Header; h.Get("Content-Type") != "text/event-stream" || h.Get("Stream-SSE-Data-Encoding") != test.encoding || h["Stream-Sse-Data-Encoding"] != nil && test.encoding == "" || h.Get("Content-Length") != "" || !strings.Contains(h.Get("Cache-Control"), "no-cache") {
				t.Errorf("%q: %v", test.body, h)
			}
			all := s.fetch("GET", "/streams/a?offset=-1&live=long-poll", "").header.Get("Stream-Next-Offset")
			want := []string{test.data}
			if test.data == "" {
				want = []string{`data:[{"n":12345678901234567890}]` + "\n", `data:["a\nb"]` + "\n"}
			}
			_, got, _ = strings.Cut(got, "\n\n") // the delay
			for _, data := range want {
				id, _, _ := strings.Cut(strings.TrimPrefix(got, "id: "), "\n")
				head := "id: " + id + "\nevent: data\n" + data + "\nid: " + id + "\nevent: control\ndata:{\"streamNextOffset\":\"" + id + `","streamCursor":"`
				if !strings.HasPrefix(got, head) || len(id) != 33 {
					t.Fatalf("%q: got %q, want %q", test.body, got, head)
				}
				_, got, _ = strings.Cut(got[len(head):], "\"}\n\n")
			}
			end := "id: " + all + "\nevent: control\ndata:{\"streamNextOffset\":\"" + all + `","upToDate":true,"streamClosed":true,"leatEnd":"error","leatReason":"disk full"}` + "\n\n"
			if got != end {
				t.Errorf("%q: ends with %q, want %q", test.body, got, end)
			}
			s.fetch("DELETE", "/streams/a", "")
		}
	})
}

// Who catches up is told that it is up to date with the newest record and not before,
// and then with each that comes.
func TestDurableEventsUpToDate(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		r := s.durable("a", "offset=-1")
		if c := r.control(); !c.UpToDate || c.Closed || c.Next != zeroOffset {
			t.Errorf("of an empty stream: %+v", c)
		}
		for n := range 5 {
			at := s.add("a", "text/plain", fmt.Sprint(n)).header.Get("Stream-Next-Offset")
			if data, c := r.data(); data != fmt.Sprint(n) || !c.UpToDate || c.Next != at {
				t.Errorf("%d came as %q, %+v", n, data, c)
			}
			late := s.durable("a", "offset=-1")
			for i := range n + 1 {
				if data, c := late.data(); data != fmt.Sprint(i) || c.UpToDate != (i == n) {
					t.Errorf("of %d the %dth came as %q, %+v", n+1, i, data, c)
				}
			}
			here := s.durable("a", "offset="+at)
			if c := here.control(); !c.UpToDate || c.Next != at {
				t.Errorf("at the end: %+v", c)
			}
			now := s.durable("a", "offset=now")
			if c := now.control(); !c.UpToDate || c.Next != at {
				t.Errorf("now: %+v", c)
			}
			for _, r := range []*reader{late, here, now} {
				r.close()
			}
		}
		s.end("a", "")
		if c := r.control(); !c.Closed || !c.UpToDate {
			t.Errorf("the end: %+v", c)
		}
		if ev, more := <-r.events; more {
			t.Errorf("after the end comes %+v", ev)
		}
		// At the end there is nothing but that.
		for _, query := range []string{"offset=now", "offset=" + s.fetch("GET", "/streams/a?offset=now", "").header.Get("Stream-Next-Offset")} {
			r := s.durable("a", query)
			if c := r.control(); !c.Closed {
				t.Errorf("%s: %+v", query, c)
			}
			if ev, more := <-r.events; more {
				t.Errorf("%s: after the end comes %+v", query, ev)
			}
		}
	})
}

// "a plain EventSource resumes": with the id of what it saw last it goes on there,
// whatever offset its URL repeats, and at the end of all it is told to stop.
func TestDurableEventsResume(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		first := s.make("a", "text/plain", "one").header.Get("Stream-Next-Offset")
		second := s.add("a", "text/plain", "two").header.Get("Stream-Next-Offset")
		for _, offset := range []string{"-1", "now", first, zeroOffset} {
			r := s.durable("a", "offset="+offset, "Last-Event-ID", first)
			if data, c := r.data(); data != "two" || !c.UpToDate {
				t.Errorf("offset=%s goes on with %q, %+v", offset, data, c)
			}
			r.close()
		}
		for _, id := range []string{first, zeroOffset, "x"} { // no news
			r := s.durable("a", "offset="+second, "Last-Event-ID", id)
			if c := r.control(); c.Next != second {
				t.Errorf("Last-Event-ID %s: %+v", id, c)
			}
			r.close()
		}
		s.end("a", "")
		end := s.durable("a", "offset="+second, "Last-Event-ID", second).control()
		if f := s.fetch("GET", "/streams/a?live=sse&offset=-1", "", "Last-Event-ID", end.Next); f.status != 204 {
			t.Errorf("who has seen the end gets %d %q", f.status, f.body)
		}
	})
}

// A client whose cursor is not before the present one gets a later one, in all events,
// and everything else as the others do.
func TestDurableEventsCursor(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "one")
		for _, had := range []string{"", "x", "7", fmt.Sprint(interval()), fmt.Sprint(interval() + 200)} {
			for range 20 {
				r := s.durable("a", "offset=-1&cursor="+had)
				_, c := r.data()
				cursorOf(t, "the newest", had, c.Cursor)
				here := s.durable("a", "offset="+c.Next+"&cursor="+had)
				cursorOf(t, "at the end", had, here.control().Cursor)
				r.close()
				here.close()
			}
		}
	})
}

// A live reader is told of what it can no longer be given, and its stream ends; when it
// comes back it hears where to go on.
func TestDurableEventsGap(t *testing.T) {
	overProtocols(t, server.Options{TailMemory: 1}, func(t *testing.T, s *service) {
		// A page is larger than what memory may hold: what a reader has not
		// taken is read from the store again, where it is gone by then.
		s.make("a", "text/plain", "first")
		resp := s.do("GET", "/streams/a?live=sse&offset=-1", "") // takes nothing yet
		text := strings.Repeat("x", 512<<10)
		last := ""
		for range 40 {
			last = s.add("a", "text/plain", text).header.Get("Stream-Next-Offset")
		}
		s.trim("a", last)
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return // in the middle of an event: it was cut, and comes back
		}
		if !strings.Contains(string(body), "event: leat.gap\n") || strings.Contains(string(body), "streamClosed") {
			t.Errorf("it ends with %.300q", body[max(0, len(body)-300):])
		}
	})
}

// The data of a record comes before the end, also when both were sent in one request,
// and a stream that is removed is no stream that has ended.
func TestDurableEventsEnd(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for range 50 {
			s.make("a", "text/plain", "")
			r := s.durable("a", "offset=now")
			r.control()
			s.add("a", "text/plain", "last", "Stream-Closed", "true")
			if data, _ := r.data(); data != "last" {
				t.Errorf("got %q", data)
			}
			if c := r.control(); !c.Closed || c.End != "" {
				t.Errorf("the end: %+v", c)
			}
			if ev, more := <-r.events; more {
				t.Errorf("after the end comes %+v", ev)
			}
			s.fetch("DELETE", "/streams/a", "")
		}
		s.make("a", "text/plain", "")
		r := s.durable("a", "offset=now")
		r.control()
		s.fetch("DELETE", "/streams/a", "")
		if ev, more := <-r.events; more || r.err != nil {
			t.Errorf("after its removal comes %+v, %v", ev, r.err)
		}
	})
}

// A character that two appends share is whole in the event of one of them.
func TestDurableEventsCutCharacter(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "")
		r := s.durable("a", "offset=now")
		r.control()
		s.add("a", "text/plain", "gr\xc3")
		s.add("a", "text/plain", "\xbcn")
		one, _ := r.data()
		two, _ := r.data()
		if one+two != "grün" || strings.Contains(one+two, "\uFFFD") {
			t.Errorf("got %q and %q", one, two)
		}
	})
}

// "Servers SHOULD close SSE after about 60 s": if they are to, a reader is closed when
// it has got what there is, and cleanly, without a word of the stream's end.
func TestDurableEventsCloseAfter(t *testing.T) {
	overProtocols(t, server.Options{SSECloseAfter: 1}, func(t *testing.T, s *service) {
		s.make("a", "text/plain", "one")
		next := s.add("a", "text/plain", "two").header.Get("Stream-Next-Offset")
		r := s.durable("a", "offset=-1")
		r.data()
		if _, c := r.data(); c.Next != next || c.Closed {
			t.Errorf("it ends with %+v", c)
		}
		if ev, more := <-r.events; more || r.err != nil {
			t.Errorf("then comes %+v, %v", ev, r.err)
		}
	})
}

// "Shed load with 200, retry: and a close" where an error would end an EventSource for
// ever, and 503 with Retry-After everywhere else.
func TestDurableTurnedAway(t *testing.T) {
	overProtocols(t, server.Options{MaxSubscribers: 1}, func(t *testing.T, s *service) {
		next := s.make("a", "text/plain", "x").header.Get("Stream-Next-Offset")
		s.durable("a", "offset=now").control()
		f := s.fetch("GET", "/streams/a?live=sse&offset=now", "")
		if f.status != 200 || !strings.Contains(f.body, "retry: ") || strings.Contains(f.body, "event:") || f.cut {
			t.Errorf("events: %d, %q", f.status, f.body)
		}
		for _, query := range []string{"offset=-1", "offset=" + next + "&live=long-poll"} {
			f := s.fetch("GET", "/streams/a?"+query, "")
			f.want(t, query, 503, "unavailable")
			if f.header.Get("Retry-After") == "" {
				t.Errorf("%s: %v", query, f.header)
			}
		}
		s.fetch("GET", "/streams/a?offset=now", "").wantChunk(t, "it needs no reader", 200, "", next, "u")
	})
}
