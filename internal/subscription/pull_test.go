package subscription

import (
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

func (w *world) claim(worker string) Claim {
	w.t.Helper()
	c, err := w.m.Claim(background, "s", worker)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (c *Claim) report(done bool, acks ...Ack) Report {
	return Report{Token: c.Token, WakeID: c.WakeID, Generation: c.Generation, Acks: acks, Done: done}
}

func TestPullWake(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.put("wakes")
		w.create("s", pullWake("events/*"))
		_, err := w.m.Claim(background, "s", "one")
		wantCode(w.t, "a claim of nothing", err, leat.CodeNoWork)
		tail := w.put("events/a", "1")
		events := w.wakes()
		if len(events) != 1 || events[0]["type"] != "wake" || events[0]["subscription_id"] != "s" || events[0]["stream"] != "events/a" ||
			events[0]["generation"] != 1.0 || events[0]["ts"] == nil {
			w.t.Fatalf("the wakes are %v", events)
		}
		time.Sleep(time.Hour)
		if n := len(w.wakes()); n != 1 {
			w.t.Errorf("%d wakes, and nobody has claimed the first", n)
		}
		c := w.claim("one")
		if c.Generation != 1 || c.Lease != time.Second || len(c.Streams) != 1 || c.Streams[0].Tail != tail || !c.Streams[0].Pending {
			w.t.Errorf("the claim is %+v", c)
		}
		_, err = w.m.Claim(background, "s", "two")
		wantCode(w.t, "a second claim", err, leat.CodeClaimed)
		if e := leat.AsError(err); e.Fields["current_holder"] != "one" || e.Fields["generation"] != uint64(1) {
			w.t.Errorf("the fields are %v", e.Fields)
		}
		next, err := w.m.Report(background, "s", PullWake, c.report(true, Ack{"events/a", tail}))
		if next || err != nil {
			w.t.Errorf("the last report: next %v, %v", next, err)
		}
		_, err = w.m.Claim(background, "s", "one")
		wantCode(w.t, "a claim when all is done", err, leat.CodeNoWork)
		// Who appends, and then claims, has the wake, announced or not.
		for i := range 10 {
			w.add("events/a")
			c := w.claim("two")
			if c.Generation != uint64(2+2*i) {
				w.t.Errorf("round %d has generation %d", i, c.Generation)
			}
			if err := w.m.Release(background, "s", c.report(false)); err != nil {
				w.t.Fatal(err)
			}
			// What is released is announced again, to the others.
			if events := w.wakes(); events[len(events)-1]["generation"] != float64(c.Generation+1) {
				w.t.Errorf("the last wake is %v", events[len(events)-1])
			}
			c = w.claim("three")
			if _, err := w.m.Report(background, "s", PullWake, c.report(true, Ack{"events/a", c.Streams[0].Tail})); err != nil {
				w.t.Fatal(err)
			}
		}
	})
}

// A wake is announced as soon as there is the stream for it.
func TestWakeStreamThatIsMissing(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.create("s", pullWake("a"))
		w.put("a", "1")
		time.Sleep(10 * time.Second)
		w.restart()
		w.put("wakes")
		time.Sleep(time.Minute)
		if n := len(w.wakes()); n != 1 {
			w.t.Errorf("%d wakes were announced, want 1", n)
		}
	})
}

// A wake whose work has gone is over: the next one is announced.
func TestWakeWithoutWork(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		w.put("wakes")
		w.create("s", pullWake("*"+"/a"))
		w.put("x/a", "1")
		w.wakes()
		if err := w.j.Delete(background, "x/a"); err != nil {
			w.t.Fatal(err)
		}
		_, err := w.m.Claim(background, "s", "one")
		wantCode(w.t, "a claim of what was deleted", err, leat.CodeNoWork)
		w.put("y/a", "1")
		if n := len(w.wakes()); n != 2 {
			w.t.Errorf("%d wakes were announced, want 2", n)
		}
	})
}

// Each of token, generation and wake must be that of the wake in flight.
func TestFencing(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.put("wakes")
		w.create("s", pullWake("a"))
		w.create("other", pullWake("a"))
		tail := w.put("a", "1")
		old := w.claim("one")
		other, err := w.m.Claim(background, "other", "one")
		if err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(time.Second)
		c := w.claim("two") // the lease of one is over
		if c.Generation != old.Generation+1 {
			w.t.Errorf("after the lease the generation is %d, was %d", c.Generation, old.Generation)
		}
		good := c.report(true, Ack{"a", tail})
		for what, test := range map[string]struct {
			change func(*Report)
			code   leat.Code
		}{
			"the token of the wake before":      {func(r *Report) { r.Token = old.Token }, leat.CodeFenced},
			"the generation before":             {func(r *Report) { r.Generation = old.Generation }, leat.CodeFenced},
			"the wake before":                   {func(r *Report) { r.WakeID = old.WakeID }, leat.CodeFenced},
			"no wake":                           {func(r *Report) { r.WakeID = "" }, leat.CodeFenced},
			"the generation to come":            {func(r *Report) { r.Generation++ }, leat.CodeFenced},
			"the token of another subscription": {func(r *Report) { r.Token = other.Token }, leat.CodeTokenInvalid},
			"no token":                          {func(r *Report) { r.Token = "" }, leat.CodeTokenInvalid},
			"a token that was cut":              {func(r *Report) { r.Token = r.Token[:len(r.Token)-4] }, leat.CodeTokenInvalid},
			"a token that was changed":          {func(r *Report) { r.Token = forge(r.Token) }, leat.CodeTokenInvalid},
		} {
			bad := good
			test.change(&bad)
			_, err := w.m.Report(background, "s", PullWake, bad)
			wantCode(w.t, "a report with "+what, err, test.code)
			wantCode(w.t, "a release with "+what, w.m.Release(background, "s", bad), test.code)
			if got := w.acked("s", "a"); got != start {
				w.t.Fatalf("%s: acknowledged up to %s", what, got)
			}
		}
		_, err = w.m.Report(background, "s", Webhook, good)
		wantCode(w.t, "a callback to a subscription without a webhook", err, leat.CodeInvalidParameter)
		if _, err := w.m.Report(background, "s", PullWake, good); err != nil {
			w.t.Errorf("a report with nothing wrong: %v", err)
		}
		_, err = w.m.Report(background, "s", PullWake, good)
		wantCode(w.t, "the last report again", err, leat.CodeFenced)
		wantCode(w.t, "a release afterwards", w.m.Release(background, "s", good), leat.CodeFenced)
	})
}

// forge returns a token for the next generation, without the key for it.
func forge(token string) string {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		panic(err)
	}
	b[7]++
	return base64.RawURLEncoding.EncodeToString(b)
}

// Of many who say that all is done one is heard, and of many who claim one has it.
func TestRacesOfWorkers(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		w.put("wakes")
		w.create("s", pullWake("a"))
		w.put("a", "1")
		for round := range 20 {
			tail := w.add("a")
			var claims, reports atomic.Int64
			var mine atomic.Pointer[Claim]
			race(func(i int) {
				c, err := w.m.Claim(background, "s", fmt.Sprint("worker", i))
				if err == nil {
					claims.Add(1)
					mine.Store(&c)
				} else if leat.CodeOf(err) != leat.CodeClaimed {
					w.t.Errorf("a claim: %v", err)
				}
			})
			if claims.Load() != 1 {
				w.t.Fatalf("round %d: %d workers have the wake", round, claims.Load())
			}
			race(func(int) {
				_, err := w.m.Report(background, "s", PullWake, mine.Load().report(true, Ack{"a", tail}))
				if err == nil {
					reports.Add(1)
				} else if leat.CodeOf(err) != leat.CodeFenced {
					w.t.Errorf("a report: %v", err)
				}
			})
			if reports.Load() != 1 {
				w.t.Fatalf("round %d: %d reports were taken", round, reports.Load())
			}
		}
	})
}

func race(do func(i int)) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func TestAcks(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		w.put("wakes")
		w.create("s", pullWake("*"+"/x"))
		first := w.put("a/x", "1")
		second := w.add("a/x")
		elsewhere := w.put("b/x", "1")
		c := w.claim("one")
		for what, ack := range map[string]Ack{
			"a stream that is not linked":  {"c/x", first},
			"an offset beyond the end":     {"a/x", elsewhere},
			"no offset":                    {"a/x", ""},
			"the start by its DS name":     {"a/x", "-1"},
			"the end by its DS name":       {"a/x", "now"},
			"an offset of another history": {"a/x", "0000000000000007_0000000000000001"},
		} {
			_, err := w.m.Report(background, "s", PullWake, c.report(true, Ack{"b/x", elsewhere}, ack))
			wantCode(w.t, what, err, leat.CodeInvalidOffset)
		}
		if got := w.acked("s", "b/x"); got != start {
			w.t.Errorf("what stands beside a wrong acknowledgement counts: %s", got)
		}
		if _, err := w.m.Report(background, "s", PullWake, c.report(false, Ack{"a/x", second}, Ack{"a/x", first})); err != nil {
			w.t.Fatal(err)
		}
		if got := w.acked("s", "a/x"); got != second {
			w.t.Errorf("acknowledged up to %s, want %s", got, second)
		}
		_, err := w.m.Report(background, "s", PullWake, c.report(false, Ack{"a/x", first}))
		wantCode(w.t, "an offset before what was acknowledged", err, leat.CodeInvalidOffset)
	})
}

// A token does not last, however often its lease is renewed.
func TestTokenExpires(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		w.put("wakes")
		c := pullWake("a")
		c.Lease = MaxLease
		w.create("s", c)
		w.put("a", "1")
		claimed := w.claim("one")
		end := time.Now().Add(TokenLifetime)
		for time.Until(end) > MaxLease {
			time.Sleep(MaxLease - time.Second)
			if _, err := w.m.Report(background, "s", PullWake, claimed.report(false)); err != nil {
				w.t.Fatal(err)
			}
		}
		time.Sleep(time.Until(end) - time.Second)
		if _, err := w.m.Report(background, "s", PullWake, claimed.report(false)); err != nil {
			w.t.Errorf("just before its end: %v", err)
		}
		time.Sleep(time.Second)
		_, err := w.m.Report(background, "s", PullWake, claimed.report(true))
		wantCode(w.t, "at its end", err, leat.CodeTokenExpired)
		synctest.Wait()
	})
}
