package pebblestore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A gate holds back the syncs of the log.
type gate struct {
	reached chan struct{} // a sync has begun and waits
	open    chan error    // it goes on, with that error
}

// hold makes the next syncs of the log wait, until the end of the test.
func hold(t *testing.T, p *probe) *gate {
	g := &gate{reached: make(chan struct{}), open: make(chan error)}
	over := make(chan struct{})
	p.on(func(o op) error {
		if !o.is("sync", ".log") {
			return nil
		}
		select {
		case g.reached <- struct{}{}:
		case <-over:
			return nil
		}
		select {
		case err := <-g.open:
			return err
		case <-over:
			return nil
		}
	})
	t.Cleanup(func() { close(over) }) // before the store is closed
	return g
}

// wait returns when a sync has begun. Whoever waits for that sync answers on
// answer.
func (g *gate) wait(t *testing.T, answer <-chan error) {
	t.Helper()
	select {
	case <-g.reached:
	case err := <-answer:
		t.Fatalf("answered without a sync: %v", err)
	}
}

// seen is what a store says about a stream, in every way that it can be asked.
type seen struct {
	head, order                              uint64
	stream, streams, due, removed, read, log string
	back, at                                 uint64
}

func look(t *testing.T, s *Store, name string) seen {
	t.Helper()
	ctx := context.Background()
	f, err := leat.ParseFilter(name, "walk/**", "*/never")
	must(t, err)
	info, err1 := s.Stream(ctx, name, "k")
	list, err2 := s.Streams(ctx, "", "", 100)
	due, err3 := s.Due(ctx, time.Now(), 100)
	removed, err4 := s.Removed(ctx, leat.Everything(), 0, 0, 1<<60)
	own, err5 := s.ReadStream(ctx, name, 0, 0, 1<<20)
	all, err6 := s.ReadLog(ctx, f, 0, 0, 1<<20)
	back, err7 := s.Back(ctx, f, 0, 2)
	at, err8 := s.At(ctx, time.Now().Add(time.Hour))
	must(t, errors.Join(err1, err2, err3, err4, err5, err6, err7, err8))
	return seen{
		head: s.Head(), order: all.Order, back: back, at: at,
		stream: str(info), streams: str(list), due: str(due), removed: str(removed), read: str(own), log: str(all),
	}
}

// "A record is visible, to any method, only when it has reached the class that
// the store declares." Pebble shows it before.
func TestNothingIsVisibleBeforeItIsDurable(t *testing.T) {
	ctx := context.Background()
	due := time.UnixMicro(7)
	for _, test := range []struct {
		name   string
		change func(*Store, uint64) error
	}{
		{"append", func(s *Store, v uint64) error {
			return commitOne(s, store.Tx{Stream: "a", Version: v, Records: text("new"), Due: &due,
				State: []store.Entry{{Key: "k", Value: []byte("new")}}})
		}},
		{"new stream", func(s *Store, _ uint64) error { return commitOne(s, store.Tx{Stream: "b", Records: text("new")}) }},
		{"state only", func(s *Store, v uint64) error {
			return commitOne(s, store.Tx{Stream: "a", Version: v, State: []store.Entry{{Key: "k"}}})
		}},
		{"trim", func(s *Store, _ uint64) error { return s.Trim(ctx, "a", s.Head()) }},
		{"drop", func(s *Store, v uint64) error { return s.Drop(ctx, "a", v) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProbe(vfs.NewMem())
			s := openTest(t, Options{FS: p})
			must(t, commitOne(s, store.Tx{Stream: "a", Records: text("1", "2", "3"), State: []store.Entry{{Key: "k", Value: []byte("old")}}}))
			before, v := look(t, s, "a"), version(t, s, "a")
			g := hold(t, p)
			done := make(chan error, 1)
			go func() { done <- test.change(s, v) }() // ends with the change; awaited below
			g.wait(t, done)
			if now := look(t, s, "a"); now != before {
				t.Errorf("while the log is being synced the store says\n%+v, before it said\n%+v", now, before)
			}
			select {
			case err := <-done:
				t.Fatalf("answered before the sync: %v", err)
			default:
			}
			p.on(nil)
			g.open <- nil
			must(t, <-done)
			if now := look(t, s, "a"); now == before {
				t.Error("and after it nothing has changed")
			}
		})
	}
}

// A conflict is answered only when what won is durable, also if both are in
// one group, and not at all as a conflict if that is lost.
func TestConflictsWaitForTheWinner(t *testing.T) {
	p := newProbe(vfs.NewMem())
	s := openTest(t, Options{FS: p})
	g := hold(t, p)
	first := make(chan error, 1)
	go func() { first <- commitOne(s, store.Tx{Stream: "other", Records: text("x")}) }() // awaited below
	g.wait(t, first)
	// Both of these form the next group.
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- commitOne(s, store.Tx{Stream: "a", Records: text("y")}) }() // awaited below
	}
	waitFor(t, func() bool {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return len(s.queue.waiting) == 2
	})
	g.open <- nil
	must(t, <-first)
	g.wait(t, results)
	select {
	case err := <-results:
		t.Fatalf("answered before the sync of its group: %v", err)
	default:
	}
	p.on(nil)
	g.open <- errors.New("no")
	for range 2 {
		if err := <-results; leat.CodeOf(err) != leat.CodeStoreFailed {
			t.Errorf("the sync failed, and a Commit says %v", err)
		}
	}
}

// Followers are given what is durable, once the sync has returned.
func TestFollowWaitsForTheSync(t *testing.T) {
	p := newProbe(vfs.NewMem())
	s := openTest(t, Options{FS: p})
	got, start := make(chan string), s.Head()
	var wg sync.WaitGroup
	wg.Go(func() { // ends when the store is closed
		for b, err := range s.Follow(background, start) {
			if err != nil {
				return
			}
			for _, r := range b.Records {
				got <- string(r.Data)
			}
		}
	})
	g := hold(t, p)
	done := make(chan error, 1)
	go func() { done <- commitOne(s, store.Tx{Stream: "a", Records: text("x")}) }() // awaited below
	g.wait(t, done)
	select {
	case r := <-got:
		t.Fatalf("a follower was given %q before the sync", r)
	default:
	}
	p.on(nil)
	g.open <- nil
	equal(t, "followed", <-got, "x")
	must(t, <-done)
	must(t, s.Close())
	wg.Wait()
}

func commitOne(s *Store, tx store.Tx) error {
	results, err := s.Commit(context.Background(), []store.Tx{tx})
	if err != nil {
		return err
	}
	return results[0].Err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
