package journal

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/pebblestore"
)

// markOf returns the Mark of a stream, and what there is to say of it.
func markOf(t testing.TB, j *Journal, name string) (leat.Offset, Meta) {
	t.Helper()
	m, err := j.Stat(t.Context(), name, false)
	if err != nil {
		t.Fatal(err)
	}
	return m.Mark, m
}

// "Continues reports whether a stream … has become the one that m is of by appending
// and trimming alone."
func TestContinues(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		must(t, j, text("a", "before"))
		gone, _ := markOf(t, j, "a")
		if err := j.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		end := gone
		end.Seq++ // of its end
		create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a"})
		var marks []leat.Offset
		look := func() {
			t.Helper()
			now, m := markOf(t, j, "a")
			marks = append(marks, now)
			for _, was := range marks {
				if !j.Continues(m, was) {
					t.Errorf("at %s it does not go on from %s", now, was)
				}
			}
			later := now
			later.Seq++
			for _, other := range []leat.Offset{{}, {Epoch: now.Epoch}, {Epoch: now.Epoch - 1, Seq: now.Seq}, later, gone, end} {
				if j.Continues(m, other) {
					t.Errorf("at %s it goes on from %s", now, other)
				}
			}
		}
		look()
		must(t, j, text("a", "one"))
		look()
		must(t, j, text("a", "two"))
		look()
		if err := st.Trim(t.Context(), "a", marks[1].Seq); err != nil {
			t.Fatal(err)
		}
		look()
		write(t, j, Write{Stream: "a", End: leat.EndComplete})
		look()
	})
}

// A store that lost the end of its log in a power cut, in class os, has other bytes
// at the same positions: what was read before does not go on.
func TestContinuesNotOverALoss(t *testing.T) {
	c := newClock()
	disk := vfs.NewCrashableMem()
	opened := func(fs vfs.FS) (store.Store, *Journal) {
		st, err := pebblestore.Open("data", pebblestore.Options{Now: c.Now, FS: fs, Logger: slog.New(slog.DiscardHandler), Durability: store.ClassOS})
		if err != nil {
			t.Fatal(err)
		}
		return st, New(st, Options{Now: c.Now})
	}
	st, j := opened(disk)
	must(t, j, text("a", "kept"))
	kept, _ := markOf(t, j, "a")
	j.Close()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st, j = opened(disk)
	must(t, j, text("a", "lost"))
	lost, before := markOf(t, j, "a")
	after := disk.CrashClone(vfs.CrashCloneCfg{})
	j.Close()
	st.Close()

	c.add(1e9)
	st, j = opened(after)
	defer st.Close()
	defer j.Close()
	must(t, j, text("a", "else"))
	_, m := markOf(t, j, "a")
	if got := contents(t, st, "a"); m.ID != before.ID || m.End != before.End || len(got) != 2 {
		t.Fatalf("nothing was lost: %v", got)
	}
	if !j.Continues(m, kept) || j.Continues(m, lost) {
		t.Errorf("it goes on from %s: %v, from %s, which was lost: %v", kept, j.Continues(m, kept), lost, j.Continues(m, lost))
	}
}
