package live_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// plain is the encoding of these tests: a line with sequence, stream and
// payload.
type plain struct{}

func (plain) String() string { return "plain" }

func (plain) Append(dst []byte, r *leat.Record) []byte {
	return fmt.Appendf(dst, "%d %s %s\n", r.Offset.Seq, r.Stream, r.Data)
}

// bell is a Waker.
type bell chan struct{}

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// newBell returns a bell that remembers one ring.
func newBell() bell { return make(bell, 1) }

// appendTo commits one record, over conflicts.
func appendTo(t testing.TB, st store.Store, stream, data string) uint64 {
	t.Helper()
	for {
		info, err := st.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		records := []leat.Record{{Stream: stream, Kind: leat.KindText, Pos: info.End, Data: []byte(data)}}
		results, err := st.Commit(t.Context(), []store.Tx{{Stream: stream, Version: info.Version, ContentType: "text/plain", Records: records}})
		if err != nil {
			t.Fatal(err)
		}
		if results[0].Err == nil {
			return records[0].Offset.Seq
		}
	}
}

// next returns what is due, waiting for it; it stops at what is not bytes.
func next(t testing.TB, r *live.Reader, b bell) (string, live.State) {
	t.Helper()
	var out frame.Ranges
	for {
		state := r.Peek(&out, 1<<16)
		switch state {
		case live.Idle:
			select {
			case <-b:
				continue
			case <-t.Context().Done():
				t.Fatal("the test ended while a reader waited")
			}
		case live.Due:
			var text strings.Builder
			for _, p := range out.Bytes {
				text.Write(p)
			}
			r.Advance(&out, out.Len())
			return text.String(), state
		}
		return "", state
	}
}

func filter(t testing.TB, topics ...string) *leat.Filter {
	t.Helper()
	f, err := leat.ParseFilter(topics...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestHistoryThenLive(t *testing.T) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	first := appendTo(t, st, "a/1", "old")
	appendTo(t, st, "b", "other")
	l := live.New(st, render.NewCache(0), live.Options{})
	defer l.Close()
	b := newBell()
	r := l.Join(filter(t, "a/*"), plain{}, l.Beginning(), b)
	defer r.Close()
	if got, _ := next(t, r, b); got != fmt.Sprintf("%d a/1 old\n", first) {
		t.Errorf("history: %q", got)
	}
	second := appendTo(t, st, "a/2", "new")
	if got, _ := next(t, r, b); got != fmt.Sprintf("%d a/2 new\n", second) {
		t.Errorf("live: %q", got)
	}
}
