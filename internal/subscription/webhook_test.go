package subscription

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// A stream that is there is linked at its tail; one that comes later is linked before
// its first append, so that making it with content wakes.
func TestCreatedLaterIsLinkedBeforeItsFirstAppend(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		tail := w.put("events/old", "1", "2")
		w.put("events/empty")
		w.create("s", webhook("events/*"))
		w.none("nothing has happened yet")
		if got := w.acked("s", "events/old"); got != tail {
			w.t.Errorf("what was there is acknowledged up to %s, want its tail %s", got, tail)
		}
		later := w.put("events/new", "1")
		n := w.one()
		want := []Stream{
			{Path: "events/empty", LinkType: "glob", Acked: start, Tail: start},
			{Path: "events/new", LinkType: "glob", Acked: start, Tail: later, Pending: true},
			{Path: "events/old", LinkType: "glob", Acked: tail, Tail: tail},
		}
		if fmt.Sprint(n.Streams) != fmt.Sprint(want) {
			w.t.Errorf("the streams are %+v, want %+v", n.Streams, want)
		}
	})
}

func TestWebhook(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.create("s", webhook("events/**"))
		w.put("other", "1")
		w.none("a stream that does not match")
		tail := w.put("events/a", "1")
		n := w.one()
		if n.to != hook || n.Subscription != "s" || n.Generation != 1 || !strings.HasPrefix(n.WakeID, "w_") ||
			n.CallbackURL != "http://leat.example/streams/__ds/subscriptions/s/callback" {
			w.t.Errorf("the notice is %+v", n)
		}
		w.verify(n)
		tail2 := w.add("events/a")
		w.none("a wake is in flight")
		if w.callback(n.report(false)) {
			w.t.Error("a heartbeat has a next wake")
		}
		if !w.callback(n.report(true, Ack{"events/a", tail})) {
			w.t.Error("there is no next wake, and there is a record")
		}
		n = w.one()
		if n.Generation != 2 || n.Streams[0].Acked != tail || n.Streams[0].Tail != tail2 {
			w.t.Errorf("the second notice is %+v", n.notice)
		}
		if w.callback(n.report(true, Ack{"/events/a", tail2})) {
			w.t.Error("there is a next wake, and no record")
		}
		time.Sleep(time.Hour)
		w.none("everything is done")
	})
}

// verify checks a signature as a receiver does, with what the key set says.
func (w *world) verify(n received) {
	w.t.Helper()
	var set struct {
		Keys []struct{ KTY, CRV, X, KID, Alg string }
	}
	if err := json.Unmarshal(w.m.Keys(), &set); err != nil {
		w.t.Fatal(err)
	}
	k := set.Keys[0]
	var at int64
	fields := strings.Split(n.signature, ",")
	fmt.Sscanf(fields[0], "t=%d", &at)
	public, err := base64.RawURLEncoding.DecodeString(k.X)
	sig, err2 := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(fields[2], "ed25519="))
	if err := errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	if k.KTY != "OKP" || k.CRV != "Ed25519" || k.Alg != "EdDSA" || !strings.HasPrefix(k.KID, "ds_") || fields[1] != "kid="+k.KID ||
		at != n.at.Unix() || !ed25519.Verify(public, fmt.Appendf(nil, "%d.%s", at, n.body), sig) {
		w.t.Errorf("the signature %s does not fit the key %+v", n.signature, k)
	}
}

// Who answers done has done what it was told of, and nothing that came since.
func TestDoneAcknowledgesWhatWasTold(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.create("s", webhook("a"))
		var second string
		w.receiver.answer = func(n notice) (int, string, error) {
			if n.Generation == 1 {
				second = w.add("a")
			}
			return 200, `{"done":true}`, nil
		}
		first := w.put("a", "1")
		got := w.receiver.take()
		if len(got) != 2 || got[0].Streams[0].Tail != first || got[1].Streams[0].Acked != first || got[1].Streams[0].Tail != second {
			w.t.Fatalf("%d notices, of %+v; want one up to %s and one up to %s", len(got), got[len(got)-1].notice, first, second)
		}
		if got := w.acked("s", "a"); got != second {
			w.t.Errorf("acknowledged up to %s, want %s", got, second)
		}
	})
}

// An answer of a receiver says nothing but done: whatever else it is the lease runs.
func TestAnswersThatSayNothing(t *testing.T) {
	for _, answer := range []string{"", "ok", `{"done":false}`, `{"done":"yes"}`, `[true]`, `{"done":true`, strings.Repeat(" ", maxAnswer) + `{"done":true}`} {
		overMemory(t, Options{}, func(w *world) {
			w.receiver.answers(204, answer)
			w.create("s", webhook("a"))
			w.put("a", "1")
			w.one()
			time.Sleep(time.Second - time.Millisecond)
			w.none("the lease runs")
			time.Sleep(time.Millisecond)
			if n := w.one(); n.Generation != 2 {
				w.t.Errorf("the second wake has generation %d", n.Generation)
			}
		})
	}
}

// A lease that is over is cleared, what is left wakes again, and what the old worker
// says does not count. A heartbeat renews it.
func TestLease(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.create("s", webhook("a"))
		tail := w.put("a", "1")
		n := w.one()
		for range 5 {
			time.Sleep(time.Second - time.Millisecond)
			w.callback(n.report(false))
		}
		w.none("heartbeats renew the lease")
		time.Sleep(time.Second - time.Millisecond)
		w.none("the lease is not over")
		time.Sleep(time.Millisecond)
		_, err := w.m.Report(background, "s", Webhook, n.report(true, Ack{"a", tail}))
		wantCode(w.t, "a report after the lease", err, leat.CodeFenced)
		if again := w.one(); again.Generation != 2 || again.WakeID == n.WakeID {
			w.t.Errorf("the wake after the lease is %+v", again.notice)
		}
	})
}

// Deliveries that fail are tried again, after a second that doubles up to a minute, with
// the same wake, for as long as it takes, over restarts.
func TestRetries(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.receiver.answers(503, "")
		w.create("s", webhook("a"))
		w.put("a", "1")
		first := w.one()
		last, want := first, time.Second
		for i := range 9 {
			if v, err := w.m.Get(background, "s"); err != nil || !v.Failed {
				w.t.Errorf("after a failure the view is %+v, %v", v, err)
			}
			if i%3 == 1 {
				w.restart()
			}
			time.Sleep(time.Until(last.at.Add(want * 79 / 100)))
			w.none("it is too early")
			time.Sleep(time.Until(last.at.Add(want * 121 / 100)))
			n := w.one()
			if n.WakeID != first.WakeID || n.Generation != 1 {
				w.t.Errorf("attempt %d is of another wake: %+v", i+2, n.notice)
			}
			last, want = n, min(2*want, time.Minute)
		}
		w.receiver.answers(200, `{"done":true}`)
		time.Sleep(2 * time.Minute)
		w.one()
		time.Sleep(time.Hour)
		w.none("it was done")
		if v, err := w.m.Get(background, "s"); err != nil || v.Failed {
			w.t.Errorf("after success the view is %+v, %v", v, err)
		}
	})
}

// A worker that has been heard of has got the wake, whatever becomes of the request.
func TestFailureAfterACallback(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		w.receiver.answer = func(n notice) (int, string, error) {
			w.callback(n.report(false))
			return 0, "", errors.New("the connection broke")
		}
		w.create("s", webhook("a"))
		w.put("a", "1")
		n := w.one()
		time.Sleep(time.Second - time.Millisecond)
		w.none("the lease runs")
		if w.callback(n.report(true, Ack{"a", n.Streams[0].Tail})) {
			w.t.Error("there is a next wake")
		}
	})
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 8: time.Minute, 1 << 40: time.Minute} {
		if low, middle, high := backoff(failures, 0), backoff(failures, 0.5), backoff(failures, 1); low != want*8/10 || middle != want || high != want*12/10 {
			t.Errorf("after %d failures %v, %v, %v; want about %v", failures, low, middle, high, want)
		}
	}
}

// A receiver that does not answer is given up, and holds up no other.
func TestReceiverThatHangs(t *testing.T) {
	overMemory(t, Options{WebhookTimeout: 10 * time.Second}, func(w *world) {
		w.receiver.answer = func(n notice) (int, string, error) {
			if n.Subscription != "quick" {
				time.Sleep(time.Minute)
			}
			return 200, `{"done":true}`, nil
		}
		for i := range 3 * messengers {
			w.create(fmt.Sprint("slow", i), webhook("a"))
		}
		quick := webhook("a")
		quick.URL = "https://other.example/"
		w.create("quick", quick)
		w.put("a", "1")
		got := w.receiver.take()
		n := 0
		for _, r := range got {
			if r.Subscription == "quick" {
				n++
			}
		}
		if n != 1 || len(got) != mostForHost+1 {
			w.t.Errorf("%d requests are under way, %d of them to the host that answers", len(got), n)
		}
		w.stop()
		w.start()
	})
}

// A stream that is deleted has nothing to be done. Its link goes, unless it was named.
func TestStreamThatIsDeleted(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		c := webhook("g/*")
		c.Streams = []string{"e"}
		w.create("s", c)
		w.receiver.answers(200, `{"done":true}`)
		w.put("g/a", "1")
		w.put("e", "1")
		w.receiver.take()
		for _, name := range []string{"g/a", "e"} {
			if err := w.j.Delete(background, name); err != nil {
				w.t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		w.none("nothing is left to do")
		for range 2 {
			if got := w.acked("s", "g/a"); got != "not linked" {
				w.t.Errorf("a deleted stream is acknowledged up to %s", got)
			}
			if got := w.acked("s", "e"); got == "not linked" {
				w.t.Error("a deleted stream is not linked any more, though its name was given")
			}
			w.restart()
		}
		w.put("g/a", "1")
		if n := w.one(); n.Streams[1].Path != "g/a" || n.Streams[1].Acked != start || !n.Streams[1].Pending {
			w.t.Errorf("made again: %+v", n.Streams)
		}
		w.put("e", "1")
		if n := w.one(); !n.Streams[0].Pending {
			w.t.Errorf("made again: %+v", n.Streams)
		}
	})
}

// The end of a stream is told like a record: its reader has something to see.
func TestStreamThatEnds(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		w.put("a", "1")
		w.create("s", webhook("a"))
		if _, err := w.j.Write(background, writeEnd("a")); err != nil {
			w.t.Fatal(err)
		}
		n := w.one()
		m, err := w.j.Stat(background, "a", false)
		if err != nil || n.Streams[0].Tail != m.Last.String() {
			w.t.Errorf("the tail is %s, want that of the stream, %s (%v)", n.Streams[0].Tail, m.Last, err)
		}
	})
}

func TestDelete(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.receiver.answers(503, "")
		w.create("s", webhook("a"))
		w.put("a", "1")
		n := w.one()
		for range 2 {
			if err := w.m.Delete(background, "s"); err != nil {
				w.t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		w.none("it was deleted")
		_, err := w.m.Get(background, "s")
		wantCode(w.t, "what was deleted", err, leat.CodeNotFound)
		w.restart()
		_, err = w.m.Report(background, "s", Webhook, n.report(true))
		wantCode(w.t, "a report to what was deleted", err, leat.CodeNotFound)
		w.create("s", webhook("b"))
		_, err = w.m.Report(background, "s", Webhook, n.report(true))
		wantCode(w.t, "a report to the next of the name", err, leat.CodeTokenInvalid)
		w.add("a")
		w.none("the next one has another pattern")
		synctest.Wait()
	})
}
