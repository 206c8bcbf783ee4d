package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
)

// A reader that goes on in another form gets every record once, wherever the first
// ends and whatever comes meanwhile, and is told what is gone.
func TestThen(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		var seqs []uint64
		add := func(text_ string) { seqs = append(seqs, k.add("a", text(text_))) }
		for _, s := range []string{"one", "two", "three"} {
			add(s)
		}
		reading := func(until uint64) *Reading {
			return &Reading{
				Filter: k.filter("a"), Form: &render.Durable{}, Then: &render.Durable{Latest: true}, GapError: true,
				Start: live.Start{After: seqs[0] - 1, Until: until}, Heartbeat: time.Hour,
			}
		}
		for until := seqs[0]; until < seqs[2]; until++ {
			x := k.stream(reading(until))
			add("more")
			synctest.Wait()
			all := x.body.String()
			for i, seq := range seqs {
				id := k.live.Offset(seq).String()
				if strings.Count(all, "id: "+id+"\nevent: data\n") != 1 {
					t.Errorf("until %d: record %d does not come once: %q", until, i, all)
				}
				_, control, _ := strings.Cut(all, `{"streamNextOffset":"`+id)
				control, _, _ = strings.Cut(control, "\n")
				if latest := strings.Contains(control, "upToDate"); latest != (seq > until) {
					t.Errorf("until %d: record %d: %q", until, i, control)
				}
			}
			x.leave()
			x.wantEnd(t)
		}
		if k.live.Readers() != 0 {
			t.Errorf("%d readers are left", k.live.Readers())
		}
		// What is removed before the second has come to it.
		ses := k.joined(reading(seqs[1]))
		if err := k.st.Trim(t.Context(), "a", seqs[2]); err != nil {
			t.Fatal(err)
		}
		ses.Close()
		x := k.stream(reading(seqs[1]))
		x.wantEnd(t)
		if got := x.body.String(); !strings.Contains(got, "event: leat.gap\n") || strings.Contains(got, "event: data") {
			t.Errorf("of what is gone it gets %q", got)
		}
	})
}

// An answer that is to end after a time does so when nothing is due, at the latest with
// the heartbeat after it, and cleanly.
func TestCloseAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		began := time.Now()
		x := k.stream(&Reading{Filter: k.filter("a"), Form: &render.Durable{}, Start: k.live.Now(), Heartbeat: 15 * time.Second, CloseAfter: 50 * time.Second})
		x.wantEnd(t)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it ended after %v", took)
		}
		began = time.Now()
		x = k.stream(&Reading{Filter: k.filter("a"), Form: &render.Durable{}, Start: k.live.Now(), Heartbeat: 15 * time.Second, CloseAfter: 50 * time.Second})
		time.Sleep(55 * time.Second)
		k.add("a", text("last"))
		x.wantEnd(t)
		if took := time.Since(began); took != 55*time.Second || !strings.Contains(x.body.String(), "data:last") {
			t.Errorf("it ended after %v with %q", took, x.body.String())
		}
	})
}
