package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// wantDuplicate checks that a result is that of a record stored before.
func wantDuplicate(t testing.TB, got, first Appended) {
	t.Helper()
	if !got.Duplicate || got.Offset != first.Offset || !got.Time.Equal(first.Time) {
		t.Fatalf("got %+v, want the duplicate of %+v", got, first)
	}
}

func wantContents(t testing.TB, st store.Store, name string, want ...string) {
	t.Helper()
	if got := contents(t, st, name); !slices.Equal(got, want) {
		t.Fatalf("%s has %q, want %q", name, got, want)
	}
}

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		first := must(t, j, keyed("a", "k1", "1"), text("a", "2"), keyed("a", "k2", "3"), text("a", "2"))
		c.add(time.Minute)
		again := must(t, j, keyed("a", "k2", "x"), keyed("a", "k1", "y"), keyed("a", "k3", "4"), keyed("a", "k3", "z"))
		wantDuplicate(t, again[0], first[2])
		wantDuplicate(t, again[1], first[0])
		wantDuplicate(t, again[3], again[2])
		if again[2].Duplicate {
			t.Error("k3 was new")
		}
		wantContents(t, st, "a", "1", "2", "3", "2", "4")
		// Another stream has keys of its own.
		if done := must(t, j, keyed("b", "k1", "1")); done[0].Duplicate {
			t.Error("streams share their keys")
		}
		// A duplicate is only looked for if the record could be stored.
		refused(t, j, leat.CodeTypeMismatch, Append{Stream: "a", Key: "k1", ContentType: "image/png"})
	})
}

// The window counts from the first record's time, to the microsecond, however
// often the key was repeated.
func TestKeyWindow(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		const window = time.Minute
		for i, fresh := range []bool{false, true} { // a journal that has to read the keys, too
			name := "s" + strconv.Itoa(i)
			j := open(t, st, Options{Now: c.Now, KeyWindow: window})
			first := must(t, j, keyed(name, "k", "1"))[0]
			c.add(first.Time.Add(window).Sub(c.Now()))
			if fresh {
				j = open(t, st, Options{Now: c.Now, KeyWindow: window})
			}
			wantDuplicate(t, must(t, j, keyed(name, "k", "x"))[0], first)
			c.add(time.Microsecond)
			if fresh {
				j = open(t, st, Options{Now: c.Now, KeyWindow: window})
			}
			second := must(t, j, keyed(name, "k", "2"))[0]
			if second.Duplicate {
				t.Fatal("the key was still known after its window")
			}
			wantDuplicate(t, must(t, j, keyed(name, "k", "x"))[0], second)
			wantContents(t, st, name, "1", "2")
		}
	})
}

func TestKeysOptions(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		// Without a window keys are stored and mean nothing.
		j := open(t, st, Options{Now: c.Now, KeyWindow: -1})
		for range 2 {
			if done := must(t, j, keyed("a", "k", "1"), keyed("a", "k", "1")); done[1].Duplicate {
				t.Error("a duplicate without a window")
			}
		}
		if all := records(t, st, "a"); len(all) != 4 || all[0].Key != "k" {
			t.Errorf("got %+v", all)
		}
		// The default is 5 minutes.
		j = open(t, st, Options{Now: c.Now})
		first := must(t, j, keyed("b", "k", "1"))[0]
		c.add(5*time.Minute - time.Second)
		wantDuplicate(t, must(t, j, keyed("b", "k", "1"))[0], first)
		c.add(2 * time.Second)
		if must(t, j, keyed("b", "k", "1"))[0].Duplicate {
			t.Error("a key was known after 5 minutes")
		}
	})
}

// Keys come back with the records: a new journal knows them, and so does one
// that remembers nothing between calls.
func TestKeysReadBack(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		var first []Appended
		for i := range 100 {
			first = append(first, must(t, j, keyed("a", fmt.Sprint("k", i), "x"), text("a", "y"))[0])
		}
		j.Close()
		for _, memory := range []int64{0, -1} {
			j := open(t, st, Options{Now: c.Now, Memory: memory})
			for i := range 100 {
				wantDuplicate(t, must(t, j, keyed("a", fmt.Sprint("k", i), "x"))[0], first[i])
			}
		}
	})
}

// What another writer has appended counts, whenever it did so.
func TestKeysOfAnotherWriter(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j, other := open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
		for i := range 20 {
			key := fmt.Sprint("k", i)
			first := must(t, other, keyed("a", key, "x"))[0]
			if i%3 == 0 {
				must(t, j, text("a", "y")) // makes it read the stream, and not the keys
			}
			wantDuplicate(t, must(t, j, keyed("a", key, "x"))[0], first)
			wantDuplicate(t, must(t, other, keyed("a", key, "x"))[0], first)
		}
	})
}

// A stream that was removed took its keys along, though the journal remembers
// them; one that was trimmed did not.
func TestKeysOfRemoved(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		for name, byPost := range map[string]bool{"a": false, "b": true} {
			j, other := open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
			ctx := context.Background()
			one := func(a Append) Appended {
				done, err := appendOne(ctx, j, byPost, a)
				if err != nil {
					t.Fatal(err)
				}
				return done[0]
			}
			first := must(t, j, keyed(name, "k", "1"), text(name, "2"))
			if err := st.Trim(ctx, name, first[1].Offset.Seq); err != nil {
				t.Fatal(err)
			}
			wantDuplicate(t, one(keyed(name, "k", "x")), first[0])
			if err := storetest.Drop(ctx, st, name); err != nil {
				t.Fatal(err)
			}
			if one(keyed(name, "k", "3")).Duplicate {
				t.Error("the duplicate of a record whose stream is gone")
			}
			// And the same with a stream that is there again.
			if err := storetest.Drop(ctx, st, name); err != nil {
				t.Fatal(err)
			}
			must(t, other, Append{Stream: name, ContentType: "image/png"})
			if one(Append{Stream: name, Key: "k", Data: []byte("4")}).Duplicate {
				t.Error("the duplicate of a record of an earlier stream of that name")
			}
			wantContents(t, st, name, "", "4")
		}
	})
}

// A refusal is true of the store, not of what the journal remembers.
func TestRefusalIsConfirmed(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, other := open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
		must(t, j, text("a", "1"))
		if err := storetest.Drop(context.Background(), st, "a"); err != nil {
			t.Fatal(err)
		}
		png := Append{Stream: "a", ContentType: "image/png", Data: []byte("2")}
		must(t, j, png)
		if err := storetest.Drop(context.Background(), st, "a"); err != nil {
			t.Fatal(err)
		}
		must(t, other, text("a", "3"))
		must(t, j, text("a", "4"))
		refused(t, j, leat.CodeTypeMismatch, png)
		wantContents(t, st, "a", "3", "4")
	})
}

// A duplicate of what is being committed is answered with it, not before, and
// not as a duplicate of what was never stored.
func TestKeysInOneGroup(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now})
		type answer struct {
			done []Appended
			err  error
		}
		answers := make(chan answer, 10)
		publish := func(n int) {
			for i := range n {
				go func() { // ends with its answer, which the test takes
					done, err := j.Append(context.Background(), keyed("a", "k", fmt.Sprint(i)))
					answers <- answer{done, err}
				}()
			}
		}
		publish(1)
		<-g.began // one is being committed
		publish(5)
		waitQueued(t, j, "a", 5)
		if len(answers) > 0 {
			t.Fatal("answered before the commit")
		}
		failure := leat.Errorf(leat.CodeStoreFull, "full").Advise("x")
		g.let <- failure
		if a := <-answers; !errors.Is(a.err, failure) {
			t.Fatal(a.err)
		}
		// The others are no duplicates of it: one of them is stored.
		if txs := <-g.began; len(txs) != 1 || len(txs[0].Records) != 1 {
			t.Fatalf("committing %+v", txs)
		}
		if len(answers) > 0 {
			t.Fatal("a duplicate was answered before the commit")
		}
		g.let <- nil
		fresh, offsets := 0, map[leat.Offset]bool{}
		for range 5 {
			a := <-answers
			if a.err != nil {
				t.Fatal(a.err)
			}
			offsets[a.done[0].Offset] = true
			if !a.done[0].Duplicate {
				fresh++
			}
		}
		if fresh != 1 || len(offsets) != 1 || len(records(t, st, "a")) != 1 {
			t.Errorf("%d were stored, answered with %v", fresh, offsets)
		}
	})
}

// Reading the keys of a stream holds up nobody but who needs them.
func TestKeysLoading(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		first := must(t, j, keyed("slow", "k", "1"))[0]
		j.Close()

		reading, goOn := make(chan bool), make(chan bool)
		var once sync.Once
		reads := 0
		h := &hooked{Store: st, readStream: func(_ context.Context, name string) error {
			if name == "slow" {
				reads++
				once.Do(func() { reading <- true; <-goOn })
			}
			return nil
		}}
		j = open(t, h, Options{Now: c.Now})
		got := make(chan []Appended)
		for range 2 {
			go func() { // ends when its answer is taken below
				done, _ := j.Append(context.Background(), keyed("slow", "k", "x"))
				got <- done
			}()
		}
		<-reading
		must(t, j, text("slow", "2"), keyed("fast", "k", "3"), text("slow", "4"))
		// Who does not want to wait for the one that reads need not.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := j.Append(ctx, keyed("slow", "k", "x")); err != context.Canceled {
			t.Error(err)
		}
		select {
		case <-got:
			t.Fatal("an answer without the keys")
		default:
		}
		close(goOn)
		for range 2 {
			done := <-got
			if len(done) != 1 {
				t.Fatal("no answer")
			}
			wantDuplicate(t, done[0], first)
		}
		wantContents(t, st, "slow", "1", "2", "4")
		// What was appended while they were read did not make them useless,
		// and nor does what is appended later.
		for i := range 10 {
			must(t, j, keyed("slow", fmt.Sprint(i), "x"), text("slow", "y"))
		}
		if reads != 1 {
			t.Errorf("the keys were read %d times", reads)
		}
	})
}

// A caller that waits for the commit of another stream finds its stream
// removed and made anew when it gets its turn: nothing of what it was prepared
// for counts any more, neither the keys nor the type.
func TestForgottenWhileWaiting(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		ctx := context.Background()
		other := open(t, st, Options{Now: c.Now})
		j, g := openGated(t, st, Options{Now: c.Now})
		first := appendAll(ctx, j, []Append{keyed("a", "k0", "1"), keyed("b", "k0", "1")})
		for range 2 {
			<-g.began
			g.let <- nil
		}
		<-first
		busy := appendAll(ctx, j, []Append{text("busy", "x")})
		<-g.began
		waitingA := appendAll(ctx, j, []Append{keyed("a", "k", "2")})
		waitQueued(t, j, "a", 1)
		waitingB := appendAll(ctx, j, []Append{{Stream: "b", Data: []byte("2")}})
		waitQueued(t, j, "b", 1)

		for _, name := range []string{"a", "b"} {
			if err := storetest.Drop(ctx, st, name); err != nil {
				t.Fatal(err)
			}
		}
		anew := must(t, other, Append{Stream: "a", Key: "k", ContentType: "text/plain; charset=utf-8", Data: []byte("3")})[0]
		// A refusal is confirmed, and so the journal notices.
		png := func(stream string) []Append {
			return []Append{{Stream: stream, ContentType: "image/png", Data: []byte("4")}}
		}
		if _, err := j.Append(ctx, png("a")...); leat.CodeOf(err) != leat.CodeTypeMismatch {
			t.Fatal(err)
		}
		makes := appendAll(ctx, j, png("b"))
		waitQueued(t, j, "b", 2)
		g.open()
		<-busy
		if a := <-waitingA; a.err != nil {
			t.Error(a.err)
		} else {
			wantDuplicate(t, a.done[0], anew)
		}
		for _, answers := range []chan answer{waitingB, makes} {
			if a := <-answers; a.err != nil {
				t.Error(a.err)
			}
		}
		wantContents(t, st, "b", "4", "2")
	})
}

// The same while its own commit is under way, and that has won.
func TestForgottenWhileCommitting(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		ctx := context.Background()
		other := open(t, st, Options{Now: c.Now})
		stored, goOn := make(chan bool), make(chan bool)
		var once sync.Once
		j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			results, err := st.Commit(ctx, txs)
			once.Do(func() { stored <- true; <-goOn })
			return results, err
		}}, Options{Now: c.Now})
		must(t, other, text("a", "0"))
		committing := appendAll(ctx, j, []Append{keyed("a", "k", "1")})
		<-stored
		if err := storetest.Drop(ctx, st, "a"); err != nil {
			t.Fatal(err)
		}
		must(t, other, Append{Stream: "a", ContentType: "text/plain; charset=utf-8", Data: []byte("2")})
		refused(t, j, leat.CodeTypeMismatch, Append{Stream: "a", ContentType: "image/png"})
		goOn <- true
		if a := <-committing; a.err != nil || a.done[0].Duplicate {
			t.Errorf("got %+v", a)
		}
		if must(t, j, keyed("a", "k", "3"))[0].Duplicate {
			t.Error("the duplicate of a record that is gone")
		}
		wantContents(t, st, "a", "2", "3")
		wantPositions(t, st, "a")
	})
}

// What is read of a stream whose reading fails is kept, and the next reads on.
func TestKeysLoadingFails(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		big := string(make([]byte, readBytes/2))
		var first []Appended
		for i := range 8 {
			first = append(first, must(t, j, keyed("a", fmt.Sprint("k", i), big))[0])
		}
		j.Close()
		failure := leat.Errorf(leat.CodeUnavailable, "try later").Advise("x")
		reads := 0
		j = open(t, &hooked{Store: st, readStream: func(context.Context, string) error {
			if reads++; reads%2 == 0 {
				return failure
			}
			return nil
		}}, Options{Now: c.Now})
		fails := 0
		for {
			done, err := j.Append(context.Background(), keyed("a", "k7", "x"))
			if err == nil {
				wantDuplicate(t, done[0], first[7])
				break
			}
			if fails++; !errors.Is(err, failure) || fails > 8 {
				t.Fatalf("failure %d: %v", fails, err)
			}
		}
		if fails == 0 {
			t.Error("the reading did not fail: the test tests nothing")
		}
		wantDuplicate(t, must(t, j, keyed("a", "k0", "x"))[0], first[0])
	})
}

// What is remembered is bounded, and a stream that nobody appends to any more
// is forgotten first.
func TestMemory(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		const memory = 64 << 10
		infos := map[string]int{}
		var mu sync.Mutex
		j := open(t, &hooked{Store: st, stream: func(name string) error {
			mu.Lock()
			defer mu.Unlock()
			infos[name]++
			return nil
		}}, Options{Now: c.Now, Memory: memory})
		first := must(t, j, keyed("hot", "k", "1"))[0]
		for i := range 500 {
			must(t, j, keyed(fmt.Sprint("s", i), "k", "1"))
			if i%10 == 0 {
				must(t, j, text("hot", "x"))
			}
		}
		j.mu.Lock()
		n, used := len(j.streams), j.used
		j.mu.Unlock()
		if used > memory || n < 20 || n > memory/streamOverhead {
			t.Errorf("%d streams take %d bytes of %d", n, used, memory)
		}
		if infos["hot"] != 1 {
			t.Errorf("a stream in use was read %d times", infos["hot"])
		}
		wantDuplicate(t, must(t, j, keyed("hot", "k", "x"))[0], first)
		if !must(t, j, keyed("s0", "k", "x"))[0].Duplicate || infos["s0"] < 2 {
			t.Error("a stream was not forgotten, or its key was")
		}
	})
}

// Of two records with one key, by a writer that does not look, the first counts.
func TestKeysFirstCounts(t *testing.T) {
	k := newKeys(0)
	at := time.Unix(1000, 0)
	for i := range 2 {
		k.add(&leat.Record{Key: "k", Time: at.Add(time.Duration(i)), Offset: leat.Offset{Seq: uint64(i + 1)}}, at)
	}
	if m, ok := k.find("k", at); !ok || m.offset.Seq != 1 || len(k.order) != 1 {
		t.Errorf("got %+v, %v", m, ok)
	}
}

// The window of keys takes memory for what is in it only.
func TestKeysPrune(t *testing.T) {
	k := newKeys(0)
	at := time.Unix(1000, 0)
	const window = 100
	for i := range 10_000 {
		r := leat.Record{Key: "k" + strconv.Itoa(i), Time: at.Add(time.Duration(i) * time.Second), Offset: leat.Offset{Seq: uint64(i + 1)}}
		k.add(&r, r.Time.Add(-window*time.Second))
		if len(k.marks) > window+1 || len(k.order)-k.head != len(k.marks) || cap(k.order) > 8*window {
			t.Fatalf("%d: %d marks, %d in order of %d", i, len(k.marks), len(k.order)-k.head, cap(k.order))
		}
	}
	bytes := int64(0)
	for key := range k.marks {
		bytes += int64(len(key)) + keyOverhead
	}
	if bytes != k.bytes {
		t.Errorf("counts %d bytes, has %d", k.bytes, bytes)
	}
	k.prune(at.Add(24 * time.Hour))
	if len(k.marks) != 0 || k.bytes != 0 || cap(k.order) != 0 {
		t.Errorf("%d marks, %d bytes, room for %d", len(k.marks), k.bytes, cap(k.order))
	}
}
