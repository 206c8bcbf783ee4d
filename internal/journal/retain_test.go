package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

func rule(t testing.TB, pattern string, r Retention) Rule {
	t.Helper()
	p, err := leat.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return Rule{Pattern: p, Retention: r}
}

// Records and bytes are bounded with a slack of an eighth: up to it nothing is
// removed, beyond it all that is too much.
func TestRetention(t *testing.T) {
	for _, bound := range []int64{1, 2, 7, 8, 9, 16, 17, 100} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
				j := open(t, st, Options{Now: c.Now, Sweep: -1, Rules: []Rule{
					rule(t, "records", Retention{Records: bound}),
					rule(t, "bytes", Retention{Bytes: 3 * bound}),
				}})
				for _, name := range []string{"records", "bytes"} {
					want := int64(0)
					for i := range 3*bound + 20 {
						must(t, j, text(name, fmt.Sprintf("%03d", i)))
						if want++; name == "records" && want > bound+bound/8 || name == "bytes" && 3*want > 3*bound+3*bound/8 {
							want = bound
						}
						sweep(t, j)
						all := contents(t, st, name)
						if int64(len(all)) != want || all[want-1] != fmt.Sprintf("%03d", i) {
							t.Fatalf("%s: %d records after %d, want %d", name, len(all), i+1, want)
						}
					}
				}
			})
		})
	}
}

// What a stream says of itself counts, then the first rule that matches, then
// for topics what holds for them. A stream made on purpose has no other bound.
func TestRetentionOfWhat(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Topics: Retention{Records: 4}, Rules: []Rule{
			rule(t, "a/free", Retention{}),
			rule(t, "a/*", Retention{Records: 3}),
			rule(t, "a/**", Retention{Records: 1}),
		}})
		own := Config{ContentType: "text/plain", Retention: Retention{Records: 2}}
		for _, test := range []struct {
			name string
			make *Config
			want int
		}{
			{"a/x", nil, 3},
			{"a/free", nil, 20},
			{"a/x/y", nil, 1},
			{"b", nil, 4},
			{"made", &Config{ContentType: "text/plain"}, 20},
			{"a/made", &Config{ContentType: "text/plain"}, 3},
			{"a/own", &own, 2},
			{"own", &own, 2},
		} {
			if test.make != nil {
				create(t, j, *test.make, Write{Stream: test.name})
			}
			for i := range 20 {
				must(t, j, text(test.name, fmt.Sprint(i)))
			}
			sweep(t, j)
			if all := everything(t, st, test.name); len(all) != test.want && (test.want < 20 || len(all) < 20) {
				t.Errorf("%s has %d records, want %d", test.name, len(all), test.want)
			}
		}
	})
}

// The newest record stays whatever its size, and so does the end, which counts
// for nothing.
func TestRetentionLeaves(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		reason := strings.Repeat("x", MaxReason)
		create(t, j, Config{ContentType: "text/plain", Retention: Retention{Bytes: 10}}, Write{Stream: "large"})
		must(t, j, text("large", "small"), text("large", strings.Repeat("x", 100)))
		sweep(t, j)
		if all := contents(t, st, "large"); len(all) != 1 || len(all[0]) != 100 {
			t.Errorf("large has %d records", len(all))
		}
		write(t, j, Write{Stream: "large", End: leat.EndError, Reason: reason})
		sweep(t, j)
		wantEnd(t, st, "large", 1, leat.EndError)

		create(t, j, Config{ContentType: "text/plain", Retention: Retention{Records: 3, Bytes: 9}}, Write{Stream: "exact"})
		must(t, j, text("exact", "one"), text("exact", "two"))
		// Another's entry makes a hole in front of the end.
		must(t, j, text("other", "x"))
		write(t, j, Write{Stream: "exact", Appends: []Append{text("", "six")}, End: leat.EndError, Reason: reason})
		sweep(t, j)
		wantEnd(t, st, "exact", 3, leat.EndError)

		create(t, j, Config{ContentType: "text/plain", Retention: Retention{Records: 1}}, Write{Stream: "one"})
		must(t, j, text("one", "1"), text("one", "2"))
		must(t, j, text("other", "x"))
		write(t, j, Write{Stream: "one", End: leat.EndComplete})
		sweep(t, j)
		wantEnd(t, st, "one", 1, leat.EndComplete)
		if m, err := stat(t, j, "one", false); err != nil || m.Start != 1 || m.End != 2 || m.Records != 1 {
			t.Errorf("%+v, %v", m, err)
		}
		if err := j.Sweep(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Two processes that trim one stream do not remove more than one would, also of records
// that have no bytes, whose positions are all the same.
func TestTwoTrim(t *testing.T) {
	for name, content := range map[string]string{"Bytes": "x", "Empty": ""} {
		t.Run(name, func(t *testing.T) {
			eachFair(t, func(t *testing.T, st store.Store, c *clock) { testTwoTrim(t, st, c, content) })
		})
	}
}

func testTwoTrim(t *testing.T, st store.Store, c *clock, content string) {
	config := Config{ContentType: "text/plain", Retention: Retention{Records: 10}}
	var once atomic.Bool
	var other *Journal
	h := &hooked{
		Store: st,
		abilities: func(a store.Abilities) store.Abilities {
			a.Class = store.ClassReplicated // who others may write to, too
			return a
		},
		readStream: func(context.Context, string) error {
			if once.CompareAndSwap(true, false) {
				sweep(t, other)
			}
			return nil
		},
	}
	other = open(t, h, Options{Now: c.Now, Sweep: -1})
	j := open(t, h, Options{Now: c.Now, Sweep: -1})
	create(t, j, config, Write{Stream: "a"})
	settle(t, st, "a")
	for range 30 {
		must(t, j, text("a", content))
		settle(t, st, "a")
	}
	must(t, other, text("a", content))
	once.Store(true)
	sweep(t, j)
	sweep(t, j)
	if n := len(records(t, st, "a")); n != 10 {
		t.Errorf("%d records are left", n)
	}
}

// Records live for as long as the age says and up to an eighth more; a topic of
// which nothing is left goes, and a reader that had all of it is owed nothing.
func TestAge(t *testing.T) {
	const age = 80 * time.Second
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		ctx := context.Background()
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: age}})
		create(t, j, Config{ContentType: "text/plain", Retention: Retention{Age: age}}, Write{Stream: "made"})
		at := func(d time.Duration, made, topic, ended int) {
			t.Helper()
			c.add(d)
			sweep(t, j)
			if m, n, e := len(records(t, st, "made")), len(records(t, st, "topic")), len(records(t, st, "ended")); m != made || n != topic || e != ended {
				t.Errorf("there are %d, %d and %d records, want %d, %d and %d", m, n, e, made, topic, ended)
			}
		}
		must(t, j, text("made", "1"), text("topic", "1"), text("ended", "1"))
		at(40*time.Second, 1, 1, 1)
		last := must(t, j, text("made", "2"), text("topic", "2"), text("ended", "2"))[1]
		write(t, j, Write{Stream: "ended", End: leat.EndComplete})
		at(50*time.Second-time.Microsecond, 2, 2, 3)
		at(time.Microsecond, 1, 1, 2)
		at(40*time.Second-time.Microsecond, 1, 1, 2)
		at(time.Microsecond, 0, 0, 0)
		for _, name := range []string{"topic", "ended"} {
			if info, err := st.Stream(ctx, name); err != nil || info.Version != 0 {
				t.Errorf("%s is left: %+v, %v", name, info, err)
			}
		}
		f, err := leat.ParseFilter("topic")
		if err != nil {
			t.Fatal(err)
		}
		for after, want := range map[uint64]int{last.Offset.Seq: 0, last.Offset.Seq - 1: 1} {
			if removed, err := st.Removed(ctx, f, after, 0, 1<<60); err != nil || len(removed) != want {
				t.Errorf("after %d: %+v, %v", after, removed, err)
			}
		}
		// It goes on like any other.
		must(t, j, text("made", "3"), text("topic", "3"))
		at(90*time.Second-time.Microsecond, 1, 1, 0)
		at(time.Microsecond, 0, 0, 0)
	})
}

// An append that comes while an empty stream is said never to be due makes it
// due; one that comes while it is dropped stays.
func TestAgeAgainstAppend(t *testing.T) {
	const age = 80 * time.Second
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: age}})
		create(t, j, Config{ContentType: "text/plain", Retention: Retention{Age: age}}, Write{Stream: "made"})
		j.Close()
		var first atomic.Bool
		reached, goOn := make(chan bool), make(chan bool)
		j = open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			if first.CompareAndSwap(false, true) {
				reached <- true
				<-goOn
			}
			return st.Commit(ctx, txs)
		}}, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: age}})
		busy := appendAll(context.Background(), j, []Append{text("busy", "x")})
		<-reached
		c.add(2 * age)
		swept := make(chan error)
		go func() { swept <- j.Sweep(context.Background()) }() // ends when it is taken
		waitQueued(t, j, "made", 1)
		late := appendAll(context.Background(), j, []Append{text("made", "x")})
		waitQueued(t, j, "made", 2)
		close(goOn)
		if err := <-swept; err != nil {
			t.Fatal(err)
		}
		for _, answers := range []chan answer{busy, late} {
			if a := <-answers; a.err != nil {
				t.Fatal(a.err)
			}
		}
		wantContents(t, st, "made", "x")
		c.add(age + age/8)
		sweep(t, j)
		wantContents(t, st, "made")
		// A topic is dropped only as it was seen.
		must(t, j, text("topic", "old"))
		c.add(2 * age)
		other := open(t, st, Options{Now: c.Now, Sweep: -1})
		j = open(t, &hooked{Store: st, trim: func(string) error {
			must(t, other, text("topic", "new"))
			return nil
		}}, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: age}})
		sweep(t, j)
		wantContents(t, st, "topic", "new")
		c.add(2 * age)
		var once sync.Once
		j = open(t, &hooked{Store: st, drop: func(string) {
			once.Do(func() { must(t, other, text("topic", "newer")) })
		}}, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: age}})
		sweep(t, j)
		wantContents(t, st, "topic", "newer")
	})
}

// Appends go on while records are removed.
func TestTrimHoldsUpNobody(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		trimming, goOn := make(chan bool), make(chan bool)
		j := open(t, &hooked{Store: st, trim: func(string) error {
			trimming <- true
			<-goOn
			return nil
		}}, Options{Now: c.Now, Topics: Retention{Records: 8}, Sweep: -1})
		for i := range 10 {
			must(t, j, text("a", fmt.Sprint(i)))
		}
		swept := make(chan error)
		go func() { swept <- j.Sweep(context.Background()) }() // ends when it is taken
		<-trimming
		for i := range 100 {
			must(t, j, text("a", fmt.Sprint("more ", i)), keyed("b", fmt.Sprint(i), "x"))
		}
		close(goOn)
		if err := <-swept; err != nil {
			t.Fatal(err)
		}
	})
}

// A counter counts what is asked of a store.
type counter struct {
	store.Store
	reads, dues atomic.Int64
}

func (s *counter) Stream(ctx context.Context, name string, keys ...string) (store.Info, error) {
	s.reads.Add(1)
	return s.Store.Stream(ctx, name, keys...)
}

func (s *counter) Streams(ctx context.Context, prefix, after string, limit int) ([]store.Info, error) {
	s.reads.Add(1)
	return s.Store.Streams(ctx, prefix, after, limit)
}

func (s *counter) ReadStream(ctx context.Context, name string, after, upTo uint64, bytes int) (store.Batch, error) {
	s.reads.Add(1)
	return s.Store.ReadStream(ctx, name, after, upTo, bytes)
}

func (s *counter) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	s.reads.Add(1)
	return s.Store.ReadLog(ctx, f, after, upTo, bytes)
}

func (s *counter) At(ctx context.Context, t time.Time) (uint64, error) {
	s.reads.Add(1)
	return s.Store.At(ctx, t)
}

func (s *counter) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	s.dues.Add(1)
	return s.Store.Due(ctx, now, limit)
}

// An idle sweep asks one question, whatever the number of streams; appends do not
// touch the due time of a stream that has one.
func TestIdleSweepReadsNothing(t *testing.T) {
	eachAlone(t, func(t *testing.T, inner store.Store, c *clock) {
		st := &counter{Store: inner}
		dues := map[string]int{}
		j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			for _, tx := range txs {
				if tx.Due != nil {
					dues[tx.Stream]++
				}
			}
			return st.Commit(ctx, txs)
		}}, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: time.Hour}, MaxStore: 1 << 40})
		for i := range 300 {
			must(t, j, text(fmt.Sprint("topic", i), "x"))
			create(t, j, Config{ContentType: "text/plain", TTL: time.Hour}, Write{Stream: fmt.Sprint("made", i)})
		}
		for range 50 {
			must(t, j, text("topic7", "x"), text("made7", "x"))
			c.add(time.Second)
		}
		for name, n := range dues {
			if n != 1 {
				t.Errorf("the due time of %s was set %d times", name, n)
			}
		}
		if len(dues) != 600 {
			t.Errorf("%d streams are due some time", len(dues))
		}
		st.reads.Store(0)
		st.dues.Store(0)
		for range 10 {
			sweep(t, j)
		}
		if r, d := st.reads.Load(), st.dues.Load(); r != 0 || d != 10 {
			t.Errorf("10 idle sweeps have read %d times and asked %d times what is due", r, d)
		}
	})
}

// "An idle sweep over 1,000,000 streams reads nothing": in a soak they are as many.
func TestIdleSweepOverManyStreams(t *testing.T) {
	streams := 10_000
	if os.Getenv("LEAT_SOAK") != "" {
		streams = 1_000_000
	}
	eachAlone(t, func(t *testing.T, inner store.Store, c *clock) {
		st := &counter{Store: inner}
		due := c.Now().Add(time.Hour)
		for i := 0; i < streams; i += 1000 {
			txs := make([]store.Tx, 1000)
			for k := range txs {
				name := fmt.Sprint("s/", i+k)
				records := []leat.Record{{Stream: name, Kind: leat.KindText, Data: []byte("x")}}
				txs[k] = store.Tx{Stream: name, ContentType: "text/plain", Due: &due, Records: records}
			}
			if _, err := st.Commit(context.Background(), txs); err != nil {
				t.Fatal(err)
			}
		}
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: time.Hour}, MaxStore: 1 << 40})
		sweep(t, j)
		if r, d := st.reads.Load(), st.dues.Load(); r != 0 || d != 1 {
			t.Errorf("an idle sweep over %d streams has read %d times and asked %d times what is due", streams, r, d)
		}
	})
}

// A stream that cannot be tended holds up no other, however many there are.
func TestSweepGoesOn(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		broken := errors.New("broken")
		fails := true
		j := open(t, &hooked{Store: st, stream: func(name string) error {
			if fails && strings.HasPrefix(name, "bad") {
				return broken
			}
			return nil
		}}, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: time.Minute, Records: 1}})
		fails = false
		for i := range 250 {
			must(t, j, text(fmt.Sprint("bad", i), "1"), text(fmt.Sprint("bad", i), "2"))
		}
		c.add(time.Second)
		for i := range 250 {
			must(t, j, text(fmt.Sprint("good", i), "1"), text(fmt.Sprint("good", i), "2"))
		}
		fails = true
		if err := j.Sweep(context.Background()); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		for i := range 250 {
			wantContents(t, st, fmt.Sprint("good", i), "2")
			wantContents(t, st, fmt.Sprint("bad", i), "1", "2")
		}
		c.add(2 * time.Minute)
		if err := j.Sweep(context.Background()); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		for i := range 250 {
			wantContents(t, st, fmt.Sprint("good", i))
		}
		fails = false
		sweep(t, j)
		for i := range 250 {
			wantContents(t, st, fmt.Sprint("bad", i))
		}
	})
}

// A store that holds too much loses the oldest records of topics, no more than
// it takes to have an eighth free, and nothing that was made on purpose.
func TestMaxStore(t *testing.T) {
	for _, size := range []int{1, 100, 3000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			eachFair(t, func(t *testing.T, st store.Store, c *clock) {
				one := int64(size + 200) // or a little less
				maxStore := 200 * one
				j := open(t, st, Options{Now: c.Now, Sweep: -1, MaxStore: maxStore})
				create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "made"})
				data := strings.Repeat("x", size)
				var order []leat.Offset // of records of topics
				for n := 0; st.Size() <= maxStore; n++ {
					if n%10 == 0 {
						must(t, j, text("made", data))
					}
					order = append(order, must(t, j, text(fmt.Sprint("topic", n%7), data))[0].Offset)
				}
				write(t, j, Write{Stream: "topic0", End: leat.EndComplete})
				made := len(records(t, st, "made"))
				sweep(t, j)
				target := maxStore - maxStore/8
				if s := st.Size(); s > target || s < target-4*one {
					t.Errorf("%d bytes are left, want about %d", s, target)
				}
				if n := len(records(t, st, "made")); n != made {
					t.Errorf("%d of %d records of a stream that was made are left", n, made)
				}
				left := map[leat.Offset]bool{}
				for n := range 7 {
					for _, r := range records(t, st, fmt.Sprint("topic", n)) {
						left[r.Offset] = true
					}
				}
				gone := 0
				for ; gone < len(order) && !left[order[gone]]; gone++ {
				}
				for _, o := range order[gone:] {
					if !left[o] {
						t.Errorf("%v is gone, and an older one is left", o)
					}
				}
			})
		})
	}
}

// A store that is full of what may not be removed says so once, and again after
// there was room.
func TestMaxStoreWarning(t *testing.T) {
	c := newClock()
	st := memstore.New(memstore.Options{Now: c.Now})
	defer st.Close()
	var log bytes.Buffer
	j := open(t, st, Options{Now: c.Now, Sweep: -1, MaxStore: 10_000, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for round := range 2 {
		create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "made"})
		for range 10 {
			must(t, j, text("made", strings.Repeat("x", 2000)), text("topic", "x"))
			sweep(t, j)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != round+1 {
			t.Errorf("%d warnings:\n%s", n, log.String())
		}
		if len(records(t, st, "topic")) != 0 || len(records(t, st, "made")) != 10 {
			t.Error("the wrong records are gone")
		}
		if info, _ := st.Stream(context.Background(), "topic"); info.Version != 0 {
			t.Error("an empty topic is left")
		}
		if err := j.Delete(context.Background(), "made"); err != nil {
			t.Fatal(err)
		}
		sweep(t, j)
	}
}

// The keeper trims without being asked, and ends with Close.
func TestKeeper(t *testing.T) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	trimmed := make(chan bool, 100)
	j := New(&hooked{Store: st, trim: func(string) error { trimmed <- true; return nil }}, Options{Sweep: time.Hour, Topics: Retention{Records: 8}})
	for range 10 {
		must(t, j, text("a", "x"))
	}
	<-trimmed
	j.Close()
	if err := j.Sweep(context.Background()); err != nil && leat.CodeOf(err) != leat.CodeUnavailable {
		t.Error(err)
	}
}

// An append is due in time though the stream was due later before, because it was
// empty and only its TTL counted.
func TestAgeAfterEmpty(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		create(t, j, Config{ContentType: "text/plain", TTL: time.Hour, Retention: Retention{Age: 80 * time.Second}}, Write{Stream: "a"})
		for range 3 {
			must(t, j, text("a", "x"))
			c.add(90*time.Second - time.Microsecond)
			sweep(t, j)
			wantContents(t, st, "a", "x")
			c.add(time.Microsecond)
			sweep(t, j)
			wantContents(t, st, "a")
		}
	})
}
