package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/storetest"
)

// A kit is a Host over a store, all in the bubble of a test.
type kit struct {
	t    *testing.T
	st   store.Store
	live *live.Live
	*Host
}

// inBubble runs a test with fake time.
func inBubble(t *testing.T, test func(t *testing.T, k *kit)) {
	synctest.Test(t, func(t *testing.T) {
		test(t, newKit(t, memstore.New(memstore.Options{})))
	})
}

// newKit returns a kit over a store; all of it ends with the test.
func newKit(t *testing.T, st store.Store, rules ...live.SlowRule) *kit {
	quiet := slog.New(slog.DiscardHandler)
	l := live.New(st, render.NewCache(0), live.Options{Logger: quiet, Slow: rules})
	t.Cleanup(func() {
		l.Close()
		st.Close()
	})
	return &kit{t, st, l, NewHost(Options{Live: l, Writer: socket.NewWriter(socket.Options{}), Logger: quiet})}
}

// add appends records to a stream and returns the sequence of the last.
func (k *kit) add(stream string, records ...leat.Record) uint64 {
	k.t.Helper()
	info, err := k.st.Stream(k.t.Context(), stream)
	if err != nil {
		k.t.Fatal(err)
	}
	pos := info.End
	for i := range records {
		records[i].Stream, records[i].Pos = stream, pos
		pos = records[i].End()
	}
	results, err := k.st.Commit(k.t.Context(), []store.Tx{{Stream: stream, Version: info.Version, ContentType: "text/plain", Records: records}})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		k.t.Fatal(err)
	}
	synctest.Wait() // the head follows
	return records[len(records)-1].Offset.Seq
}

func text(data string) leat.Record { return leat.Record{Kind: leat.KindText, Data: []byte(data)} }

func (k *kit) filter(topics ...string) *leat.Filter {
	f, err := leat.ParseFilter(topics...)
	if err != nil {
		k.t.Fatal(err)
	}
	return f
}

// joined is the session of a reading that there is something to send to.
func (k *kit) joined(rd *Reading) *session {
	ses, err := k.join(k.t.Context(), rd, socket.NewBell())
	if err != nil || ses == nil {
		k.t.Fatalf("no session: %v", err)
	}
	return ses
}

// An exchange is a Stream under way, and what has been written of its body.
type exchange struct {
	body  *body
	end   chan error // nil for a clean end
	leave func()     // as a client does
}

// stream begins a Stream to a recorder.
func (k *kit) stream(rd *Reading) *exchange {
	w := &body{ResponseRecorder: httptest.NewRecorder()}
	ctx, leave := context.WithCancel(k.t.Context())
	k.t.Cleanup(leave)
	x := &exchange{body: w, end: make(chan error, 1), leave: leave}
	r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	// Ended by the end of the stream.
	go func() {
		defer func() {
			err, _ := recover().(error)
			x.end <- err
		}()
		if rest := k.Stream(w, r, rd, func(http.Header) {}); rest != nil {
			rest.Run()
		}
	}()
	synctest.Wait()
	return x
}

// body is a recorder that can be looked at meanwhile, and takes deadlines.
type body struct {
	*httptest.ResponseRecorder
	mu sync.Mutex
}

func (b *body) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ResponseRecorder.Write(p)
}

func (b *body) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Body.String()
}

func (b *body) SetWriteDeadline(time.Time) error { return nil }

// want says how an exchange ended and with what body.
func (x *exchange) want(t *testing.T, name, body string, end error) {
	t.Helper()
	select {
	case err := <-x.end:
		if !errors.Is(err, end) || x.body.String() != body {
			t.Errorf("%s: ended with %v after %d bytes %.200q, want %v after %d bytes %.200q", name, err, len(x.body.String()), x.body, end, len(body), body)
		}
	case <-time.After(time.Hour):
		t.Fatalf("%s: it does not end, after %d bytes %.200q", name, len(x.body.String()), x.body)
	}
}

// A limit ends an answer after so many bytes, wherever that is: also before
// records that are there, and in the middle of one.
func TestLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		long := strings.Repeat("0123456789", 5000)
		k.add("a", text("abc"), text(""), text(long), text("def"))
		all := "abc" + long + "def"
		for _, limit := range []int{1, 2, 3, 4, 8191, 8192, 8193, len(all) - 4, len(all) - 3, len(all) - 1, len(all)} {
			x := k.stream(&Reading{Filter: k.filter("a"), Form: render.Raw, Heartbeat: time.Second, Limit: int64(limit)})
			x.want(t, "limit", all[:limit], nil)
		}
		// "Peek never answers End in the middle of a frame": to the connection
		// the rest of this one does not exist.
		ses := k.joined(&Reading{Filter: k.filter("a"), Form: render.Raw, Limit: 2})
		defer ses.Close()
		var out frame.Ranges
		for ses.Peek(&out, 10) == socket.Idle {
			synctest.Wait()
		}
		if ses.Advance(&out, out.Len()); ses.Peek(&out, 10) != socket.End || !ses.Between() {
			t.Error("after the limit it is in the middle of a frame")
		}
		x := k.stream(&Reading{Filter: k.filter("a"), Form: render.Raw, Heartbeat: time.Second, Limit: int64(len(all) + 2)})
		time.Sleep(time.Minute) // no heartbeat shows
		k.add("a", text("ghi"))
		x.want(t, "a limit in what is still to come", all+"gh", nil)
	})
}

// "The bytes form has no heartbeat and no gap notice", and a body that stops
// before its end never looks as if that was the end.
func TestRawIsCut(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		first := k.add("a", text("abc"))
		last := k.add("a", text("def"))
		rd := Reading{Filter: k.filter("a"), Form: render.Raw, Start: live.Start{After: first}, Heartbeat: time.Second}
		lost := rd
		lost.Loss = store.LossForeign
		k.stream(&lost).want(t, "an offset that cannot be used", "", http.ErrAbortHandler)
		if err := k.st.Trim(t.Context(), "a", last); err != nil {
			t.Fatal(err)
		}
		k.stream(&rd).want(t, "records are gone", "", http.ErrAbortHandler)

		rd.Start.After = last
		under := k.stream(&rd)
		k.add("a", text("ghi"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := under.body.String(); got != "ghi" {
			t.Errorf("after a minute: %q", got)
		}
		k.o.Writer.Shutdown(0)
		under.want(t, "the server stops", "ghi", http.ErrAbortHandler)
	})
}

// Bytes of two streams of one name are never mixed: whoever has some of the first is
// cut where the second begins, wherever that reader stood, and has not seen an end.
func TestBytesOfOneStream(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		drop := func() {
			if err := storetest.Drop(t.Context(), k.st, "a"); err != nil {
				t.Fatal(err)
			}
		}
		k.add("a", text("first "))
		begun := k.stream(&Reading{Filter: k.filter("a"), Form: render.Raw, Heartbeat: time.Hour})
		atEnd := k.stream(&Reading{Filter: k.filter("a"), Form: render.Raw, Start: k.live.Now(), Within: true, Heartbeat: time.Hour})
		atStart := k.stream(&Reading{Filter: k.filter("a"), Form: render.Raw, Start: k.live.Now(), Heartbeat: time.Hour})
		later := &Reading{Filter: k.filter("a"), Form: render.Raw, Start: k.live.Now(), Within: true, Heartbeat: time.Hour}
		drop()
		k.add("a", text("second"), leat.Record{Kind: leat.KindEnd, Type: "complete"})
		begun.want(t, "it has begun", "first ", http.ErrAbortHandler)
		atEnd.want(t, "it was at the end", "", http.ErrAbortHandler)
		atStart.want(t, "it had nothing", "second", nil)
		k.stream(later).want(t, "it comes later", "", http.ErrAbortHandler)
	})
}

// Events of the Durable Streams protocol do not tell of it either: the answer ends, and
// who comes back is told.
func TestEventsOfOneStream(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		k.add("a", text("first"))
		late := &Reading{Filter: k.filter("a"), Form: &render.Durable{}, Start: k.live.Now(), Within: true, Heartbeat: time.Hour}
		k.add("a", leat.Record{Kind: leat.KindEnd, Type: string(leat.EndDeleted)}, text("second"))
		got := k.stream(late)
		if err := <-got.end; err != nil || strings.Contains(got.body.String(), "second") {
			t.Errorf("it got %q, and ended with %v", got.body.String(), err)
		}
	})
}

// So it is for one that does not begin with byte 0, as a fork: what was there before
// has ended as deleted.
func TestBytesBeforeAFork(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		k.add("a", text("first "))
		begun := k.stream(&Reading{Filter: k.filter("a"), Form: render.Raw, Heartbeat: time.Hour})
		behind := &Reading{Filter: k.filter("a"), Form: render.Raw, Start: k.live.Now(), Within: true, Heartbeat: time.Hour}
		k.add("a", leat.Record{Kind: leat.KindEnd, Type: string(leat.EndDeleted)})
		begun.want(t, "it has begun", "first ", http.ErrAbortHandler)
		k.add("a", text("second"), leat.Record{Kind: leat.KindEnd, Type: "complete"})
		k.stream(behind).want(t, "it comes later", "", http.ErrAbortHandler)
	})
}

// The end of a stream is a frame like any other, also one without bytes.
func TestEndIsAFrame(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		k.add("a", leat.Record{Kind: leat.KindEnd, Type: "complete"})
		b := k.add("b", text("def"))
		raw := k.stream(&Reading{Filter: k.filter("a", "b"), Form: render.Raw, Heartbeat: time.Second, Limit: 3})
		raw.want(t, "bytes", "def", nil)
		lines := k.stream(&Reading{Filter: k.filter("a", "b"), Form: render.Lines, Heartbeat: time.Hour})
		k.o.Writer.Shutdown(0)
		if err := <-lines.end; err != nil {
			t.Errorf("a form that tells was cut: %v", err)
		}
		end := `{"id":"` + k.live.Offset(b-1).String() + `","end":{"topic":"a","state":"complete"}}` + "\n"
		if got := lines.body.String(); strings.Count(got, end) != 1 || strings.Count(got, "\n") != 4 {
			t.Errorf("lines: %q, want one of them %q", got, end)
		}
	})
}
