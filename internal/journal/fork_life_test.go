package journal

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

func TestForkKeepsItsSource(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		newStream(t, j, "a", "text/plain", "one", "two")
		forked(t, j, "b", Fork{Source: "a"})
		forked(t, j, "c", Fork{Source: "b"})
		for _, name := range []string{"a", "b"} {
			if err := j.Delete(ctx, name); err != nil {
				t.Fatal(err)
			}
			sweepLater(t, j, c)
			settle(t, st, name)
			_, err := j.Stat(ctx, name, false)
			wantCode(t, err, leat.CodeGone)
			_, err = j.Write(ctx, Write{Stream: name, End: leat.EndComplete})
			wantCode(t, err, leat.CodeGone)
			wantCode(t, j.Delete(ctx, name), leat.CodeGone)
			refused(t, j, leat.CodeGone, text(name, "x"))
			_, _, err = j.Create(ctx, Config{ContentType: "text/plain"}, Write{Stream: name})
			wantCode(t, err, leat.CodeExists)
			if got := j.codeOfFork("d", Fork{Source: name}, Config{}); got != leat.CodeEnded {
				t.Errorf("a fork of what was deleted: %q", got)
			}
			if got := j.codeOfFork(name, Fork{Source: "c"}, Config{}); got != leat.CodeExists {
				t.Errorf("a fork in the place of what was deleted: %q", got)
			}
		}
		wantFork(t, j, "c", "one|two")
		if err := j.Delete(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "c"} {
			settle(t, st, name)
			_, err := j.Stat(ctx, name, false)
			wantCode(t, err, leat.CodeNotFound)
			if got := contents(t, st, name); len(got) > 1 {
				t.Errorf("%s still holds %q", name, got)
			}
		}
		newStream(t, j, "a", "text/plain", "new")
		wantFork(t, j, "a", "new")
	})
}

func sweepLater(t testing.TB, j *Journal, c *clock) {
	t.Helper()
	c.add(2 * pendingTime)
	if err := j.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestForkPins(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		ctx := context.Background()
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		bounds := Config{ContentType: "text/plain", Retention: Retention{Records: 2}}
		if _, _, err := j.Create(ctx, bounds, Write{Stream: "a"}); err != nil {
			t.Fatal(err)
		}
		writeTo(t, j, "a", "1")
		writeTo(t, j, "a", "2")
		forked(t, j, "none", Fork{Source: "a", At: &leat.Offset{}})
		if _, _, err := j.Fork(ctx, Fork{Source: "a"}, Config{Retention: Retention{Records: 2}}, Write{Stream: "b"}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			writeTo(t, j, "a", "x")
		}
		sweepLater(t, j, c)
		wantFork(t, j, "a", "1|2|x|x|x|x")
		wantFork(t, j, "b", "1|2")
		for range 4 {
			writeTo(t, j, "b", "y")
		}
		sweepLater(t, j, c)
		wantFork(t, j, "b", "y|y") // with its first own record all went that it inherited
		sweepLater(t, j, c)
		wantFork(t, j, "a", "x|x")
	})
}

func TestForkCutOff(t *testing.T) {
	for after := range 6 {
		c := newClock()
		disk := vfs.NewMem()
		st := openPebble(t, c, disk)
		commits := -1
		broken := errors.New("power")
		h := &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			if commits == 0 {
				return nil, broken
			}
			commits--
			return st.Commit(ctx, txs)
		}}
		j := New(h, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		newStream(t, j, "a", "text/plain", "one")
		if after >= 3 {
			forked(t, j, "b", Fork{Source: "a"})
			commits = after - 3
			_ = j.Delete(ctx, "b")
		} else {
			commits = after
			if _, _, err := j.Fork(ctx, Fork{Source: "a"}, Config{}, Write{Stream: "b"}); !errors.Is(err, broken) {
				t.Fatalf("after %d commits: %v", after, err)
			}
		}
		j.Close()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		st = openPebble(t, c, disk)
		j = New(st, Options{Now: c.Now, Sweep: -1})
		if after != 3 {
			_, err := j.Stat(ctx, "b", false)
			wantCode(t, err, leat.CodeNotFound)
		} else {
			wantFork(t, j, "b", "one") // it was not deleted
			if err := j.Delete(ctx, "b"); err != nil {
				t.Fatal(err)
			}
		}
		if after%2 == 0 {
			sweepLater(t, j, c)
		} else {
			newStream(t, j, "b", "text/plain", "new")
		}
		wantFork(t, j, "a", "one")
		info, err := st.Stream(ctx, "a", append(stateKeys, statePin+"b")...)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := stateOf(&info); err != nil || s.pins != (pins{}) || info.State[statePin+"b"] != nil {
			t.Errorf("after %d commits the source is pinned: %+v, %v", after, s.pins, err)
		}
		j.Close()
		st.Close()
	}
}

func TestForkRaces(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		newStream(t, j, "a", "text/plain", "one")
		var wg sync.WaitGroup
		made := make(chan bool, 100)
		for i := range 12 {
			wg.Go(func() {
				ok, _, err := j.Fork(ctx, Fork{Source: "a"}, Config{}, Write{Stream: string(rune('f' + i%3))})
				if err != nil {
					t.Error(err)
				}
				made <- ok
			})
			wg.Go(func() {
				if _, err := appendOne(ctx, j, i%2 == 0, text("a", "more")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(made)
		n := 0
		for ok := range made {
			if ok {
				n++
			}
		}
		if n != 3 {
			t.Errorf("%d were made of 3 names", n)
		}
		if err := j.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		for _, i := range rand.Perm(3) {
			settle(t, st, "a")
			_, err := j.Stat(ctx, "a", false)
			wantCode(t, err, leat.CodeGone)
			wg.Go(func() {
				if err := j.Delete(ctx, string(rune('f'+i))); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
		}
		settle(t, st, "a")
		_, err := j.Stat(ctx, "a", false)
		wantCode(t, err, leat.CodeNotFound)
	})
}

func TestForkLives(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		if _, _, err := j.Create(ctx, Config{ContentType: "text/plain", TTL: time.Hour}, Write{Stream: "a", Appends: []Append{{Data: []byte("x")}}}); err != nil {
			t.Fatal(err)
		}
		c.add(50 * time.Minute)
		forked(t, j, "same", Fork{Source: "a"})
		if _, _, err := j.Fork(ctx, Fork{Source: "a"}, Config{TTL: 5 * time.Hour}, Write{Stream: "longer"}); err != nil {
			t.Fatal(err)
		}
		exists := func(name string, want leat.Code) {
			t.Helper()
			if _, err := j.Stat(ctx, name, false); leat.CodeOf(err) != want {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		c.add(59 * time.Minute)
		exists("same", "")
		c.add(2 * time.Minute)
		if err := j.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		exists("same", leat.CodeNotFound)
		exists("a", leat.CodeGone)
		wantFork(t, j, "longer", "x")
		if got := j.codeOfFork("longer", Fork{Source: "a"}, Config{TTL: 5 * time.Hour}); got != "" {
			t.Errorf("the same again: %q", got)
		}
		c.add(6 * time.Hour)
		if err := j.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		exists("longer", leat.CodeNotFound)
		exists("a", leat.CodeNotFound)
	})
}
