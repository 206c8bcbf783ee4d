package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/pebblestore"
)

// until waits for the metrics to say something: a reader leaves, and a loop says what it
// sent, at a moment of their own.
func until(t *testing.T, srv *server.Server, what string, ok func(m server.Metrics) bool) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		m := srv.Metrics()
		if ok(m) {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%s: %+v", what, m)
		}
	}
}

// count returns how many readers there are of a kind, -1 if there never was one.
func count(m server.Metrics, surface, format, transport string) int64 {
	for _, r := range m.Readers {
		if r.Surface == surface && r.Format == format && r.Transport == transport {
			return r.Count
		}
	}
	return -1
}

// "Readers by surface, format and transport; deliveries, records and bytes in": each
// reader is counted as what it is for as long as it is there, and what it is sent.
func TestMetricsOfReaders(t *testing.T) {
	for name, set := range protocols {
		t.Run(name, func(t *testing.T) {
			o := server.Options{Store: memory(t)}
			transport, taken := "http/1.1", 0
			switch name {
			case "HTTP/2":
				transport = "http/2"
			case "HTTP/1.1 not taken":
				o.Loops = -1
			}
			s := start(t, o, set)
			open := map[[2]string]*http.Response{}
			for kind, path := range map[[2]string]string{
				{"events", "sse"}:          "/events?topic=a",
				{"events", "ndjson"}:       "/events?topic=a&as=ndjson",
				{"streams", "sse"}:         "/streams/a?as=sse",
				{"streams", "ndjson"}:      "/streams/a?as=ndjson",
				{"streams", "bytes"}:       "/streams/a?follow=1",
				{"streams", "durable-sse"}: "/streams/a?live=sse&offset=now",
			} {
				if len(open) == 0 {
					s.do("PUT", "/streams/a", "", "Content-Type", "text/plain")
				}
				open[kind] = s.do("GET", path, "")
				if open[kind].StatusCode != 200 {
					t.Fatalf("%s: status %d", path, open[kind].StatusCode)
				}
				until(t, s.srv, path, func(m server.Metrics) bool { return count(m, kind[0], kind[1], transport) == 1 })
			}
			if name == "HTTP/1.1" && s.srv.Metrics().TakenOver > 0 { // where there are loops
				taken = len(open)
			}
			for range 3 {
				s.publish("a", "data")
			}
			until(t, s.srv, "three records for six readers", func(m server.Metrics) bool {
				return m.Delivered.Records == 18 && m.Delivered.Bytes > 18*4 && m.TakenOver == taken
			})
			if m := s.srv.Metrics(); m.Published != (server.Volume{Records: 3, Bytes: 12}) || m.Commits.Count < 3 || m.StoreBytes == 0 || m.CacheBytes == 0 || m.MemoryBytes == 0 {
				t.Errorf("%+v", m)
			}
			for kind, resp := range open {
				resp.Body.Close()
				until(t, s.srv, "it has left", func(m server.Metrics) bool { return count(m, kind[0], kind[1], transport) == 0 })
			}
			until(t, s.srv, "why", func(m server.Metrics) bool { return m.Left["gone"] == 6 && m.TakenOver == 0 })
			// Polls are readers too, for as long as they wait, and leave no reason.
			s.read(s.do("GET", "/events?topic=a&from=start&as=json", ""))
			if m := s.srv.Metrics(); count(m, "events", "json", transport) != 0 || m.Delivered.Records != 21 || m.Left["ended"] != 0 {
				t.Errorf("a poll: %+v", m)
			}
			if body, err := io.ReadAll(s.do("GET", "/streams/a?offset=-1", "").Body); err != nil || len(body) != 12 {
				t.Errorf("%q, %v", body, err)
			}
			if m := s.srv.Metrics(); count(m, "streams", "durable", transport) != 0 || m.Delivered.Records != 24 {
				t.Errorf("an answer to an offset: %+v", m)
			}
		})
	}
}

// "Every drop and every disconnect has a named reason": what is refused, and who is
// turned away, told of a gap or sent home, is counted by it.
func TestMetricsOfRefusals(t *testing.T) {
	overProtocols(t, server.Options{MaxRecord: 10, MaxSubscribers: 1}, func(t *testing.T, s *service) {
		if resp := s.do("POST", "/events?topic=a", "more than ten bytes", "Content-Type", "text/plain"); resp.StatusCode != 413 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if resp := s.do("POST", "/streams/none", "x", "Content-Type", "text/plain"); resp.StatusCode != 404 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if m := s.srv.Metrics(); m.Refused[string(leat.CodeTooLarge)] != 1 || m.Refused[string(leat.CodeNotFound)] != 1 {
			t.Errorf("refused: %v", m.Refused)
		}
		first := s.subscribe("topic=a")
		first.next()
		second := s.do("GET", "/events?topic=a", "")
		if body, err := io.ReadAll(second.Body); err != nil || !strings.Contains(string(body), "retry: ") {
			t.Errorf("%q, %v", body, err)
		}
		if m := s.srv.Metrics(); m.TurnedAway["full"] != 1 || m.TurnedAway["stopping"] != 0 {
			t.Errorf("turned away: %v", m.TurnedAway)
		}
		first.close()
		until(t, s.srv, "the first has left", func(m server.Metrics) bool { return m.Left["gone"] == 1 })

		third := s.subscribe("topic=a", "Last-Event-ID", "1_1")
		third.next()
		if g := readGap(t, third.next()); g.Reason != "foreign" {
			t.Errorf("%+v", g)
		}
		if resp := s.do("GET", "/events?topic=a&gap=error&from=1_1", ""); resp.StatusCode == 200 {
			third.close()
			until(t, s.srv, "there is room", func(m server.Metrics) bool { return m.Left["gone"] == 2 })
			resp = s.do("GET", "/events?topic=a&gap=error&from=1_1", "")
			if resp.StatusCode != 410 {
				t.Errorf("status %d", resp.StatusCode)
			}
		}
		if m := s.srv.Metrics(); m.Gaps["foreign"] != 2 {
			t.Errorf("gaps: %v", m.Gaps)
		}
	})
}

// Syncs are those that commits waited for, and no others: so many as there were.
func TestMetricsOfSyncs(t *testing.T) {
	for class, want := range map[store.Class]bool{store.ClassDisk: true, store.ClassOS: false} {
		st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Durability: class})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		srv := newHere(t, server.Options{Store: st})
		before := srv.Metrics()
		publishHere(t, srv, "a", "1")
		publishHere(t, srv, "a", "2")
		m := srv.Metrics()
		if m.Commits.Count-before.Commits.Count != 2 || m.Commits.UpTo[len(m.Commits.UpTo)-1].Count > m.Commits.Count || m.Commits.Sum <= before.Commits.Sum {
			t.Errorf("commits: %+v", m.Commits)
		}
		if got := m.Syncs.Count - before.Syncs.Count; (got == 2) != want || (got == 0) == want {
			t.Errorf("class %s: %d syncs", class, got)
		}
		if m.Durability != class || m.Failed != nil || m.Head.Seq == 0 {
			t.Errorf("%+v", m)
		}
	}
}

// There is no /metrics unless the options say what is to be there, and what is there is
// as guarded as all else.
func TestMetricsPath(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		if resp := s.do("GET", "/metrics", ""); resp.StatusCode != 404 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	var of *server.Server
	o := server.Options{Metrics: func(srv *server.Server) http.Handler {
		of = srv
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "metrics") })
	}}
	overProtocols(t, o, func(t *testing.T, s *service) {
		resp := s.do("GET", "/metrics", "")
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "metrics" || of != s.srv {
			t.Errorf("%q, %v", body, err)
		}
		for status, resp := range map[int]*http.Response{405: s.do("POST", "/metrics", ""), 421: s.do("GET", "/metrics", "", "Host", "evil.example")} {
			if resp.StatusCode != status {
				t.Errorf("status %d, want %d", resp.StatusCode, status)
			}
		}
	})
}
