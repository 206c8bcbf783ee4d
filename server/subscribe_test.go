package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
	"github.com/leat-dev/leat/store/storetest"
)

// until reads events up to one whose data is last, and returns the data of
// those before it and the last of them.
func (r *reader) until(last string) (datas string, ev sse.Event) {
	r.t.Helper()
	var all []string
	for {
		next := r.next()
		if string(next.Data) == last {
			return strings.Join(all, " "), ev
		}
		ev = next
		all = append(all, string(ev.Data))
	}
}

func TestFrom(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		var ids []string
		for i := range 5 {
			ids = append(ids, s.publish("a", fmt.Sprint(i)))
			s.publish("other", "x")
		}
		for i, test := range []struct{ query, lastEventID, want string }{
			{"", "", ""},
			{"from=now", "", ""},
			{"from=start", "", "0 1 2 3 4"},
			{"from=-0", "", ""},
			{"from=-2", "", "3 4"},
			{"from=-10000", "", "0 1 2 3 4"},
			{"from=-5m", "", "0 1 2 3 4"},
			{"from=-1h30m", "", "0 1 2 3 4"},
			{"from=-7d", "", "0 1 2 3 4"},
			{"from=" + ids[2], "", "3 4"},
			{"from=0_0", "", "0 1 2 3 4"},
			{"last_event_id=" + ids[1], "", "2 3 4"},
			{"lastEventID=" + ids[1], "", "2 3 4"},
			{"from=start&last_event_id=" + ids[3], "", "4"},
			{"from=start&last_event_id=" + ids[0], ids[3], "4"},
		} {
			var fields []string
			if test.lastEventID != "" {
				fields = []string{"Last-Event-ID", test.lastEventID}
			}
			end := "end/" + strconv.Itoa(i)
			r := s.subscribe("topic=a&topic="+end+"&"+test.query, fields...)
			if ev := r.next(); ev.Type != "leat.cursor" {
				t.Errorf("%s: begins with %+v", test.query, ev)
			}
			s.publish(end, "end")
			if got, _ := r.until("end"); got != test.want {
				t.Errorf("%s, Last-Event-ID %q: got %q, want %q", test.query, test.lastEventID, got, test.want)
			}
			r.close()
		}
	})
}

func TestSubscribeRefusals(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		s.publish("a", "x")
		for _, test := range []struct {
			query  string
			status int
			code   string
		}{
			{"", 400, "no_topic"},
			{"topic=", 400, "invalid_name"},
			{"topic=a%00", 400, "invalid_name"},
			{"topic=a*", 400, "invalid_pattern"},
			{"topic=**/a", 400, "invalid_pattern"},
			{"topic=%zz", 400, "invalid_parameter"},
			{strings.Repeat("topic=a&", 101), 400, "too_many_topics"},
			{"topic=a&from=yesterday", 400, "invalid_parameter"},
			{"topic=a&from=1_2_3", 400, "invalid_parameter"},
			{"topic=a&from=-10001", 400, "invalid_parameter"},
			{"topic=a&from=-", 400, "invalid_parameter"},
			{"topic=a&from=--5", 400, "invalid_parameter"},
			{"topic=a&from=-5y", 400, "invalid_parameter"},
			{"topic=a&heartbeat=0s", 400, "invalid_parameter"},
			{"topic=a&heartbeat=6m", 400, "invalid_parameter"},
			{"topic=a&heartbeat=often", 400, "invalid_parameter"},
			{"topic=a&envelope=2", 400, "invalid_parameter"},
			{"topic=a&gap=no", 400, "invalid_parameter"},
			{"topic=a&as=xml", 400, "invalid_parameter"},
			{"topic=a&as=json&wait=-1s", 400, "invalid_parameter"},
			{"topic=a&as=json&wait=301s", 400, "invalid_parameter"},
			{"topic=a&as=json&wait=long", 400, "invalid_parameter"},
		} {
			resp := s.do("GET", "/events?"+test.query, "")
			a := s.read(resp)
			if resp.StatusCode != test.status || a["code"] != test.code || a["detail"] == nil || a["advice"] == nil {
				t.Errorf("%s: status %d, %v", test.query, resp.StatusCode, a)
			}
		}
		resp := s.do("GET", "/events?topic=a", "", "Accept", "text/html, image/*;q=0.5, application/json;q=0")
		a := s.read(resp)
		const types = "[text/event-stream application/x-ndjson application/ndjson application/jsonl application/json]"
		if resp.StatusCode != 406 || a["code"] != "not_acceptable" || fmt.Sprint(a["available"]) != types {
			t.Errorf("nothing that is acceptable: status %d, %v", resp.StatusCode, a)
		}
		r := s.subscribe(strings.Repeat("topic=a&", 100))
		r.next()
	})
}

// gap is the data of a leat.gap event.
type gap struct {
	Reason, Asked, Next string
	Topics              []struct{ Topic, Through string }
	More                int
}

func readGap(t *testing.T, ev sse.Event) (g gap) {
	t.Helper()
	if err := json.Unmarshal(ev.Data, &g); ev.Type != "leat.gap" || err != nil {
		t.Fatalf("not a gap: %+v, %v", ev, err)
	}
	if ev.ID != g.Next {
		t.Errorf("the id is %s and next is %s", ev.ID, g.Next)
	}
	return g
}

// "leat.gap tells that records are gone that this reader was owed": trimmed,
// replaced, lost and foreign, each before the first event that follows it.
func TestGaps(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		var ids []string
		for i := range 6 {
			ids = append(ids, s.publish("a", fmt.Sprint("a", i)))
			s.publish("b", fmt.Sprint("b", i))
			s.publish("quiet", "x")
		}
		parsed, _ := leat.ParseOffset(ids[3])
		if err := s.st.Trim(t.Context(), "a", parsed.Seq); err != nil {
			t.Fatal(err)
		}
		end := s.publish("end", "end")
		foreign := leat.Offset{Epoch: 7, Seq: 7}.String()
		for _, test := range []struct {
			name, query, lastEventID string
			reason, next, want       string
		}{
			{"trimmed after the cursor", "topic=a&topic=end", ids[1], "trimmed", ids[1], "a4 a5"},
			{"the last one trimmed", "topic=a&topic=end", ids[2], "trimmed", ids[2], "a4 a5"},
			{"by a pattern", "topic=*", ids[2], "trimmed", ids[2], "b2 x b3 x a4 b4 x a5 b5 x"},
			{"at the trim", "topic=a&topic=end", ids[3], "", "", "a4 a5"},
			{"the start owes nothing", "topic=a&topic=end&from=start", "", "", "", "a4 a5"},
			{"the last ten owe nothing", "topic=a&topic=end&from=-10", "", "", "", "a4 a5"},
			{"an age owes nothing", "topic=a&topic=end&from=-5m", "", "", "", "a4 a5"},
			{"a topic that lost nothing", "topic=b&topic=end", ids[3], "", "", "b3 b4 b5"},
			{"a foreign epoch", "topic=b&topic=end", foreign, "foreign", "", "b0 b1 b2 b3 b4 b5"},
			{"another system's id", "topic=a&topic=end", "urn:uuid:1\"<", "foreign", end, ""},
			{"never handed out", "topic=a&topic=end", ids[0][:17] + "9000000000000000", "foreign", end, ""},
		} {
			var fields []string
			asked := test.lastEventID
			if asked != "" {
				fields = []string{"Last-Event-ID", asked}
			}
			r := s.subscribe(test.query, fields...)
			begin := r.next()
			if test.reason != "" {
				g := readGap(t, r.next())
				if g.Reason != test.reason || g.Asked != asked || g.Next != begin.ID || test.next != "" && g.Next != test.next {
					t.Errorf("%s: %+v", test.name, g)
				}
				if test.reason == "trimmed" && (len(g.Topics) != 1 || g.Topics[0].Topic != "a" || g.Topics[0].Through != ids[3] || g.More != 0) {
					t.Errorf("%s: %+v", test.name, g)
				}
			}
			if test.next != end {
				if got, _ := r.until("end"); got != test.want {
					t.Errorf("%s: got %q, want %q", test.name, got, test.want)
				}
			}
			r.close()
			resp := s.do("GET", "/events?gap=error&"+test.query, "", fields...)
			if want := 200 + 210*min(1, len(test.reason)); resp.StatusCode != want {
				t.Errorf("%s with gap=error: status %d, want %d", test.name, resp.StatusCode, want)
			} else if want == 410 {
				if a := s.read(resp); a["code"] != "gap" || a["reason"] != test.reason || a["asked"] != asked {
					t.Errorf("%s with gap=error: %v", test.name, a)
				}
			}
			resp.Body.Close()
		}
		if err := storetest.Drop(t.Context(), s.st, "b"); err != nil {
			t.Fatal(err)
		}
		r := s.subscribe("topic=b", "Last-Event-ID", ids[1])
		r.next()
		if g := readGap(t, r.next()); g.Reason != "replaced" || len(g.Topics) != 1 {
			t.Errorf("deleted: %+v", g)
		}
	})
}

// "leat.cursor … comes first, and again as the heartbeat when the log has moved
// on while nothing matched. Otherwise a heartbeat is a comment."
func TestHeartbeats(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		auto := s.subscribe("topic=a&heartbeat=1s")
		always := s.subscribe("topic=a&heartbeat=1s,event")
		start := auto.next().ID
		always.next()
		if ev := always.next(); ev.Type != "leat.cursor" || ev.ID != start || len(ev.Data) != 0 {
			t.Errorf("heartbeat=event: %+v", ev)
		}
		moved := s.publish("other", "x")
		if ev := auto.next(); ev.Type != "leat.cursor" || ev.ID != moved {
			t.Errorf("the log has moved on to %s: %+v", moved, ev)
		}
		resumed := s.subscribe("topic=a", "Last-Event-ID", moved)
		resumed.next()
		id := s.publish("a", "x")
		for _, r := range []*reader{auto, resumed} {
			if ev := r.next(); ev.ID != id {
				t.Errorf("after the heartbeat: %+v", ev)
			}
		}
	})
}

// Comments are no events, so they are looked at on the wire.
func TestHeartbeatOnTheWire(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), Heartbeat: 50 * time.Millisecond}, protocols["HTTP/1.1"])
	read := func(query string, n int) string {
		resp := s.do("GET", "/events?topic=a&"+query, "")
		defer resp.Body.Close()
		buf := make([]byte, n)
		for got := 0; got < n; {
			k, err := resp.Body.Read(buf[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
		return string(buf)
	}
	head := ": leat\nretry: 1234\n\nid: 0001763711400123_0000000000000042\nevent: leat.cursor\ndata: \n\n"
	got := read("", len(head)+6)
	if !strings.HasPrefix(got, ": leat\nretry: ") || !strings.HasSuffix(got, "\nevent: leat.cursor\ndata: \n\n:\n\n:\n\n") {
		t.Errorf("on the wire: %q", got)
	}
	s.publish("b", "x")
	if got := read("heartbeat=comment", len(head)+6); !strings.HasSuffix(got, "data: \n\n:\n\n:\n\n") {
		t.Errorf("heartbeat=comment: %q", got)
	}
}

// A reader may choose its reconnection time, within bounds.
func TestRetryIsChosen(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for asked, want := range map[string]string{"100ms": "100", "5m": "300000", "1500ms": "1500"} {
			resp := s.do("GET", "/events?topic=a&retry="+asked, "")
			if got := readLines(t, bufio.NewReader(resp.Body), 2); got != ": leat\nretry: "+want+"\n" {
				t.Errorf("retry=%s: %q", asked, got)
			}
			resp.Body.Close()
		}
		for _, asked := range []string{"99ms", "5m1s", "-1s", "2"} {
			if resp := s.do("GET", "/events?topic=a&retry="+asked, ""); resp.StatusCode != 400 {
				t.Errorf("retry=%s: status %d", asked, resp.StatusCode)
			}
		}
	})
}

// "retry: (1 to 3 s, different for each connection)"
func TestRetryIsSpread(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	seen := map[time.Duration]bool{}
	for range 20 {
		resp := s.do("GET", "/events?topic=a", "")
		d := sse.NewDecoder(resp.Body, nil)
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		retry, ok := d.Retry()
		if !ok || retry < time.Second || retry > 3*time.Second {
			t.Errorf("retry %v", retry)
		}
		seen[retry] = true
		resp.Body.Close()
	}
	if len(seen) < 10 {
		t.Errorf("20 connections have %d different times", len(seen))
	}
}

func TestStreamHeaders(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		for _, method := range []string{"GET", "HEAD"} {
			resp := s.do(method, "/events?topic=a", "")
			for name, want := range map[string]string{
				"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-store, no-transform",
				"X-Accel-Buffering": "no", "Incremental": "?1", "X-Content-Type-Options": "nosniff",
				"Content-Length": "", "Content-Encoding": "", "Connection": "", "Access-Control-Allow-Origin": "",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %s is %q, want %q", method, name, got, want)
				}
			}
			resp.Body.Close()
		}
	})
}

// A reader that is one too many is sent away with 200 and a retry, because an
// error status would end its EventSource for ever.
func TestMaxSubscribers(t *testing.T) {
	overProtocols(t, server.Options{MaxSubscribers: 2}, func(t *testing.T, s *service) {
		a, b := s.subscribe("topic=a"), s.subscribe("topic=b")
		a.next()
		b.next()
		resp := s.do("GET", "/events?topic=a", "")
		d := sse.NewDecoder(resp.Body, nil)
		if ev, err := d.Next(); err == nil {
			t.Errorf("the third reader got %+v", ev)
		}
		if retry, _ := d.Retry(); resp.StatusCode != 200 || retry < 5*time.Second {
			t.Errorf("status %d, retry %v", resp.StatusCode, retry)
		}
		a.close()
		for { // the server notices when it does
			resp := s.do("GET", "/events?topic=a", "")
			ev, err := sse.NewDecoder(resp.Body, nil).Next()
			resp.Body.Close()
			if err == nil && ev.Type == "leat.cursor" {
				break
			}
		}
	})
}

// A name that is in the URL comes out in the envelope as it was.
func TestNamesSurvive(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for _, name := range []string{"ä/ö ü", "a+b", "a%2Fb", "q?x=1&y", "\"'<>\\", "日本/\u2028x"} {
		r := s.subscribe("envelope=1&topic=" + url.QueryEscape(name))
		r.next()
		s.publish(name, "x")
		var env struct{ Topic string }
		if ev := r.next(); json.Unmarshal(ev.Data, &env) != nil || env.Topic != name {
			t.Errorf("%q came as %q", name, ev.Data)
		}
		r.close()
	}
}
