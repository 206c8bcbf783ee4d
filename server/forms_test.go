package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// "text/event-stream (also */* and none), application/x-ndjson,
// application/ndjson, application/jsonl, application/json (long poll);
// as=sse|ndjson|json overrides"; "the content type answered for NDJSON is the
// one asked for"; HEAD says the same.
func TestNegotiation(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		const sse, x, ndjson, jsonl, poll = "text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"
		for _, test := range []struct{ accept, as, want string }{
			{"", "", sse},
			{"*/*", "", sse},
			{"text/*", "", sse},
			{sse, "", sse},
			{sse + ";q=0.5, text/html", "", sse},
			{sse + ";q=0, */*", "", x},
			{x, "", x},
			{ndjson, "", ndjson},
			{jsonl, "", jsonl},
			{poll, "", poll},
			{poll + ", */*;q=0.1", "", poll},
			{sse, "ndjson", x},
			{jsonl, "ndjson", jsonl},
			{"text/html", "json", poll},
			{poll, "sse", sse},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				resp := s.do(method, "/events?topic=a&wait=0s&as="+test.as, "", "Accept", test.accept)
				h := resp.Header
				if resp.StatusCode != 200 || h.Get("Content-Type") != test.want || h.Get("Vary") != "Accept" {
					t.Errorf("%s, Accept %q, as=%s: status %d, %q, Vary %q; want %q", method, test.accept, test.as, resp.StatusCode, h.Get("Content-Type"), h.Get("Vary"), test.want)
				}
				want := http.Header{"Cache-Control": {"no-cache, no-store, no-transform"}, "X-Accel-Buffering": {"no"}, "Incremental": {"?1"}}
				if test.want == poll {
					want = http.Header{"Cache-Control": {"no-store"}, "X-Accel-Buffering": {""}, "Incremental": {""}}
				}
				for name := range want {
					if h.Get(name) != want.Get(name) {
						t.Errorf("%s as %s: %s is %q, want %q", method, test.want, name, h.Get(name), want.Get(name))
					}
				}
				resp.Body.Close()
			}
		}
	})
}

// publishForms makes a record of each kind, and returns the envelopes as they
// are on the wire, save the time, and the ids.
func (s *service) publishForms() (envelopes, ids []string) {
	s.t.Helper()
	for _, test := range []struct{ topic, params, contentType, body, rest string }{
		{"a", "", "text/plain", "one\r\ntwo", `"data":"one\r\ntwo"`},
		{"a", "&type=price&key=k1", "text/plain", "é\"", `"data":"é\""`},
		{"j", "", jsonType, `{"n": 1.0, "n": 2e400}`, `"data":{"n":1.0,"n":2e400}`},
		{"b", "", "image/png", "\x00\xff", `"data":"AP8=","encoding":"base64"`},
		{"a", "", "text/plain", "", `"data":""`},
	} {
		a := s.read(s.do("POST", "/events?topic="+test.topic+test.params, test.body, "Content-Type", test.contentType))
		id := fmt.Sprint(a["id"])
		middle := `,"topic":"` + test.topic + `"`
		if test.params != "" {
			middle += `,"type":"price","key":"k1"`
		}
		envelopes = append(envelopes, `{"id":"`+id+`"`+middle+`,"time":"…",`+test.rest+`}`)
		ids = append(ids, id)
	}
	return envelopes, ids
}

var timeMember = regexp.MustCompile(`"time":"[^"]*"`)

// untimed is a body with the times of its envelopes taken out.
func untimed(body string) string { return timeMember.ReplaceAllString(body, `"time":"…"`) }

// readLines reads n lines of a response.
func readLines(t *testing.T, from *bufio.Reader, n int) string {
	t.Helper()
	var all strings.Builder
	for range n {
		line, err := from.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", all.String()+line, err)
		}
		all.WriteString(line)
	}
	return untimed(all.String())
}

// lines subscribes to NDJSON.
func (s *service) lines(query string, fields ...string) *bufio.Reader {
	s.t.Helper()
	resp := s.do("GET", "/events?as=ndjson&"+query, "", fields...)
	if resp.StatusCode != 200 {
		s.t.Fatalf("GET /events?%s: status %d, %v", query, resp.StatusCode, s.read(resp))
	}
	return bufio.NewReader(resp.Body)
}

// "First line {"id":"OFFSET"} = where it starts, then one envelope per line",
// and a reader that comes back with the id of any line gets exactly the rest.
func TestNDJSON(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		envelopes, ids := s.publishForms()
		whole := strings.Join(envelopes, "\n") + "\n"
		const begin = "0000000000000000_0000000000000000"
		start := s.lines("topic=*&from=start")
		first := readLines(t, start, 1)
		if !regexp.MustCompile(`^\{"id":"\d{16}_0{16}"\}\n$`).MatchString(first) {
			t.Errorf("the first line is %q", first)
		}
		if got := readLines(t, start, len(envelopes)); got != whole {
			t.Errorf("from the start:\n got %s\nwant %s", got, whole)
		}
		for i, id := range append([]string{begin}, ids...) {
			for _, resume := range [][]string{{"topic=*&from=" + id}, {"topic=*&last_event_id=" + id}, {"topic=*&from=start", "Last-Event-ID", id}} {
				r := s.lines(resume[0], resume[1:]...)
				if i > 0 {
					if got, want := readLines(t, r, 1), `{"id":"`+id+`"}`+"\n"; got != want {
						t.Errorf("%v: the first line is %q, want %q", resume, got, want)
					}
				} else {
					readLines(t, r, 1)
				}
				want := strings.Join(append(envelopes[i:len(envelopes):len(envelopes)], ""), "\n")
				if got := readLines(t, r, len(envelopes)-i); got != want {
					t.Errorf("%v:\n got %s\nwant %s", resume, got, want)
				}
			}
		}
		live := s.publish("a", "live")
		want := `{"id":"` + live + `","topic":"a","time":"…","data":"live"}` + "\n"
		if got := readLines(t, start, 1); got != want {
			t.Errorf("live: got %q, want %q", got, want)
		}
	})
}

// A poll's answer.
type polled struct {
	Events []struct {
		ID, Topic string
		Data      json.RawMessage
		Gap       *gap
	}
	Next string
}

// poll asks once and checks what every answer has.
func (s *service) poll(query string, fields ...string) (p polled, body string) {
	s.t.Helper()
	resp := s.do("GET", "/events?as=json&"+query, "", fields...)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != jsonType || resp.ContentLength != int64(len(b)) {
		s.t.Fatalf("GET /events?%s: status %d, %v, %q", query, resp.StatusCode, resp.Header, b)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		s.t.Fatalf("%q: %v", b, err)
	}
	return p, untimed(string(b))
}

// "{"events":[…],"next":"OFFSET"}; elements are the same objects as the NDJSON
// lines", and a poll from any id has exactly the rest.
func TestPoll(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		envelopes, ids := s.publishForms()
		last := ids[len(ids)-1]
		s.untilSeen(last)
		whole := `{"events":[` + strings.Join(envelopes, ",") + `],"next":"` + last + `"}` + "\n"
		for _, wait := range []string{"", "&wait=0s", "&wait=5m"} {
			if _, got := s.poll("topic=*&from=start" + wait); got != whole {
				t.Errorf("from the start%s:\n got %s\nwant %s", wait, got, whole)
			}
		}
		for i, id := range ids {
			want := `{"events":[` + strings.Join(envelopes[i+1:], ",") + `],"next":"` + last + `"}` + "\n"
			for _, resume := range [][]string{{"from=" + id}, {"last_event_id=" + id}, {"from=start", "Last-Event-ID", id}} {
				if _, got := s.poll("topic=*&wait=0s&"+resume[0], resume[1:]...); got != want {
					t.Errorf("%v:\n got %s\nwant %s", resume, got, want)
				}
			}
		}
		if _, got := s.poll("topic=*&wait=0s"); got != `{"events":[],"next":"`+last+`"}`+"\n" {
			t.Errorf("from now: %s", got)
		}
		// "Answers as soon as something is there."
		answers := make(chan string, 1)
		go func() { // ended by its answer
			_, body := s.poll("topic=a&wait=5m&from=" + last)
			answers <- body
		}()
		s.untilReaders(1)
		id := s.publish("a", "live")
		if got, want := <-answers, `{"events":[{"id":"`+id+`","topic":"a","time":"…","data":"live"}],"next":"`+id+`"}`+"\n"; got != want {
			t.Errorf("live:\n got %s\nwant %s", got, want)
		}
	})
}

// untilSeen waits until readers can have the record with an id: a publisher is
// answered at the moment at which the server begins to hand it to them.
func (s *service) untilSeen(id string) {
	s.t.Helper()
	for next := "0_0"; next < id; {
		p, _ := s.poll("topic=**&from=" + next)
		next = p.Next
	}
}

// untilReaders waits until the server has so many readers.
func (s *service) untilReaders(n int) {
	s.t.Helper()
	for s.read(s.do("GET", "/healthz", ""))["subscribers"] != float64(n) {
	}
}

// "Empty events and the scanned position as next": a quiet filter does not go
// stale, also when what it passes over is long and has to be read first.
func TestPollMovesOn(t *testing.T) {
	overProtocols(t, server.Options{TailMemory: 1 << 20}, func(t *testing.T, s *service) {
		begin := s.publish("quiet", "x")
		var last string
		for range 30 {
			last = s.publish("other", strings.Repeat("x", 100<<10))
		}
		s.untilSeen(last)
		next := begin
		for polls := 1; next != last; polls++ {
			p, body := s.poll("topic=quiet&wait=0s&from=" + next)
			if len(p.Events) > 0 || p.Next <= next || polls > 100 {
				t.Fatalf("poll %d after %s: %.200s", polls, next, body)
			}
			next = p.Next
		}
		if p, body := s.poll("topic=quiet&wait=20ms&from=" + next); p.Next != last || len(p.Events) > 0 {
			t.Errorf("at the end: %s", body)
		}
		id := s.publish("quiet", "y")
		if p, body := s.poll("topic=quiet&from=" + next); len(p.Events) != 1 || p.Events[0].ID != id {
			t.Errorf("after the quiet: %s", body)
		}
	})
}

// "All that is due up to about 256 KiB", and a record that is larger by itself.
func TestPollIsBounded(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	const records = 100
	for range records {
		s.publish("a", strings.Repeat("x", 20<<10))
	}
	got, next, largest := 0, "0_0", 0
	for got < records {
		p, body := s.poll("topic=a&from=" + next)
		got, next, largest = got+len(p.Events), p.Next, max(largest, len(body))
	}
	if got != records || largest < 200<<10 || largest > 256<<10+30<<10 {
		t.Errorf("%d records, %d bytes at most", got, largest)
	}
	s.publish("a", strings.Repeat("y", 1<<20))
	s.untilSeen(s.publish("a", "small"))
	if p, body := s.poll("topic=a&from=" + next); len(p.Events) != 1 || len(body) < 1<<20 {
		t.Errorf("a large record: %d events, %d bytes", len(p.Events), len(body))
	}
}

// A poll loop sees every record once, in order, while records pour in from
// several publishers.
func TestPollLoop(t *testing.T) {
	overProtocols(t, server.Options{TailMemory: 1 << 20}, func(t *testing.T, s *service) {
		const publishers, each = 4, 200
		next := s.publish("end", "begin")
		var published sync.WaitGroup
		defer published.Wait()
		for p := range publishers {
			published.Go(func() {
				for i := range each {
					s.publish(fmt.Sprint("in/", p), fmt.Sprint(i))
					s.publish("out", "not asked for")
				}
			})
		}
		seen := map[string]int{}
		for total := 0; total < publishers*each; {
			p, body := s.poll("topic=in/*&wait=30s&from=" + next)
			if p.Next <= next {
				t.Fatalf("after %s: %s", next, body)
			}
			for _, ev := range p.Events {
				if ev.ID <= next || string(ev.Data) != strconv.Quote(fmt.Sprint(seen[ev.Topic])) {
					t.Fatalf("after %s came %+v, as number %d of its topic", next, ev, seen[ev.Topic])
				}
				next = ev.ID
				seen[ev.Topic]++
				total++
			}
			next = p.Next
		}
	})
}

// "NDJSON, JSON get the same object; gap=error asks for an error": whatever the
// form, and a poll loop is told once and gets past it.
func TestGapsInEveryForm(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		var ids []string
		for i := range 4 {
			ids = append(ids, s.publish("a", fmt.Sprint(i)))
		}
		trimmed, _ := leat.ParseOffset(ids[2])
		if err := s.st.Trim(t.Context(), "a", trimmed.Seq); err != nil {
			t.Fatal(err)
		}
		told := `{"id":"` + ids[0] + `","gap":{"reason":"trimmed","asked":"` + ids[0] + `","next":"` + ids[0] +
			`","topics":[{"topic":"a","through":"` + ids[2] + `"}],"more":0}}`
		rest := `{"id":"` + ids[3] + `","topic":"a","time":"…","data":"3"}`
		resp := s.do("GET", "/events?as=ndjson&topic=a&from="+ids[0], "")
		lines := bufio.NewReader(resp.Body)
		if got, want := readLines(t, lines, 3), `{"id":"`+ids[0]+`"}`+"\n"+told+"\n"+rest+"\n"; got != want {
			t.Errorf("lines:\n got %s\nwant %s", got, want)
		}
		p, body := s.poll("topic=a&wait=0s&from=" + ids[0])
		if want := `{"events":[` + told + `,` + rest + `],"next":"` + ids[3] + `"}` + "\n"; body != want {
			t.Errorf("poll:\n got %s\nwant %s", body, want)
		}
		if p, body := s.poll("topic=a&wait=0s&from=" + p.Next); len(p.Events) > 0 {
			t.Errorf("the next poll: %s", body)
		}
		// Nothing is left behind what is gone, and nobody has it in memory.
		resp.Body.Close()
		s.untilReaders(0)
		if err := s.st.Trim(t.Context(), "a", trimmed.Seq+1); err != nil {
			t.Fatal(err)
		}
		if p, body = s.poll("topic=a&wait=5m&from=" + ids[0]); len(p.Events) != 1 || p.Events[0].Gap == nil || p.Next != ids[3] {
			t.Errorf("nothing is left: %s", body)
		}
		if p, body = s.poll("topic=a&wait=5m&from=7_7"); len(p.Events) != 2 || p.Events[0].Gap == nil || p.Events[0].Gap.Reason != "foreign" || p.Next != ids[3] {
			t.Errorf("another log's offset: %s", body)
		}
		for _, as := range []string{"sse", "ndjson", "json"} {
			resp := s.do("GET", "/events?gap=error&topic=a&as="+as+"&from="+ids[0], "")
			if a := s.read(resp); resp.StatusCode != 410 || a["code"] != "gap" || a["reason"] != "trimmed" {
				t.Errorf("gap=error as %s: status %d, %v", as, resp.StatusCode, a)
			}
		}
	})
}

// "NDJSON and JSON may get 503 + Retry-After (nothing has begun)"; a poll under
// way is a reader.
func TestMaxSubscribersOfOtherForms(t *testing.T) {
	overProtocols(t, server.Options{MaxSubscribers: 1}, func(t *testing.T, s *service) {
		answered := make(chan string, 1)
		go func() { // ended by its answer
			_, body := s.poll("topic=a&wait=5m")
			answered <- body
		}()
		s.untilReaders(1)
		for _, as := range []string{"ndjson", "json"} {
			resp := s.do("GET", "/events?topic=a&as="+as, "")
			a := s.read(resp)
			wait, err := time.ParseDuration(resp.Header.Get("Retry-After") + "s")
			if resp.StatusCode != 503 || a["code"] != "unavailable" || err != nil || wait < 5*time.Second || wait > 20*time.Second {
				t.Errorf("as %s: status %d, Retry-After %v, %v, %v", as, resp.StatusCode, wait, err, a)
			}
		}
		id := s.publish("a", "x")
		if body := <-answered; !strings.Contains(body, id) {
			t.Errorf("the poll under way: %s", body)
		}
		s.poll("topic=a&wait=0s")
	})
}

// When the server stops, a poll under way is answered at once with what there
// is, and lines end with when to come back and the position.
func TestShutdownOfOtherForms(t *testing.T) {
	overProtocols(t, server.Options{Drain: 20 * time.Second}, func(t *testing.T, s *service) {
		begin := s.publish("a", "x")
		answered := make(chan string, 1)
		go func() { // ended by its answer
			_, body := s.poll("topic=a&wait=5m")
			answered <- body
		}()
		lines := s.lines("topic=a")
		readLines(t, lines, 1)
		s.untilReaders(2)
		moved := s.publish("other", "x")
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		body := <-answered
		if body != `{"events":[],"next":"`+begin+`"}`+"\n" && body != `{"events":[],"next":"`+moved+`"}`+"\n" {
			t.Errorf("the poll under way: %s", body)
		}
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Errorf("the lines do not end cleanly: %v", err)
		}
		var last struct {
			ID    string
			Retry int
		}
		if err := json.Unmarshal(rest, &last); err != nil || last.ID != begin && last.ID != moved || last.Retry < 500 || last.Retry > 21000 {
			t.Errorf("the last line is %q, %v", rest, err)
		}
	})
}

// "Heartbeat: a blank line (LF); when the position moved while nothing matched:
// a line {"id":"OFFSET"}": on the wire.
func TestHeartbeatsOfLines(t *testing.T) {
	overProtocols(t, server.Options{Heartbeat: 50 * time.Millisecond}, func(t *testing.T, s *service) {
		auto, comment := s.lines("topic=a"), s.lines("topic=a&heartbeat=comment")
		first := readLines(t, auto, 1)
		readLines(t, comment, 1)
		if got := readLines(t, auto, 2); got != "\n\n" {
			t.Errorf("nothing has moved: %q", got)
		}
		event := s.lines("topic=a&heartbeat=event")
		if got := readLines(t, event, 3); got != first+first+first {
			t.Errorf("heartbeat=event: %q", got)
		}
		id := s.publish("other", "x")
		for {
			if got := readLines(t, auto, 1); got == `{"id":"`+id+`"}`+"\n" {
				break
			} else if got != "\n" {
				t.Fatalf("the log has moved on to %s: %q", id, got)
			}
		}
		if got := readLines(t, comment, 5); got != "\n\n\n\n\n" {
			t.Errorf("heartbeat=comment: %q", got)
		}
	})
}
