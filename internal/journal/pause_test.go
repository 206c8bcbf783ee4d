package journal

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// A slowDisk is a store of class disk whose commits take some time, and are counted.
type slowDisk struct {
	store.Store
	class   store.Class
	commits atomic.Int64
}

const syncTime = 150 * time.Microsecond

func (d *slowDisk) Abilities() store.Abilities {
	a := d.Store.Abilities()
	a.Class = d.class
	return a
}

func (d *slowDisk) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	d.commits.Add(1)
	time.Sleep(syncTime) // in a bubble, where it takes no time
	return d.Store.Commit(ctx, txs)
}

// onDisk runs a test in a bubble over a journal with pauses.
func onDisk(t *testing.T, class store.Class, o Options, test func(j *Journal, d *slowDisk)) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		d := &slowDisk{Store: st, class: class}
		o.Sweep = -1
		j := New(d, o)
		defer j.Close()
		test(j, d)
	})
}

// publish appends so many records, one each period, or, if there is none, each once the
// one before is answered. It returns the longest that an answer took. Every other name
// is that of one who posts.
func publish(t *testing.T, ctx context.Context, j *Journal, name string, n int, period time.Duration) (longest time.Duration) {
	for due := time.Now(); n > 0; n-- {
		began := time.Now()
		if _, err := appendOne(ctx, j, name[0]%2 == 1, text(name, "x")); err != nil {
			t.Error(err)
			return longest
		}
		longest = max(longest, time.Since(began))
		if period > 0 {
			due = due.Add(period)
			time.Sleep(time.Until(due)) // see above
		}
	}
	return longest
}

// crowd has so many publishers send at their own pace, in turn, and returns the longest
// that an answer took.
func crowd(t *testing.T, j *Journal, publishers, n int, period time.Duration) (longest time.Duration) {
	answers := make(chan time.Duration)
	for i := range publishers {
		go func() { // ends with its last record; awaited below
			time.Sleep(period / time.Duration(publishers) * time.Duration(i)) // see above
			answers <- publish(t, WithPublisher(context.Background()), j, string(rune('a'+i)), n, period)
		}()
	}
	for range publishers {
		longest = max(longest, <-answers)
	}
	return longest
}

// Records that many publishers send at their own pace share syncs, and none waits for
// longer than the pause and two syncs: its own, and one under way.
func TestPaceSharesSyncs(t *testing.T) {
	const publishers, each, pause = 20, 100, 2 * time.Millisecond
	run := func(class store.Class, pause time.Duration) (commits int64, longest time.Duration) {
		onDisk(t, class, Options{Pause: pause}, func(j *Journal, d *slowDisk) {
			longest = crowd(t, j, publishers, each, 10*time.Millisecond) // 2 in a millisecond
			commits = d.commits.Load()
		})
		return commits, longest
	}
	const all = publishers * each
	if n, longest := run(store.ClassDisk, pause); n > all/3 || longest > pause+2*syncTime {
		t.Errorf("%d records took %d commits, and one %v", all, n, longest)
	}
	if n, longest := run(store.ClassDisk, 0); n > all*3/4 || longest > DefaultPause+2*syncTime {
		t.Errorf("without an option %d records took %d commits, and one %v", all, n, longest)
	}
	for _, without := range []struct {
		class store.Class
		pause time.Duration
	}{{store.ClassDisk, -1}, {store.ClassOS, pause}, {store.ClassMemory, pause}} {
		if n, longest := run(without.class, without.pause); n != all || longest != syncTime {
			t.Errorf("%v: %d records took %d commits, and one %v", without, all, n, longest)
		}
	}
}

// Nobody is delayed who sends the next record as soon as the one before is answered, or
// within half a pause of it: not alone, and not beside those for whom others wait.
func TestPauseDelaysNobodyWhoWaits(t *testing.T) {
	const n = 1000
	for _, byPost := range []bool{false, true} {
		for _, think := range []time.Duration{0, DefaultPause / 3, DefaultPause / 2} {
			onDisk(t, store.ClassDisk, Options{}, func(j *Journal, d *slowDisk) {
				began := time.Now()
				ctx := WithPublisher(context.Background())
				for i := range n { // over many streams, as envelopes may be
					if _, err := appendOne(ctx, j, byPost, text(string(rune('a'+i%20)), "x")); err != nil {
						t.Fatal(err)
					}
					time.Sleep(think) // in a bubble
				}
				if took := time.Since(began); took != n*(syncTime+think) {
					t.Errorf("alone %d records took %v, %v after each", n, took, think)
				}
			})
		}
	}
	for _, name := range []string{"y", "z"} {
		onDisk(t, store.ClassDisk, Options{}, func(j *Journal, d *slowDisk) {
			others := make(chan time.Duration)
			go func() { others <- crowd(t, j, 20, 200, 10*time.Millisecond) }() // awaited below
			began := time.Now()
			longest := publish(t, WithPublisher(context.Background()), j, name, n, 0)
			if took := time.Since(began); took > n*2*syncTime || longest > 2*syncTime {
				t.Errorf("beside others %d records of %s took %v, and one %v", n, name, took, longest)
			}
			<-others
		})
	}
}

// A group waits only if another record is to be expected: not for one publisher,
// whatever its pace, not for few records, and not for callers that nothing is known of.
func TestPauseNeedsCompany(t *testing.T) {
	for _, test := range []struct {
		name       string
		publishers int
		period     time.Duration
	}{
		{"one, slow", 1, 20 * time.Millisecond},
		{"one, each pause", 1, DefaultPause},
		{"one, more often", 1, DefaultPause * 4 / 5},
		{"many, slow", 20, 50 * time.Millisecond},
	} {
		onDisk(t, store.ClassDisk, Options{}, func(j *Journal, d *slowDisk) {
			if longest := crowd(t, j, test.publishers, 50, test.period); longest > syncTime {
				t.Errorf("%s: a record took %v", test.name, longest)
			}
		})
	}
	onDisk(t, store.ClassDisk, Options{}, func(j *Journal, d *slowDisk) {
		answers := make(chan time.Duration)
		for i := range 20 {
			go func() { // awaited below
				time.Sleep(time.Duration(i) * 500 * time.Microsecond) // in a bubble
				answers <- publish(t, context.Background(), j, "s", 50, 10*time.Millisecond)
			}()
		}
		for range 20 {
			if longest := <-answers; longest > 2*syncTime {
				t.Errorf("without a publisher a record took %v", longest)
			}
		}
	})
}

// What ends a pause before its time: a record that is large, more than half of what may
// wait, and Close, after which nothing waits.
func TestPauseEnds(t *testing.T) {
	const pause = time.Hour // so that whatever ends it, it is not the time
	paused := func(o Options, test func(j *Journal, first chan error)) {
		o.Pause = pause
		onDisk(t, store.ClassDisk, o, func(j *Journal, d *slowDisk) {
			// Publishers that have been answered, and come again after a while.
			crowd(t, j, 4, 3, pause)
			j.mu.Lock()
			j.pause.last = time.Since(j.pause.began)
			j.mu.Unlock()
			first := make(chan error, 1)
			ctx := context.WithValue(context.Background(), publisherKey{}, j.pause.came[0].by)
			time.Sleep(pause * 3 / 4) // in a bubble
			go func() {               // ends with the answer
				_, err := j.Append(ctx, text("a", "x"))
				first <- err
			}()
			synctest.Wait()
			j.mu.Lock()
			defer func() { <-first }()
			pauses := j.pause.pauses
			j.mu.Unlock()
			if !pauses {
				t.Error("there is no pause")
			}
			test(j, first)
		})
	}
	soon := func(what string, f func()) {
		began := time.Now()
		if f(); time.Since(began) > 2*syncTime {
			t.Errorf("%s: it took %v", what, time.Since(began))
		}
	}
	again := func(j *Journal, size int) error {
		ctx := context.WithValue(context.Background(), publisherKey{}, j.pause.came[1].by)
		_, err := j.Append(ctx, text("b", string(make([]byte, size))))
		return err
	}
	paused(Options{}, func(j *Journal, first chan error) {
		soon("a large record", func() {
			if err := again(j, maxPaused); err != nil {
				t.Error(err)
			}
		})
	})
	paused(Options{MaxWaiting: 1000}, func(j *Journal, first chan error) {
		soon("half of what may wait", func() {
			if err := again(j, 100); err != nil {
				t.Error(err)
			}
		})
	})
	paused(Options{}, func(j *Journal, first chan error) {
		soon("Close", func() {
			j.Close()
			err := <-first
			wantCode(t, err, leat.CodeUnavailable)
			first <- err
		})
	})
}
