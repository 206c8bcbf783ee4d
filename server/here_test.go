package server_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/storetest"
)

// TestModel has readers in this process too, among all others: what follows is what it
// does not see.

// publishHere publishes texts to a topic by Server.Publish.
func publishHere(t testing.TB, srv *server.Server, topic string, texts ...string) []server.Published {
	t.Helper()
	var messages []server.Message
	for _, text := range texts {
		messages = append(messages, server.Message{Topic: topic, ContentType: "text/plain", Data: []byte(text)})
	}
	published, err := srv.Publish(t.Context(), messages...)
	if err != nil || len(published) != len(texts) {
		t.Fatalf("%d of %d were stored: %v", len(published), len(texts), err)
	}
	return published
}

// newHere returns a server that is not on any network.
func newHere(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	if o.Store == nil {
		o.Store = memory(t)
	}
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return srv
}

// What is published in this process and over HTTP is one log, for readers in this process
// and over HTTP.
func TestPublishAndSubscribeHere(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		remote := s.subscribe("topic=a&envelope=1")
		remote.next()
		next, stop := iter.Pull2(s.srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"a"}}))
		defer stop()
		first, err, _ := next()
		if err != nil || first.Record != nil || first.Offset.IsStart() {
			t.Fatalf("the first event is %+v, %v", first, err)
		}
		at, err := s.srv.Publish(t.Context(), server.Message{Topic: "a", ContentType: "application/json", Type: "greeting", Key: "k", Data: []byte(` {"n": 1} `)})
		if err != nil {
			t.Fatal(err)
		}
		ev, err, _ := next()
		if err != nil || ev.Record == nil || ev.Offset != at[0].Offset {
			t.Fatalf("got %+v, %v", ev, err)
		}
		r := ev.Record
		if r.Stream != "a" || r.Type != "greeting" || r.Key != "k" || r.Kind != leat.KindJSON || string(r.Data) != `{"n":1}` || !r.Time.Equal(at[0].Time) || r.Offset != ev.Offset {
			t.Errorf("got %+v", r)
		}
		if got := remote.next(); got.ID != ev.Offset.String() || !strings.Contains(string(got.Data), `"key":"k"`) {
			t.Errorf("over HTTP: %+v", got)
		}
		again, err := s.srv.Publish(t.Context(), server.Message{Topic: "a", ContentType: "application/json", Key: "k", Data: []byte(`{"n":1}`)})
		if err != nil || !again[0].Duplicate || again[0].Offset != at[0].Offset {
			t.Errorf("published again: %+v, %v", again, err)
		}
		resp := s.do("POST", "/events?topic=a", `2`, "Content-Type", "application/json")
		id := s.read(resp)["id"]
		if ev, err, _ := next(); err != nil || ev.Offset.String() != id || string(ev.Record.Data) != "2" {
			t.Errorf("published over HTTP as %v: %+v, %v", id, ev, err)
		}
	})
}

// "Nothing that stands after a message that was not stored is ever stored", and the
// result has those that are.
func TestPublishHereStops(t *testing.T) {
	srv := newHere(t, server.Options{MaxRecord: 10})
	published, err := srv.Publish(t.Context(),
		server.Message{Topic: "a", Data: []byte("1")},
		server.Message{Topic: "b", Data: []byte("2")},
		server.Message{Topic: "b", Data: []byte("more than ten bytes")},
		server.Message{Topic: "a", Data: []byte("3")})
	if len(published) != 2 || leat.CodeOf(err) != leat.CodeTooLarge {
		t.Errorf("%v, %v", published, err)
	}
	var got []string
	for ev, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"*"}, From: "start"}) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Record != nil {
			got = append(got, string(ev.Record.Data))
		}
		if len(got) == 2 && ev.Offset == published[1].Offset {
			break
		}
	}
	if !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("stored are %q", got)
	}
	if n := srv.Metrics().Refused[string(leat.CodeTooLarge)]; n != 1 {
		t.Errorf("%d were refused by the metrics", n)
	}
}

// The payload is the caller's again after Publish, and a record the reader's.
func TestHereSharesNoMemory(t *testing.T) {
	srv := newHere(t, server.Options{})
	data := []byte("data")
	if _, err := srv.Publish(t.Context(), server.Message{Topic: "a", Data: data}); err != nil {
		t.Fatal(err)
	}
	clear(data)
	for range 2 {
		for ev, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"a"}, From: "start"}) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Record == nil {
				continue
			}
			if string(ev.Record.Data) != "data" {
				t.Fatalf("got %q", ev.Record.Data)
			}
			clear(ev.Record.Data)
			break
		}
	}
}

// What cannot be understood is an error of the first and last pair.
func TestSubscribeHereRefuses(t *testing.T) {
	srv := newHere(t, server.Options{})
	for code, sub := range map[leat.Code]server.Subscription{
		leat.CodeNoTopic:          {},
		leat.CodeInvalidPattern:   {Topics: []string{"a/**/b"}},
		leat.CodeInvalidParameter: {Topics: []string{"a"}, From: "yesterday"},
	} {
		n := 0
		for _, err := range srv.Subscribe(t.Context(), sub) {
			if n++; leat.CodeOf(err) != code || n > 1 {
				t.Errorf("%+v: pair %d has %v, want %s", sub, n, err, code)
			}
		}
	}
}

// The ways in which a sequence ends.
func TestSubscribeHereEnds(t *testing.T) {
	all := server.Subscription{Topics: []string{"a"}, From: "start"}
	type pair struct {
		ev  server.Event
		err error
	}
	collect := func(srv *server.Server, ctx context.Context, sub server.Subscription, do func(n int)) (pairs []pair) {
		for ev, err := range srv.Subscribe(ctx, sub) {
			pairs = append(pairs, pair{ev, err})
			do(len(pairs))
		}
		return pairs
	}
	t.Run("with the context", func(t *testing.T) {
		srv := newHere(t, server.Options{})
		publishHere(t, srv, "a", "1", "2")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := collect(srv, ctx, all, func(n int) {
			if n == 3 {
				cancel()
			}
		})
		if last := got[len(got)-1]; len(got) != 4 || !errors.Is(last.err, context.Canceled) || last.ev.Offset != got[2].ev.Offset {
			t.Errorf("%+v", got)
		}
		if left := srv.Metrics().Left; left["gone"] != 1 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("with the server", func(t *testing.T) {
		srv := newHere(t, server.Options{})
		stopped := make(chan error, 1)
		got := collect(srv, t.Context(), all, func(n int) {
			if n == 1 { // ended by itself
				go func() { stopped <- srv.Shutdown(context.Background()) }()
			}
		})
		if err := <-stopped; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if last := got[len(got)-1]; len(got) != 2 || leat.CodeOf(last.err) != leat.CodeUnavailable {
			t.Errorf("%+v", got)
		}
		if got := collect(srv, t.Context(), all, func(int) {}); len(got) != 1 || leat.CodeOf(got[0].err) != leat.CodeUnavailable {
			t.Errorf("afterwards: %+v", got)
		}
		if _, err := srv.Publish(t.Context(), server.Message{Topic: "a"}); leat.CodeOf(err) != leat.CodeUnavailable {
			t.Errorf("Publish afterwards: %v", err)
		}
		if left := srv.Metrics().Left; left["shutdown"] != 1 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("with its topics", func(t *testing.T) {
		s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
		s.publish("a", "1")
		if resp := s.do("POST", "/streams/a", "", "Stream-Closed", "true", "Leat-End", "error; reason=\"power\""); resp.StatusCode != 204 {
			t.Fatalf("closing: status %d, %v", resp.StatusCode, s.read(resp))
		}
		got := collect(s.srv, t.Context(), all, func(int) {})
		if len(got) != 3 || got[2].ev.End == nil || *got[2].ev.End != (server.End{Topic: "a", State: leat.EndError, Reason: "power"}) {
			t.Fatalf("%+v", got)
		}
		again := server.Subscription{Topics: []string{"a"}, From: got[2].ev.Offset.String()}
		if got := collect(s.srv, t.Context(), again, func(int) {}); len(got) != 0 {
			t.Errorf("who has seen the end gets %+v", got)
		}
	})
	t.Run("by a panic", func(t *testing.T) {
		srv := newHere(t, server.Options{}) // whose Shutdown would wait for a reader that was left behind
		func() {
			defer func() { recover() }()
			collect(srv, t.Context(), all, func(int) { panic("of the caller") })
		}()
		if n := readersHere(srv); n != 0 {
			t.Errorf("%d readers are left", n)
		}
	})
}

func readersHere(srv *server.Server) (n int64) {
	for _, r := range srv.Metrics().Readers {
		if r.Surface == "server" {
			n += r.Count
		}
	}
	return n
}

// A reader that was quiet for long learns how far the log has come, if it wants to.
func TestSubscribeHereHeartbeat(t *testing.T) {
	srv := newHere(t, server.Options{})
	to := leat.Offset{}
	for ev, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"quiet"}, Heartbeat: time.Millisecond}) {
		if err != nil || ev.Record != nil {
			t.Fatalf("%+v, %v", ev, err)
		}
		if to.IsStart() {
			to = publishHere(t, srv, "other", "1")[0].Offset
		}
		if ev.Offset == to {
			break
		}
	}
}

// Gaps are values, of both kinds: what was removed, and what the reader was too slow for.
func TestSubscribeHereGaps(t *testing.T) {
	srv := newHere(t, server.Options{Slow: []server.SlowRule{{Pattern: "skip", Records: 3, Skip: true}, {Pattern: "leave", Records: 3}}})
	for topic, check := range map[string]func(server.Event, error) bool{
		"skip": func(ev server.Event, err error) bool {
			return err == nil && ev.Gap != nil && ev.Gap.Reason == "skipped" && ev.Offset == ev.Gap.Next
		},
		"leave": func(_ server.Event, err error) bool {
			return leat.CodeOf(err) == leat.CodeUnavailable
		},
	} {
		n := 0
		for ev, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{topic}, Heartbeat: 50 * time.Millisecond}) {
			if n++; n == 1 { // it is slow here
				publishHere(t, srv, topic, "1", "2", "3", "4", "5")
				time.Sleep(200 * time.Millisecond) // they are listed behind the answer, one by one
				continue
			}
			if !check(ev, err) {
				t.Errorf("%s: %+v, %v", topic, ev, err)
			}
			break
		}
	}
	m := srv.Metrics()
	if m.Gaps["skipped"] != 1 || m.Left["slow"] != 1 {
		t.Errorf("gaps %v, left %v", m.Gaps, m.Left)
	}
	st := memory(t)
	srv = newHere(t, server.Options{Store: st})
	at := publishHere(t, srv, "a", "1", "2", "3")
	if err := st.Trim(t.Context(), "a", at[1].Offset.Seq); err != nil {
		t.Fatal(err)
	}
	var got []string
	for ev, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"a"}, From: at[0].Offset.String(), Heartbeat: 50 * time.Millisecond}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case ev.Gap != nil:
			got = append(got, fmt.Sprintf("%s %v %v", ev.Gap.Reason, ev.Gap.Asked == at[0].Offset.String(), ev.Gap.Topics[0].Through == at[1].Offset))
		case ev.Record != nil:
			got = append(got, string(ev.Record.Data))
		case len(got) > 0: // and nothing more has come
			got = append(got, "silence")
		}
		if len(got) == 2 {
			break
		}
	}
	if !slices.Equal(got, []string{"trimmed true true", "3"}) {
		t.Errorf("got %q", got)
	}
}

// A slow loop costs no memory: what it has not taken is in the store, and nowhere else,
// and it gets all of it.
func TestSubscribeHereSlowly(t *testing.T) {
	srv := newHere(t, server.Options{Store: storetest.Foreign(memory(t), storetest.ForeignOptions{Lag: -1, ShortReads: true, Reverse: true}), TailMemory: 64 << 10})
	const records, size = 200, 8 << 10
	n := 0
	for ev, err := range srv.Subscribe(t.Context(), server.Subscription{Topics: []string{"a"}}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case ev.Record == nil:
			for i := range records {
				publishHere(t, srv, "a", fmt.Sprintf("%d %s", i, strings.Repeat("x", size)))
			}
			if held := srv.Metrics().CacheBytes; held > 256<<10 {
				t.Errorf("%d bytes are held", held)
			}
			continue
		case !strings.HasPrefix(string(ev.Record.Data), fmt.Sprint(n, " ")):
			t.Fatalf("record %d is %.20q", n, ev.Record.Data)
		}
		if n++; n == records {
			break
		}
	}
}
