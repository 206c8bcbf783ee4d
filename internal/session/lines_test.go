package session

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
)

// "Heartbeat: a blank line (LF); when the position moved while nothing matched:
// a line {"id":"OFFSET"} (same rules as leat.cursor: heartbeat=comment never,
// heartbeat=event always)": byte for byte, in each form that has heartbeats.
func TestHeartbeats(t *testing.T) {
	for _, form := range []render.Form{render.EventStream, render.EventStreamEnvelope, render.Lines} {
		for _, beat := range []Beat{BeatAuto, BeatComment, BeatEvent} {
			inBubble(t, func(t *testing.T, k *kit) {
				x := k.stream(&Reading{Filter: k.filter("a"), Form: form, Start: k.live.Now(), Heartbeat: 15 * time.Second, Beat: beat})
				opening := len(x.body.String()) // has a delay by chance
				position := k.live.Head()
				cursor := func() string { return string(form.AppendCursor(nil, k.live.Offset(position))) }
				sign := func() string {
					if beat == BeatEvent {
						return cursor()
					}
					return string(form.AppendHeartbeat(nil))
				}
				want := ""
				time.Sleep(time.Second) // what follows is between two beats
				for range 2 {
					time.Sleep(15 * time.Second)
					want += sign()
				}
				position = k.add("other", text("x"))
				time.Sleep(15 * time.Second)
				if want += cursor(); beat == BeatComment {
					want = strings.Repeat(sign(), 3)
				}
				time.Sleep(15 * time.Second)
				want += sign()
				r := text("event")
				position = k.add("a", r)
				r.Stream, r.Offset, r.Time = "a", k.live.Offset(position), time.Now()
				want += string(form.Encoding().Append(nil, &r))
				time.Sleep(29 * time.Second)
				want += sign()
				synctest.Wait()
				if got := x.body.String()[opening:]; got != want {
					t.Errorf("%s, beat %d:\n got %q\nwant %q", form.Encoding(), beat, got, want)
				}
				k.o.Writer.Shutdown(0)
				x.wantEnd(t)
			})
		}
	}
}

// wantEnd waits for a clean end.
func (x *exchange) wantEnd(t *testing.T) {
	t.Helper()
	if err := <-x.end; err != nil {
		t.Errorf("it was cut: %v", err)
	}
}

// A connection that breaks at any byte is resumed with the id of the last whole
// line, whatever that line was, and every record comes once.
func TestLinesCutAtEveryByte(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		begin := k.add("a", text("asked"))
		gone := k.add("a", text("gone"))
		if err := k.st.Trim(t.Context(), "a", gone); err != nil {
			t.Fatal(err)
		}
		k.add("a", text("one\ntwo"), leat.Record{Kind: leat.KindJSON, Data: []byte(`{"id":"7_7"}`)})
		k.add("other", text("x"))
		k.add("a", text(""), leat.Record{Kind: leat.KindEnd, Type: "complete"})
		k.add("other", text("x"))
		rest := func(after uint64) string {
			x := k.stream(&Reading{Filter: k.filter("a"), Form: render.Lines, Start: live.Start{After: after}, Heartbeat: time.Second, Resumes: true})
			time.Sleep(2 * time.Second)
			synctest.Wait()
			defer func() { x.leave(); x.wantEnd(t) }()
			return x.body.String()
		}
		whole := rest(begin)
		for cut := range len(whole) + 1 {
			last, seen := begin, ""
			for line := range strings.Lines(whole[:cut]) {
				if strings.HasSuffix(line, "\n") && line != "\n" {
					last, seen = idOf(t, line), seen+records(t, line)
				}
			}
			if got, want := seen+records(t, rest(last)), records(t, whole); got != want || strings.Count(want, "\n") != 4 {
				t.Fatalf("cut at %d, after %d:\n got %q\nwant %q", cut, last, got, want)
			}
		}
	})
}

func idOf(t *testing.T, line string) uint64 {
	t.Helper()
	var at struct{ ID leat.Offset }
	if err := json.Unmarshal([]byte(line), &at); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return at.ID.Seq
}

// records returns the lines that are records or ends of streams.
func records(t *testing.T, lines string) (out string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if strings.Contains(line, `"topic":"a","time"`) || strings.Contains(line, `"end":{`) {
			out += line
		}
	}
	return out
}
