package client

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// A stall is silence of the server. Any byte ends it, and the time that the
// caller takes does not count.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			stream("id: 1\ndata: x\n\n")(w, r)
			for range 10 {
				time.Sleep(40 * time.Second)
				io.WriteString(w, ":\n\n")
				http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		}, status(204)}}
		f := newFakeServer(t, s)
		var told notices
		for _, err := range Subscribe(t.Context(), anyURL, SubscribeOptions{HTTP: f.client, Notify: told.add}) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // the caller is slow
		}
		if n := len(told.of(Comment)); n != 10 {
			t.Errorf("%d heartbeats", n)
		}
		w := told.of(Waiting)
		if len(w) != 1 || !errors.Is(w[0].Err, errStalled) || !strings.Contains(w[0].Err.Error(), "nothing arrived for 45s") {
			t.Errorf("notices %+v", w)
		}
		if gap := s.gap(0); gap < time.Hour+45*time.Second {
			t.Errorf("given up after %v", gap)
		}
	})
}

// Neither does the time that Notify takes, nor is there a bound by the Timeout
// of the user's http.Client, which would cut every stream.
func TestOtherTimesDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := func(w http.ResponseWriter, r *http.Request) {
			stream("")(w, r)
			time.Sleep(time.Hour + 30*time.Second)
			io.WriteString(w, "data: x\n\n")
		}
		f := newFakeServer(t, &script{steps: []http.HandlerFunc{late, status(204)}})
		f.client.Timeout = 10 * time.Second
		o := SubscribeOptions{Notify: func(n Notice) {
			if n.Kind == Connected {
				time.Sleep(time.Hour)
			}
		}}
		events, err := collect(t.Context(), f, o, 0)
		if err != nil || len(events) != 1 {
			t.Errorf("got %v, %v", events, err)
		}
	})
}

// The time to the head of the answer is bounded too, and less than 0 is no
// bound.
func TestStallBeforeHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{silent, status(204)}}
		f := newFakeServer(t, s)
		if _, err := collect(t.Context(), f, SubscribeOptions{Stall: 5 * time.Second}, 0); err != nil {
			t.Fatal(err)
		}
		if gap := s.gap(0); gap < 5*time.Second || gap > 7*time.Second {
			t.Errorf("tried again after %v", gap)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		late := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(1000 * time.Hour)
			stream("data: x\n\n")(w, r)
		}
		events, err := collect(t.Context(), newFakeServer(t, http.HandlerFunc(late)), SubscribeOptions{Stall: -1}, 1)
		if err != nil || len(events) != 1 {
			t.Errorf("got %v, %v", events, err)
		}
	})
}

// What a Leat server says about the stream is told apart from records.
func TestLeatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gap := `{"reason":"trimmed","asked":"0_1","next":"0_5","topics":[{"topic":"a","through":"0_5"}],"more":2}`
		end := `{"topic":"a","state":"error","reason":"disk full"}`
		s := &script{steps: []http.HandlerFunc{
			stream(": leat\nretry: 1500\nevent: leat.cursor\nid: 0_5\ndata:\n\n"),
			stream("event: leat.gap\nid: 0_5\ndata: " + gap + "\n\nid: 0_6\nevent: price\ndata: {}\n\nevent: leat.gap\ndata: not that\n\n" +
				"event: leat.end\nid: 0_7\ndata: " + end + "\n\nevent: leat.end\ndata: {}\n\nevent: leat.cursor\nid: 0_9\ndata:\n\n"),
			status(204),
		}}
		var told notices
		events, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{Notify: told.add}, 0)
		want := []Event{
			{ID: "0_5", Type: "leat.gap", Data: []byte(gap), Gap: &Gap{Reason: "trimmed", Asked: "0_1", Next: "0_5", Topics: []GapTopic{{"a", "0_5"}}, More: 2}},
			{ID: "0_6", Type: "price", Data: []byte("{}")},
			{ID: "0_6", Type: "leat.gap", Data: []byte("not that")},
			{ID: "0_7", Type: "leat.end", Data: []byte(end), End: &End{Topic: "a", State: leat.EndError, Reason: "disk full"}},
			{ID: "0_7", Type: "leat.end", Data: []byte("{}")},
		}
		if err != nil || !reflect.DeepEqual(events, want) {
			t.Errorf("got %+v, %v", events, err)
		}
		for n, id := range []string{"", "0_5", "0_9"} {
			if got := s.header(n, "Last-Event-ID"); got != id {
				t.Errorf("request %d went on after %q, want %q", n, got, id)
			}
		}
		moved := told.of(Moved)
		if len(moved) != 2 || moved[0].LastEventID != "0_5" || moved[1].LastEventID != "0_9" {
			t.Errorf("notices %+v", moved)
		}
		if r := told.of(RetryChanged); len(r) != 1 || r[0].Delay != 1500*time.Millisecond {
			t.Errorf("notices %+v", r)
		}
		if c := told.of(Comment); len(c) != 1 || c[0].Comment != "leat" {
			t.Errorf("notices %+v", c)
		}
	})
}

// An id may be reset by the server, and a block that has only an id counts.
func TestIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{
			stream("id: …\ndata: x\n\n"), stream("id: 7\n\n"), stream("id\ndata: y\n\n"), status(204),
		}}
		if _, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{}, 0); err != nil {
			t.Fatal(err)
		}
		for n, id := range []string{"", "…", "7", ""} {
			if got := s.header(n, "Last-Event-ID"); got != id {
				t.Errorf("request %d went on after %q, want %q", n, got, id)
			}
		}
	})
}

func TestUnsendableID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := collect(t.Context(), newFakeServer(t, stream("id: a\x01b\ndata: x\n\n")), SubscribeOptions{}, 0)
		if leat.CodeOf(err) != leat.CodeInvalidOffset {
			t.Errorf("got %v", err)
		}
	})
}

func TestTooLargeEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{stream("id: 1\ndata: x\n\nid: 2\ndata: " + strings.Repeat("x", 2000) + "\n\n")}}
		events, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{MaxEventBytes: 1000}, 0)
		if leat.CodeOf(err) != leat.CodeTooLarge || !strings.Contains(err.Error(), "1000 bytes") || len(events) != 1 || len(s.seen) != 1 {
			t.Errorf("got %d events, %v", len(events), err)
		}
	})
}

// A request with a body is repeated whole, also through redirects.
func TestMethodAndBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{
			status(307, "Location", "/elsewhere"), stream("id: 1\ndata: x\n\n"), status(204),
		}}
		o := SubscribeOptions{Repeat: true, Method: "POST", Body: []byte("ask"), Header: http.Header{"Content-Type": {"text/plain"}}}
		if _, err := collect(t.Context(), newFakeServer(t, s), o, 0); err != nil {
			t.Fatal(err)
		}
		for n, r := range s.seen {
			if r.Method != "POST" || s.body[n] != "ask" || r.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("request %d: %s %q", n, r.Method, s.body[n])
			}
		}
		if s.seen[1].URL.Path != "/elsewhere" || s.header(2, "Last-Event-ID") != "1" {
			t.Errorf("requests %v", s.seen)
		}
	})
}

func TestPrepareFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := SubscribeOptions{Prepare: func(*http.Request) error { return errBroken }}
		if _, err := collect(t.Context(), newFakeServer(t, status(200)), o, 0); err != errBroken {
			t.Errorf("got %v", err)
		}
	})
}

func TestBadURL(t *testing.T) {
	for _, url := range []string{"http://a b/", "::"} {
		for _, err := range Subscribe(t.Context(), url, SubscribeOptions{}) {
			if leat.CodeOf(err) != leat.CodeInvalidParameter {
				t.Errorf("%q: %v", url, err)
			}
		}
	}
}

func TestQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{
			stream(`data: {"id":"0_7","topic":"a/b","type":"t","key":"k","time":"2026-11-21T08:00:00.123456Z","data":{"n":1.0}}` + "\n\n"), status(204),
		}}
		f := newFakeServer(t, s)
		c := &Client{URL: "http://leat.test/base/", HTTP: f.client, Header: http.Header{"X-Mine": {"yes"}}}
		q := Query{Topics: []string{"a/b", "c/**"}, From: "-5m", Heartbeat: 90 * time.Second, Envelope: true, FailOnGap: true}
		n := 0
		for e, err := range c.Subscribe(t.Context(), q, SubscribeOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			env, err := e.Envelope()
			want := &Envelope{ID: "0_7", Topic: "a/b", Type: "t", Key: "k", Time: time.Date(2026, 11, 21, 8, 0, 0, 123456000, time.UTC), Data: []byte(`{"n":1.0}`)}
			if err != nil || !reflect.DeepEqual(env, want) {
				t.Errorf("got %+v, %v", env, err)
			}
		}
		if got := s.seen[0].URL.String(); n != 1 || got != "/base/events?envelope=1&from=-5m&gap=error&heartbeat=1m30s&topic=a%2Fb&topic=c%2F%2A%2A" {
			t.Errorf("%d events of %s", n, got)
		}
		if s.header(0, "X-Mine") != "yes" {
			t.Error("the client's header is missing")
		}
	})
}

func TestQueryErrors(t *testing.T) {
	for url, q := range map[string]Query{
		"http://leat.test": {},
		"leat.test:8080":   {Topics: []string{"a"}},
		"ftp://leat.test":  {Topics: []string{"a"}},
		"http://":          {Topics: []string{"a"}},
	} {
		n := 0
		for _, err := range (&Client{URL: url}).Subscribe(t.Context(), q, SubscribeOptions{}) {
			if n++; leat.CodeOf(err).Status() != 400 {
				t.Errorf("%s: %v", url, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d pairs", url, n)
		}
	}
}

func TestEnvelopeBytes(t *testing.T) {
	for data, want := range map[string]string{
		`{"data":"a\nb"}`:                          "a\nb",
		`{"data":{"n":1.0}}`:                       `{"n":1.0}`,
		`{"data":null}`:                            "null",
		`{"data":"AP8=","encoding":"base64"}`:      "\x00\xff",
		`{"data":"not 64","encoding":"base64"}`:    "error",
		`{"data":"x","encoding":"rot13"}`:          "error",
		`{"data":17,"encoding":"base64"}`:          "error",
		`{"data":"` + "\xff" + `","encoding":"x"}`: "error",
	} {
		e := Event{Data: []byte(`{"topic":"t",` + data[1:])}
		env, err := e.Envelope()
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		got, err := env.Bytes()
		if err != nil {
			got = []byte("error")
		}
		if string(got) != want {
			t.Errorf("%s: got %q, %v", data, got, err)
		}
	}
	for _, data := range []string{"", "{}", "[]", `"text"`} {
		e := Event{Data: []byte(data)}
		if _, err := e.Envelope(); leat.CodeOf(err) != leat.CodeInvalidBody {
			t.Errorf("%q: %v", data, err)
		}
	}
}
