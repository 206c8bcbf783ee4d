package live_test

import (
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
)

// "Until is the last position that the reader is given anything of": from any place to
// any place it gets what is there and ends, whether that comes from history, from
// memory, or is still to come.
func TestUntil(t *testing.T) {
	overStores(t, func(t *testing.T, st store.Store) {
		l := start(t, st, nil, live.Options{PageBytes: 8})
		all := fillLog(t, st, 6, "x", "a", "b")
		head := st.Head()
		early := join(t, l, filter(t, "a"), plain{}, live.Start{After: head, Until: head + 2})
		early.wantIdle(st)
		all = append(all, fillLog(t, st, 6, "x", "a", "b")...)
		for _, r := range all[6:] {
			if r.Stream == "a" && r.Offset.Seq <= head+2 {
				early.want(r)
			}
		}
		early.wantState(live.Ended)
		for _, begin := range []live.Start{l.Beginning(), {After: all[3].Offset.Seq}, {After: all[8].Offset.Seq}} {
			for until := begin.After + 1; until <= st.Head(); until++ {
				begin.Until = until
				c := join(t, l, filter(t, "a"), plain{}, begin)
				var due []leat.Record
				for _, r := range all {
					if r.Stream == "a" && r.Offset.Seq > begin.After && r.Offset.Seq <= until {
						due = append(due, r)
					}
				}
				c.want(due...)
				c.wantState(live.Ended)
				if c.After() != until {
					t.Errorf("from %d until %d it came to %d", begin.After, until, c.After())
				}
			}
		}
	})
}
