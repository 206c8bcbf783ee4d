package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

func newPublisher(t *testing.T, c *Client, o PublisherOptions) *Publisher {
	t.Helper()
	p, err := c.Publisher(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A trickle goes out at once; what comes while a request is under way goes
// together in the next.
func TestPublisherBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := fakeLog{before: func(int) http.HandlerFunc {
			time.Sleep(time.Second)
			return nil
		}}
		c, _ := newClient(t, &log)
		p := newPublisher(t, c, PublisherOptions{BatchRecords: 10})
		for _, m := range numbered(25) {
			if err := p.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // until the publisher has taken what it can
		}
		receipt, err := p.Close(t.Context())
		if want := (Receipt{Count: 25, Last: "0_25"}); err != nil || receipt != want {
			t.Errorf("got %+v, %v", receipt, err)
		}
		if log.requests != 4 { // 1, 10, 10 and 4 records
			t.Errorf("%d requests", log.requests)
		}
		for i, record := range log.records {
			if want := fmt.Sprintf(`t  "%d"`, i+1); record != want {
				t.Errorf("record %d is %s", i, record)
			}
		}
	})
}

// A publisher holds no more than two batches; who publishes waits.
func TestPublisherBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t, http.HandlerFunc(silent))
		p := newPublisher(t, c, PublisherOptions{BatchBytes: 1000})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		given := 0
		var err error
		for err == nil {
			if err = p.Publish(ctx, Text("t", strings.Repeat("x", 100))); err == nil {
				given++
			}
		}
		if err != context.DeadlineExceeded || given < 5 || given > 20 {
			t.Errorf("%d messages taken, then %v", given, err)
		}
		if receipt, err := p.Close(ctx); err != context.DeadlineExceeded || receipt.Count != 0 {
			t.Errorf("got %+v, %v", receipt, err)
		}
		if err := p.Publish(t.Context(), Text("t", "x")); err == nil {
			t.Error("published after Close")
		}
	})
}

func TestPublisherSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log fakeLog
		c, f := newClient(t, &log)
		var told notices
		p := newPublisher(t, c, PublisherOptions{Notify: told.add, FailFast: true})
		if err := p.Publish(t.Context(), Text("t", "before")); err != nil {
			t.Fatal(err)
		}
		if receipt, err := p.Flush(t.Context()); err != nil || receipt.Count != 1 {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		f.setDown(errRefused)
		f.client.CloseIdleConnections()
		for _, m := range numbered(3) {
			if err := p.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		f.setDown(nil)
		receipt, err := p.Close(t.Context())
		if err != nil || receipt.Count != 4 || len(log.records) != 4 {
			t.Errorf("got %+v, %v", receipt, err)
		}
		if w := told.of(Waiting); len(w) < 10 || w[0].Failures != 1 || w[1].Failures != 2 {
			t.Errorf("%d notices", len(w))
		}
		if n := len(told.of(Connected)); n != 1 {
			t.Errorf("%d notices of connecting again", n)
		}
	})
}

func TestPublisherFailFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newClient(t, new(fakeLog))
		f.setDown(errRefused)
		p := newPublisher(t, c, PublisherOptions{FailFast: true})
		if err := p.Publish(t.Context(), Text("t", "x")); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if _, err := p.Close(t.Context()); leat.CodeOf(err) != leat.CodeUnavailable {
			t.Errorf("got %v", err)
		}
		if len(f.dials) != 1 {
			t.Errorf("%d attempts", len(f.dials))
		}
	})
}

// A refused message ends the publisher. Its number counts all messages.
func TestPublisherRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log fakeLog
		c, _ := newClient(t, &log)
		p := newPublisher(t, c, PublisherOptions{BatchRecords: 4})
		messages := numbered(10)
		messages[6] = Text("t", "bad")
		for _, m := range messages {
			if err := p.Publish(t.Context(), m); err != nil && leat.AsError(err).Fields["line"] != 7 {
				t.Fatal(err)
			}
		}
		<-p.Done()
		for range 2 {
			receipt, err := p.Flush(t.Context())
			if leat.AsError(err).Fields["line"] != 7 || receipt.Count != 6 || len(log.records) != 6 {
				t.Errorf("got %+v, %v", receipt, err)
			}
		}
		if err := p.Publish(t.Context(), Text("t", "x")); leat.AsError(err).Fields["line"] != 7 {
			t.Errorf("got %v", err)
		}
		p.Close(t.Context())
	})
}

// A message that cannot be sent at all is refused alone.
func TestPublisherRefusesHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log fakeLog
		c, _ := newClient(t, &log)
		p := newPublisher(t, c, PublisherOptions{})
		if err := p.Publish(t.Context(), Text("t", "\xff")); leat.CodeOf(err) != leat.CodeInvalidBody {
			t.Errorf("got %v", err)
		}
		if err := p.Publish(t.Context(), Text("t", "fine")); err != nil {
			t.Error(err)
		}
		if receipt, err := p.Close(t.Context()); err != nil || receipt.Count != 1 {
			t.Errorf("got %+v, %v", receipt, err)
		}
		if receipt, err := p.Close(t.Context()); err != nil || receipt.Count != 1 {
			t.Errorf("second Close: %+v, %v", receipt, err)
		}
	})
}

func TestPublisherBadURL(t *testing.T) {
	if _, err := (&Client{URL: "nowhere"}).Publisher(PublisherOptions{}); leat.CodeOf(err) != leat.CodeInvalidParameter {
		t.Errorf("got %v", err)
	}
}

// Close gives up when its context ends, and joins the goroutine.
func TestPublisherCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newClient(t, new(fakeLog))
		f.setDown(errRefused)
		p := newPublisher(t, c, PublisherOptions{})
		if err := p.Publish(t.Context(), Text("t", "x")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		select {
		case <-p.Done():
		default:
			t.Error("Close returned before the goroutine had ended")
		}
	})
}

func TestPublisherConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log fakeLog
		c, _ := newClient(t, &log)
		p := newPublisher(t, c, PublisherOptions{BatchRecords: 7})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for _, m := range numbered(50) {
					if err := p.Publish(t.Context(), m); err != nil {
						t.Error(err)
					}
				}
				if receipt, err := p.Flush(t.Context()); err != nil || receipt.Count < 50 {
					t.Errorf("got %+v, %v", receipt, err)
				}
			})
		}
		all.Wait()
		if receipt, err := p.Close(t.Context()); err != nil || receipt.Count != 1000 || len(log.records) != 1000 {
			t.Errorf("got %+v, %v", receipt, err)
		}
	})
}
