package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

const anyURL = "http://leat.test/events?topic=a"

// collect ranges over a subscription until it has n events or ends.
func collect(ctx context.Context, f *fakeServer, o SubscribeOptions, n int) (events []Event, err error) {
	o.HTTP = f.client
	for e, err := range Subscribe(ctx, anyURL, o) {
		if err != nil {
			return events, err
		}
		if events = append(events, e); len(events) == n {
			break
		}
	}
	return events, nil
}

func idsAndData(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s:%s ", e.ID, e.Data)
	}
	return strings.TrimSpace(b.String())
}

func TestRequestHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{stream("id: 1\ndata: x\n\n"), status(204)}}
		f := newFakeServer(t, s)
		attempts := 0
		o := SubscribeOptions{
			LastEventID: "0",
			Header:      http.Header{"X-Mine": {"yes"}, "Accept": {"text/html"}, "Host": {"example.org"}},
			Prepare: func(r *http.Request) error {
				attempts++
				r.Header.Set("Authorization", fmt.Sprint("token ", attempts))
				return nil
			},
		}
		if _, err := collect(t.Context(), f, o, 0); err != nil {
			t.Fatal(err)
		}
		for n, want := range []map[string]string{
			{"Accept": "text/event-stream", "Cache-Control": "no-cache", "Last-Event-ID": "0", "X-Mine": "yes", "Authorization": "token 1", "Accept-Encoding": "identity"},
			{"Accept": "text/event-stream", "Cache-Control": "no-cache", "Last-Event-ID": "1", "X-Mine": "yes", "Authorization": "token 2"},
		} {
			for name, value := range want {
				if got := s.header(n, name); got != value {
					t.Errorf("request %d has %s: %q, want %q", n, name, got, value)
				}
			}
			if host := s.seen[n].Host; host != "example.org" {
				t.Errorf("request %d has Host %q", n, host)
			}
		}
	})
}

// Each way in which a connection can end without being final leads to another
// one that goes on after the last event.
func TestReconnects(t *testing.T) {
	first := "id: 1\ndata: one\n\n"
	for name, tc := range map[string]struct {
		steps    []http.HandlerFunc
		min, max time.Duration // between the first request and the second
	}{
		"clean end":         {[]http.HandlerFunc{stream(first)}, minRetry, 2 * time.Second},
		"connection cut":    {[]http.HandlerFunc{cut(first)}, minRetry, 2 * time.Second},
		"cut in an event":   {[]http.HandlerFunc{cut(first + "id: 9\ndata: lost\n")}, minRetry, 2 * time.Second},
		"end in an event":   {[]http.HandlerFunc{stream(first + "id: 9\ndata: lost\n")}, minRetry, 2 * time.Second},
		"stall":             {[]http.HandlerFunc{hang(first)}, 45*time.Second + minRetry, 47 * time.Second},
		"retry of server":   {[]http.HandlerFunc{stream("retry: 3000\n\n" + first)}, 3 * time.Second, 6 * time.Second},
		"retry of 0":        {[]http.HandlerFunc{stream("retry: 0\n\n" + first)}, minRetry, 200 * time.Millisecond},
		"retry without end": {[]http.HandlerFunc{stream("retry: 99999999999999999999\n\n" + first)}, maxRetry, maxRetry},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: append(tc.steps, hang("id: 2\ndata: two\n\n"))}
				events, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{}, 2)
				if got := idsAndData(events); err != nil || got != "1:one 2:two" {
					t.Fatalf("got %s, %v", got, err)
				}
				if id := s.header(1, "Last-Event-ID"); id != "1" {
					t.Errorf("went on after %q, want 1", id)
				}
				if gap := s.gap(0); gap < tc.min || gap > tc.max {
					t.Errorf("reconnected after %v, want %v to %v", gap, tc.min, tc.max)
				}
			})
		})
	}
}

func TestTemporaryRefusals(t *testing.T) {
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		status func() http.HandlerFunc
		min    time.Duration
	}{
		"429 seconds": {func() http.HandlerFunc { return status(429, "Retry-After", "7") }, 7 * time.Second},
		"503 date":    {func() http.HandlerFunc { return status(503, "Retry-After", at(20*time.Second)) }, 20 * time.Second},
		"503 nothing": {func() http.HandlerFunc { return status(503) }, minRetry},
		"503 bad":     {func() http.HandlerFunc { return status(503, "Retry-After", "soon") }, minRetry},
		"500":         {func() http.HandlerFunc { return status(500) }, minRetry},
		"502":         {func() http.HandlerFunc { return status(502) }, minRetry},
		"504":         {func() http.HandlerFunc { return status(504) }, minRetry},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{tc.status(), hang("data: x\n\n")}}
				var told notices
				events, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{Notify: told.add}, 1)
				if err != nil || len(events) != 1 {
					t.Fatalf("got %v, %v", events, err)
				}
				if gap := s.gap(0); gap < tc.min || gap > 30*time.Second {
					t.Errorf("tried again after %v, want at least %v", gap, tc.min)
				}
				waiting := told.of(Waiting)
				if len(waiting) != 1 || waiting[0].Failures != 1 || waiting[0].Delay != s.gap(0) {
					t.Errorf("notices %+v", waiting)
				}
				if code := leat.CodeOf(waiting[0].Err); code != leat.CodeUnavailable {
					t.Errorf("code %q", code)
				}
			})
		})
	}
}

func TestFirstConnectFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeServer(t, hang("data: x\n\n"))
		f.setDown(errRefused)
		go func() { // ends by itself
			time.Sleep(time.Minute)
			f.setDown(nil)
		}()
		events, err := collect(t.Context(), f, SubscribeOptions{}, 1)
		if err != nil || len(events) != 1 {
			t.Fatalf("got %v, %v", events, err)
		}
		if n := len(f.dials); n < 4 || n > 20 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

func TestFailFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{stream("data: x\n\n"), status(503), status(204)}}
		f := newFakeServer(t, s)
		f.setDown(errRefused)
		_, err := collect(t.Context(), f, SubscribeOptions{FailFast: true}, 0)
		if leat.CodeOf(err) != leat.CodeUnavailable || !strings.Contains(err.Error(), "no server at http://leat.test") || !strings.Contains(err.Error(), "leat serve") {
			t.Errorf("got %v", err)
		}
		// Once there was a connection, FailFast has no say.
		f.setDown(nil)
		events, err := collect(t.Context(), f, SubscribeOptions{FailFast: true}, 0)
		if err != nil || len(events) != 1 {
			t.Errorf("got %v, %v", events, err)
		}
	})
}

// Delays in a row grow to the cap, are never zero, differ, and start again
// after a connection that lasted.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []http.HandlerFunc{}
		for range 10 {
			steps = append(steps, status(503))
		}
		steps = append(steps, func(w http.ResponseWriter, r *http.Request) {
			stream("")(w, r)
			time.Sleep(stable)
		}, status(204))
		s := &script{steps: steps}
		var told notices
		if _, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{Notify: told.add}, 0); err != nil {
			t.Fatal(err)
		}
		waiting := told.of(Waiting)
		if len(waiting) != 11 {
			t.Fatalf("%d notices", len(waiting))
		}
		different := map[time.Duration]bool{}
		for i, n := range waiting[:10] {
			limit := min(2*time.Second<<i, maxWait)
			if n.Failures != i+1 || n.Delay < minRetry || n.Delay > limit {
				t.Errorf("failure %d: %d, %v, want at most %v", i+1, n.Failures, n.Delay, limit)
			}
			different[n.Delay] = true
		}
		if len(different) < 8 {
			t.Errorf("the delays hardly differ: %v", different)
		}
		if last := waiting[10]; last.Failures != 1 || last.Delay > 2*time.Second {
			t.Errorf("after a stable connection: %+v", last)
		}
	})
}

// A server that takes the connection and drops it at once is not healthy.
func TestShortConnectionsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := "event: leat.cursor\nid: 5\ndata:\n\n"
		s := &script{steps: []http.HandlerFunc{cut(first), stream(first), cut(first), stream(first), status(204)}}
		var told notices
		if _, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{Notify: told.add}, 0); err != nil {
			t.Fatal(err)
		}
		if w := told.of(Waiting); len(w) != 4 || w[3].Failures != 4 {
			t.Errorf("notices %+v", w)
		}
	})
}

func TestWait(t *testing.T) {
	for _, tc := range []struct {
		failures          int
		floor, base, most time.Duration // most: where the back-off ends
		min, max          time.Duration
	}{
		{0, 0, 2 * time.Second, maxWait, minRetry, 2 * time.Second},
		{3, 0, 2 * time.Second, maxWait, minRetry, 16 * time.Second},
		{1000, 0, 2 * time.Second, maxWait, minRetry, maxWait},
		{0, 2 * time.Second, 4 * time.Second, maxWait, 2 * time.Second, 4 * time.Second},
		{9, 2 * time.Second, 4 * time.Second, maxWait, 2 * time.Second, maxWait},
		{0, time.Minute, 2 * time.Second, maxWait, time.Minute, 90 * time.Second},
		{5, 48 * time.Hour, 2 * time.Second, maxWait, maxRetry, maxRetry},
		{0, 0, 0, 0, minRetry, minRetry + minRetry/2},
	} {
		for range 1000 {
			if d := wait(tc.failures, tc.floor, tc.base, tc.most); d < tc.min || d > tc.max {
				t.Errorf("%+v: waits %v", tc, d)
				break
			}
		}
	}
}

func TestFinalAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		code   leat.Code
		want   []string // in the message
		status any
	}{
		"204 with a body": {status(204), "", nil, nil},
		"problem": {problem(400, `{"status":400,"title":"Bad Request","code":"invalid_pattern","detail":"it is odd","advice":"Make it even."}`),
			leat.CodeInvalidPattern, []string{"400 Bad Request: it is odd. Make it even."}, 400},
		"gap":         {problem(410, `{"code":"gap","detail":"gone","reason":"trimmed"}`), leat.CodeGap, []string{"410 Gone: gone"}, 410},
		"title only":  {problem(403, `{"title":"No"}`), CodeAnswer, []string{"403 Forbidden: No"}, 403},
		"no document": {problem(404, `oops`), leat.CodeNotFound, []string{"404 Not Found"}, 404},
		"plain text": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "go away\nplease", http.StatusUnauthorized)
		}, CodeAnswer, []string{"401 Unauthorized: go away"}, 401},
		"no location":    {status(301), CodeAnswer, []string{"301 Moved"}, 301},
		"205":            {status(205), CodeAnswer, []string{"205"}, 205},
		"wrong type":     {status(200, "Content-Type", "text/x-bogus"), CodeAnswer, []string{"text/x-bogus", "text/event-stream"}, 200},
		"no type":        {status(200, "Content-Type", ""), CodeAnswer, []string{"text/event-stream"}, 200},
		"unknown status": {status(499), CodeAnswer, []string{"status 499"}, 499},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{tc.answer}}
				events, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{}, 0)
				if len(events) > 0 || len(s.seen) != 1 {
					t.Errorf("%d events, %d requests", len(events), len(s.seen))
				}
				if leat.CodeOf(err) != tc.code {
					t.Fatalf("got %v with code %q, want code %q", err, leat.CodeOf(err), tc.code)
				}
				if err == nil {
					return
				}
				for _, text := range tc.want {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("got %q, want %q in it", err, text)
					}
				}
				if got := leat.AsError(err).Fields["status"]; got != tc.status {
					t.Errorf("status %v", got)
				}
				if got := leat.AsError(err).Fields["body"]; name == "plain text" && got != "go away\nplease\n" {
					t.Errorf("body %q", got)
				}
			})
		})
	}
}

// A parameter, even a broken one, does not matter for the type.
func TestContentTypeParameters(t *testing.T) {
	for _, value := range []string{"text/event-stream;", "Text/Event-Stream; charset=windows-1252", " text/event-stream ;;=x"} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", value)
				fmt.Fprint(w, "data: é\n\n")
			}}}
			events, err := collect(t.Context(), newFakeServer(t, s), SubscribeOptions{}, 1)
			if err != nil || string(events[0].Data) != "é" {
				t.Errorf("%q: %v, %v", value, events, err)
			}
		})
	}
}

// Leaving the loop closes the connection, and there is never more than one.
func TestBreakCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{}, 10)
		s := &script{steps: []http.HandlerFunc{cut("data: 1\n\n"), stream("data: 2\n\n"), func(w http.ResponseWriter, r *http.Request) {
			hang("data: 3\n\n")(w, r)
			ended <- struct{}{}
		}}}
		f := newFakeServer(t, s)
		if events, err := collect(t.Context(), f, SubscribeOptions{}, 3); err != nil || len(events) != 3 {
			t.Fatalf("got %v, %v", events, err)
		}
		<-ended // or the bubble is deadlocked
		if f.most != 1 {
			t.Errorf("%d connections at a time", f.most)
		}
	})
}

func TestContextEnds(t *testing.T) {
	for name, step := range map[string]http.HandlerFunc{
		"while reading": hang("data: x\n\n"),
		"while waiting": status(503, "Retry-After", "1000"),
		"before":        silent,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				_, err := collect(ctx, newFakeServer(t, step), SubscribeOptions{}, 0)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 20*time.Second {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// Events that had arrived already are not handed over after the end of ctx.
func TestContextEndsBetweenEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := newFakeServer(t, hang("data: 1\n\ndata: 2\n\ndata: 3\n\n"))
		n := 0
		for _, err := range Subscribe(ctx, anyURL, SubscribeOptions{HTTP: f.client}) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				continue
			}
			n++
			cancel()
		}
		if n != 1 {
			t.Errorf("%d events", n)
		}
	})
}
