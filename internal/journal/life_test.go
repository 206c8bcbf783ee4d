package journal

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// The TTL of these tests, and the eighth of it.
const (
	ttl    = 80 * time.Second
	eighth = ttl / 8
)

func alive(t testing.TB, j *Journal, name string) bool {
	t.Helper()
	_, err := stat(t, j, name, false)
	if err != nil {
		wantCode(t, err, leat.CodeNotFound)
	}
	return err == nil
}

// wantLife checks that a stream is there for so long, and then gone.
func wantLife(t testing.TB, c *clock, j *Journal, name string, d time.Duration) {
	t.Helper()
	if !alive(t, j, name) {
		t.Fatalf("%s is gone at once, want it for %v", name, d)
	}
	c.add(d - time.Microsecond)
	if !alive(t, j, name) {
		t.Fatalf("%s is gone before %v have passed", name, d)
	}
	c.add(time.Microsecond)
	if alive(t, j, name) {
		t.Fatalf("%s is there after %v", name, d)
	}
}

// A TTL counts from the last use, exactly.
func TestTTL(t *testing.T) {
	uses := map[string]func(t *testing.T, j *Journal, name string){
		"append": func(t *testing.T, j *Journal, name string) { must(t, j, text(name, "x")) },
		"write": func(t *testing.T, j *Journal, name string) {
			write(t, j, Write{Stream: name, Appends: []Append{text("", "x")}})
		},
		"end": func(t *testing.T, j *Journal, name string) { write(t, j, Write{Stream: name, End: leat.EndComplete}) },
		"stat": func(t *testing.T, j *Journal, name string) {
			if _, err := j.Stat(context.Background(), name, true); err != nil {
				t.Fatal(err)
			}
		},
	}
	for what, use := range uses {
		t.Run(what, func(t *testing.T) {
			eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
				j := open(t, st, Options{Now: c.Now, Sweep: -1})
				for i, at := range []time.Duration{1, eighth / 2, eighth - 1, eighth, eighth + 1, ttl / 2, ttl - time.Microsecond} {
					name := fmt.Sprint("s", i)
					create(t, j, Config{ContentType: "text/plain", TTL: ttl}, Write{Stream: name})
					c.add(at.Round(time.Microsecond))
					use(t, j, name)
					wantLife(t, c, j, name, ttl)
				}
			})
		})
	}
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		create(t, j, Config{TTL: ttl}, Write{Stream: "a"})
		wantLife(t, c, j, "a", ttl) // which looks at it, without a use
	})
}

// After a restart a stream lives an eighth longer at most, and never shorter;
// from its next use on its time is exact again. The same holds if nothing is
// remembered, and for two processes.
func TestTTLAfterRestart(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		n := 0
		for first := time.Duration(0); first <= 2*eighth; first += eighth / 4 {
			for second := time.Duration(0); second <= 2*eighth; second += eighth / 2 {
				for _, memory := range []int64{0, -1} {
					n++
					name := fmt.Sprint("s", n)
					j := open(t, st, Options{Now: c.Now, Sweep: -1, Memory: memory})
					create(t, j, Config{TTL: ttl}, Write{Stream: name})
					for _, d := range []time.Duration{first, second} {
						c.add(d)
						if _, err := j.Stat(context.Background(), name, true); err != nil {
							t.Fatal(err)
						}
					}
					j.Close()
					j = open(t, st, Options{Now: c.Now, Sweep: -1})
					c.add(ttl - time.Microsecond)
					if !alive(t, j, name) {
						t.Fatalf("%v, %v: gone too early", first, second)
					}
					if n%3 == 0 {
						if _, err := j.Stat(context.Background(), name, true); err != nil {
							t.Fatal(err)
						}
						wantLife(t, c, j, name, ttl)
						continue
					}
					c.add(eighth + time.Microsecond)
					if alive(t, j, name) {
						t.Fatalf("%v, %v: there after an eighth more", first, second)
					}
				}
			}
		}
	})
}

// What one process has seen of a stream is not all: no other may end it early.
func TestTTLOfTwoProcesses(t *testing.T) {
	for _, d := range drivers {
		if d.name != "foreign" {
			continue
		}
		d.run(t, func(t *testing.T, st store.Store, c *clock) {
			journals := []*Journal{open(t, st, Options{Now: c.Now, Sweep: -1}), open(t, st, Options{Now: c.Now, Sweep: -1})}
			create(t, journals[0], Config{TTL: ttl}, Write{Stream: "a"})
			for i := range 40 {
				j := journals[i*i%3%2]
				if _, err := stat(t, j, "a", true); err != nil {
					t.Fatal(err)
				}
				c.add(time.Duration(i) * eighth / 20)
			}
			stat(t, journals[1], "a", true)
			c.add(ttl - time.Microsecond)
			for _, j := range journals {
				if sweep(t, j); !alive(t, j, "a") {
					t.Fatal("gone too early")
				}
			}
			c.add(eighth + time.Microsecond)
			for _, j := range journals {
				if sweep(t, j); alive(t, j, "a") {
					t.Fatal("there after an eighth more")
				}
			}
			wantEnd(t, st, "a", 0, leat.EndExpired)
		})
	}
}

// A use is written once in an eighth of the TTL, however many there are.
func TestTTLIsWrittenSeldom(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		commits := 0
		j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			commits++
			return st.Commit(ctx, txs)
		}}, Options{Now: c.Now, Sweep: -1})
		create(t, j, Config{TTL: ttl}, Write{Stream: "a"})
		const n = 200
		for range n {
			done := make(chan error)
			for range 4 {
				go func() { // ends when it is taken
					_, err := j.Stat(context.Background(), "a", true)
					done <- err
				}()
			}
			for range 4 {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			c.add(time.Second)
		}
		if most := int(n*time.Second/eighth) + 1; commits > most || commits < most/2 {
			t.Errorf("%d commits in %d eighths", commits, most)
		}
	})
}

// Expires is exact, whatever the uses and restarts, and the earlier of the two
// counts.
func TestExpires(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		for i, config := range []Config{
			{Expires: c.Now().Add(time.Minute)},
			{Expires: c.Now().Add(time.Minute), TTL: time.Minute - time.Second},
			{Expires: c.Now().Add(time.Minute), TTL: time.Hour},
		} {
			j := open(t, st, Options{Now: c.Now, Sweep: -1})
			config.Expires = c.Now().Add(time.Minute)
			name := fmt.Sprint("s", i)
			create(t, j, config, Write{Stream: name})
			c.add(30 * time.Second)
			must(t, j, Append{Stream: name})
			wantLife(t, c, open(t, st, Options{Now: c.Now, Sweep: -1}), name, 30*time.Second)
			if alive(t, j, name) {
				t.Error("there for the journal that used it")
			}
			_, err := j.Write(context.Background(), Write{Stream: name, End: leat.EndComplete})
			wantCode(t, err, leat.CodeNotFound)
		}
	})
}

// A stream whose time has come is told of in the log, and its name is free.
func TestExpiredIsTold(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Tombstone: time.Hour})
		config := Config{ContentType: "text/plain", TTL: ttl}
		for _, name := range []string{"swept", "made", "published", "deleted"} {
			create(t, j, config, Write{Stream: name, Appends: []Append{keyed("", "k", "old")}})
		}
		c.add(ttl + eighth + time.Second)
		create(t, j, config, Write{Stream: "made", Appends: []Append{text("", "new")}})
		if must(t, j, keyed("published", "k", "new"))[0].Duplicate {
			t.Error("a key has outlived its stream")
		}
		wantCode(t, j.Delete(context.Background(), "deleted"), leat.CodeNotFound)
		refused(t, j, leat.CodeNotFound, Append{Stream: "swept", Existing: true})
		sweep(t, j)
		wantEnd(t, st, "swept", 0, leat.EndExpired)
		wantEnd(t, st, "deleted", 0, leat.EndExpired)
		wantContents(t, st, "made", "new")
		wantContents(t, st, "published", "new")
		c.add(time.Hour)
		sweep(t, j)
		if all := records(t, st, "swept"); len(all) != 0 {
			t.Errorf("left: %+v", all)
		}
	})
}

// What the sweep writes about a stream is not a use of it.
func TestSweepIsNoUse(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		create(t, j, Config{ContentType: "text/plain", TTL: ttl, Retention: Retention{Age: 8 * time.Second}}, Write{Stream: "a"})
		for range 5 {
			must(t, j, text("a", "x"))
			c.add(time.Second)
		}
		for range 78 {
			sweep(t, j)
			c.add(time.Second)
		}
		if len(records(t, st, "a")) != 0 {
			t.Error("records have outlived their age")
		}
		c.add(time.Second - time.Microsecond)
		if sweep(t, j); !alive(t, j, "a") {
			t.Error("gone too early")
		}
		c.add(time.Microsecond)
		sweep(t, j)
		wantEnd(t, st, "a", 0, leat.EndExpired)
	})
}

// An append whose stream expires while it waits comes too late.
func TestExpiresWhileWaiting(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		create(t, open(t, st, Options{Now: c.Now, Sweep: -1}), Config{ContentType: "text/plain", TTL: ttl}, Write{Stream: "a"})
		j, g := openGated(t, st, Options{Now: c.Now, Sweep: -1})
		busy := appendAll(context.Background(), j, []Append{text("busy", "x")})
		<-g.began
		a := text("a", "x")
		a.Existing = true
		late := appendAll(context.Background(), j, []Append{a})
		waitQueued(t, j, "a", 1)
		c.add(ttl + eighth)
		g.open()
		<-busy
		wantCode(t, (<-late).err, leat.CodeNotFound)
		wantEnd(t, st, "a", 0, leat.EndExpired)
	})
}

// A stream with a TTL can be read though the store takes no writes.
func TestUseOfFullStore(t *testing.T) {
	c := newClock()
	st := memstore.New(memstore.Options{Now: c.Now})
	defer st.Close()
	full := false
	j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
		if full {
			return nil, leat.Errorf(leat.CodeStoreFull, "full").Advise("x")
		}
		return st.Commit(ctx, txs)
	}}, Options{Now: c.Now, Sweep: -1})
	create(t, j, Config{TTL: ttl}, Write{Stream: "a"})
	c.add(ttl / 2)
	full = true
	if _, err := j.Stat(context.Background(), "a", true); err != nil {
		t.Fatal(err)
	}
	wantLife(t, c, j, "a", ttl)
}

// The longest times there are do not wrap around.
func TestLongestTimes(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		const longest = 1<<63 - 1
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		create(t, j, Config{TTL: longest, Retention: Retention{Records: longest, Bytes: longest, Age: longest}}, Write{Stream: "a"})
		must(t, j, Append{Stream: "a"})
		j.mu.Lock()
		if len(j.full) > 0 {
			t.Error("over a bound that cannot be reached")
		}
		j.mu.Unlock()
		j = open(t, st, Options{Now: c.Now, Sweep: -1})
		c.add(24 * time.Hour)
		sweep(t, j)
		if m, err := j.Stat(context.Background(), "a", false); err != nil || m.Records != 1 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
