package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// poll begins a Poll for stream a and those below it, after a position; its
// answer can be taken from the channel.
func (k *kit) poll(ctx context.Context, after uint64, wait time.Duration) <-chan *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	answered := make(chan *httptest.ResponseRecorder, 1)
	// Ended by the answer, at the latest when the wait is over.
	go func() {
		defer func() {
			// Whoever has left is not answered.
			if err := recover(); err != nil && (err != http.ErrAbortHandler || ctx.Err() == nil) {
				panic(err)
			}
			answered <- w
		}()
		k.Poll(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil), &Reading{Filter: k.filter("a", "a/**"), Form: render.Lines, Start: live.Start{After: after}}, wait)
	}()
	synctest.Wait()
	return answered
}

// doc is the body of an answer to a poll.
type doc struct {
	Events []struct {
		ID   leat.Offset
		Data string
		Gap  map[string]any
	}
	Next leat.Offset
}

func read(t *testing.T, w *httptest.ResponseRecorder) (d doc) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 {
		t.Fatalf("status %d, %q: %v", w.Code, w.Body, err)
	}
	return d
}

// "Answers as soon as something is there": at once or at the moment it comes;
// "empty events and the scanned position as next when nothing came in time".
func TestPollKeepsTime(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		first := k.add("a", text("one"))
		began := time.Now()
		took := func(want time.Duration) {
			t.Helper()
			if got := time.Since(began); got != want {
				t.Errorf("it took %v, want %v", got, want)
			}
			began = time.Now()
		}
		if d := read(t, <-k.poll(t.Context(), 0, time.Minute)); len(d.Events) != 1 || d.Next.Seq != first {
			t.Errorf("what is there: %+v", d)
		}
		took(0)
		waiting := k.poll(t.Context(), first, time.Minute)
		time.Sleep(59 * time.Second)
		moved := k.add("other", text("x"))
		time.Sleep(time.Second)
		if d := read(t, <-waiting); len(d.Events) != 0 || d.Next.Seq != moved {
			t.Errorf("nothing came: %+v", d)
		}
		took(time.Minute)
		waiting = k.poll(t.Context(), moved, time.Minute)
		time.Sleep(20 * time.Second)
		last := k.add("a", text("two"))
		if d := read(t, <-waiting); len(d.Events) != 1 || d.Events[0].Data != "two" || d.Next.Seq != last {
			t.Errorf("what came: %+v", d)
		}
		took(20 * time.Second)
		for wait, want := range map[time.Duration]time.Duration{0: 0, time.Millisecond: 0, 10 * time.Millisecond: 10 * time.Millisecond} {
			if d := read(t, <-k.poll(t.Context(), last, wait)); len(d.Events) != 0 || d.Next.Seq != last {
				t.Errorf("wait %v: %+v", wait, d)
			}
			took(want)
		}
		if k.live.Readers() != 0 {
			t.Errorf("%d readers are left", k.live.Readers())
		}
	})
}

// A client that goes is not answered, and leaves nothing behind.
func TestPollOfOneWhoLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		ctx, cancel := context.WithCancel(t.Context())
		waiting := k.poll(ctx, 0, time.Minute)
		cancel()
		if w := <-waiting; w.Body.Len() > 0 || k.live.Readers() != 0 {
			t.Errorf("%q, %d readers", w.Body, k.live.Readers())
		}
	})
}

// "A poll that comes at shutdown or is under way then answers at once with what
// it has."
func TestPollAtShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		first := k.add("a", text("one"))
		waiting := k.poll(t.Context(), first, time.Minute)
		began := time.Now()
		k.o.Writer.Shutdown(time.Minute)
		if d := read(t, <-waiting); len(d.Events) != 0 || d.Next.Seq != first {
			t.Errorf("under way: %+v", d)
		}
		// What follows is in memory.
		keep, err := k.live.Join(t.Context(), k.filter("a", "a/**"), render.NDJSON, k.live.Now(), silent{})
		if err != nil {
			t.Fatal(err)
		}
		defer keep.Close()
		last := k.add("a", text("two"))
		if d := read(t, <-k.poll(t.Context(), first, time.Minute)); len(d.Events) > 1 || d.Next.Seq != first && d.Next.Seq != last {
			t.Errorf("one that comes: %+v", d)
		}
		keep2 := k.poll(t.Context(), last, time.Minute)
		if d := read(t, <-keep2); len(d.Events) != 0 || d.Next.Seq != last {
			t.Errorf("one that has all: %+v", d)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("%v passed", d)
		}
	})
}

type silent struct{}

func (silent) Wake() {}

// slow is a store whose history takes an hour to read while slowed is set, or
// fails. A read goes through few records.
type slow struct {
	store.Store
	slowed atomic.Bool
	fault  atomic.Pointer[error]
}

func (s *slow) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, n int) (store.Batch, error) {
	if err := s.fault.Load(); err != nil {
		return store.Batch{}, *err
	}
	if s.slowed.Load() {
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
			return store.Batch{}, ctx.Err()
		}
	}
	return s.Store.ReadLog(ctx, f, after, min(upTo, after+100), n)
}

func slowKit(t *testing.T) (*kit, *slow) {
	st := &slow{Store: memstore.New(memstore.Options{})}
	return newKit(t, st), st
}

// However short its wait and however slow the store is, a poll brings its client
// forward; and an error is told as one, before the same is tried again.
func TestPollOverASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, st := slowKit(t)
		first := k.add("a", text("one"))
		last := k.add("other", text("x"))
		st.slowed.Store(true)
		began := time.Now()
		if d := read(t, <-k.poll(t.Context(), first, time.Second)); len(d.Events) != 0 || d.Next.Seq != last {
			t.Errorf("nothing to give: %+v", d)
		}
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it took %v", took)
		}
		waiting := k.poll(t.Context(), 0, time.Minute)
		time.Sleep(time.Minute)
		k.o.Writer.Shutdown(0)
		if d := read(t, <-waiting); len(d.Events) != 0 || d.Next.Seq != 0 {
			t.Errorf("stopped while it reads: %+v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		k, st := slowKit(t)
		k.add("a", text("one"))
		for fault, code := range map[error]int{
			errors.New("secret"):                          503,
			leat.Errorf(leat.CodeStoreFailed, "the disk"): 503,
			leat.Errorf(leat.CodeStoreFull, "no room"):    507,
		} {
			st.fault.Store(&fault)
			if w := <-k.poll(t.Context(), 0, time.Minute); w.Code != code || !strings.Contains(w.Body.String(), `"code"`) {
				t.Errorf("%v: status %d, %q", fault, w.Code, w.Body)
			}
		}
		st.fault.Store(nil)
		if d := read(t, <-k.poll(t.Context(), 0, time.Minute)); len(d.Events) != 1 {
			t.Errorf("mended: %+v", d)
		}
	})
}

// What is gone is told once to a client that polls on, however far it reaches
// and however many reads that takes; if its time is too short, it comes forward.
func TestPollTellsAGapOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := slowKit(t)
		after := k.add("a", text("asked"))
		k.add("other", slices.Repeat([]leat.Record{text("x")}, 1000)...)
		gone := k.add("a", text("gone"))
		if err := k.st.Trim(t.Context(), "a", gone); err != nil {
			t.Fatal(err)
		}
		last := k.add("a", text("last"))
		for wait, want := range map[time.Duration]int{time.Minute: 1, 0: 2} { // 0: at least
			gaps, got := 0, ""
			for next := after; next != last; {
				d := read(t, <-k.poll(t.Context(), next, wait))
				for _, ev := range d.Events {
					got += ev.Data
					if ev.Gap != nil {
						gaps++
					}
				}
				if d.Next.Seq <= next {
					t.Fatalf("after %d: %+v", next, d)
				}
				next = d.Next.Seq
			}
			if (wait > 0 && gaps != want) || gaps < want || got != "last" {
				t.Errorf("wait %v: %d gaps, %q", wait, gaps, got)
			}
		}
	})
}

// A poll that waits is a reader: what comes all at once and is more than the rule for
// slow readers allows is skipped, and told. One that comes afterwards is not late.
func TestPollIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lag = 3
		all, err := leat.ParsePattern("**")
		if err != nil {
			t.Fatal(err)
		}
		k := newKit(t, memstore.New(memstore.Options{}), live.SlowRule{Pattern: all, Records: lag, Skip: true})
		first := k.add("a", text("first"))
		waiting := k.poll(t.Context(), first, time.Minute)
		allowed := k.add("a", slices.Repeat([]leat.Record{text("x")}, lag)...)
		if d := read(t, <-waiting); len(d.Events) != lag || d.Next.Seq != allowed {
			t.Errorf("as many as the rule allows: %+v", d)
		}
		waiting = k.poll(t.Context(), allowed, time.Minute)
		last := k.add("a", slices.Repeat([]leat.Record{text("y")}, lag+1)...)
		d := read(t, <-waiting)
		if len(d.Events) != 1 || d.Next.Seq != last || d.Events[0].Gap["reason"] != "skipped" ||
			d.Events[0].Gap["asked"] != k.o.Live.Offset(allowed).String() || d.Events[0].Gap["next"] != d.Next.String() || d.Events[0].ID != d.Next {
			t.Errorf("one more: %+v", d)
		}
		if d := read(t, <-k.poll(t.Context(), first, time.Minute)); len(d.Events) != 2*lag+1 {
			t.Errorf("one that comes afterwards: %+v", d)
		}
	})
}

// What was begun and could not be finished is not in the answer.
func TestPollAnswersWithWholeLines(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		for lines, want := range map[string]string{
			"":                         `[]`,
			"{\"id\":":                 `[]`,
			"{\"a\":1}\n":              `[{"a":1}]`,
			"{\"a\":1}\n{\"a\":":       `[{"a":1}]`,
			"{\"a\":1}\n{\"b\":2}\n":   `[{"a":1},{"b":2}]`,
			"{\"a\":1}\n{\"b\":2}\n{}": `[{"a":1},{"b":2}]`,
		} {
			p := &poll{session: k.joined(&Reading{Filter: k.filter("a"), Form: render.Lines}), lines: []byte(lines)}
			want := fmt.Sprintf(`{"events":%s,"next":%q}`+"\n", want, k.live.Offset(0))
			if got := p.answer(); !bytes.Equal(got, []byte(want)) {
				t.Errorf("%q: %s, want %s", lines, got, want)
			}
			p.Close()
		}
	})
}
