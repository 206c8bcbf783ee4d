package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A call is one method with a context, for the tests of all methods.
type call struct {
	name string
	do   func(context.Context) error
}

// calls has a call of every method that takes a context. They do no harm to
// each other.
func (k *kit) calls() []call {
	s := k.s
	return []call{
		{"Commit", func(ctx context.Context) error {
			_, err := s.Commit(ctx, []store.Tx{{Stream: "call", Records: at(store.Info{Name: "call"}, recs(1))}})
			return err
		}},
		{"Stream", func(ctx context.Context) error { _, err := s.Stream(ctx, "s", "k"); return err }},
		{"Streams", func(ctx context.Context) error { _, err := s.Streams(ctx, "", "", 10); return err }},
		{"ReadStream", func(ctx context.Context) error { _, err := s.ReadStream(ctx, "s", 0, 0, plenty); return err }},
		{"ReadLog", func(ctx context.Context) error { _, err := s.ReadLog(ctx, everything, 0, 0, plenty); return err }},
		{"ReadLog of names", func(ctx context.Context) error {
			_, err := s.ReadLog(ctx, k.filter("s", "t"), 0, 0, plenty)
			return err
		}},
		{"Seek", func(ctx context.Context) error { _, _, err := s.Seek(ctx, "s", 3); return err }},
		{"At", func(ctx context.Context) error { _, err := s.At(ctx, time.Now()); return err }},
		{"Removed", func(ctx context.Context) error {
			_, err := s.Removed(ctx, everything, 0, 0, math.MaxUint64)
			return err
		}},
		{"Trim", func(ctx context.Context) error { return s.Trim(ctx, "s", 1) }},
		{"Drop", func(ctx context.Context) error { return s.Drop(ctx, "none", 0) }},
		{"Due", func(ctx context.Context) error { _, err := s.Due(ctx, time.Now(), 10); return err }},
		{"Follow", func(ctx context.Context) error {
			for _, err := range s.Follow(ctx, 0) {
				return err
			}
			return errNoEnd
		}},
	}
}

// back is the call that only some stores can do.
func (k *kit) back() call {
	return call{"Back", func(ctx context.Context) error { _, err := k.s.Back(ctx, everything, 0, 3); return err }}
}

// "When a context ends, its error is returned as it is."
func testContexts(k *kit) {
	k.put("s", recs(5)...)
	canceled, cancel := context.WithCancel(k.ctx)
	cancel()
	passed, cancel := context.WithDeadline(k.ctx, time.Unix(1, 0))
	defer cancel()
	calls := k.calls()
	if k.ab.Reverse {
		calls = append(calls, k.back())
	}
	for _, c := range calls {
		if err := c.do(canceled); err != context.Canceled {
			k.Errorf("%s with a canceled context: %v", c.name, err)
		}
		if err := c.do(passed); err != context.DeadlineExceeded {
			k.Errorf("%s with a deadline that has passed: %v", c.name, err)
		}
		if err := c.do(k.ctx); err != nil {
			k.Errorf("%s with a good context: %v", c.name, err)
		}
	}
	if n := len(k.stream("call", 0, 0)); n != 1 {
		k.Errorf("three Commits, of which two were given up before they began, stored %d records", n)
	}
	if err := k.s.Health(); err != nil {
		k.Errorf("the store takes writes, and its health is %v", err)
	}
}

// "CodeUnavailable after Close." "Later calls fail with CodeUnavailable; a
// second Close returns nil."
func testClose(k *kit) {
	k.put("s", recs(5)...)
	head, epochs := k.s.Head(), k.s.Epochs()
	k.ok(k.s.Close())
	k.ok(k.s.Close())
	calls := k.calls()
	if k.ab.Reverse {
		calls = append(calls, k.back())
	}
	for _, c := range calls {
		k.code(c.name+" after Close", c.do(k.ctx), leat.CodeUnavailable)
	}
	k.code("Health after Close", k.s.Health(), leat.CodeUnavailable)
	// What never fails must not panic either.
	if k.s.Abilities() != k.ab || k.s.Head() < head || len(k.s.Epochs()) != len(epochs) || k.s.Size() < 0 {
		k.Error("Close changed the abilities, the epochs, the head or the size")
	}
	k.ok(k.s.Close())
}

// Close "ends every Follow, waits for calls that are under way and releases
// the store." What was acknowledged until then was so with reason, which
// RunCrash looks at; here nothing may hang, panic, race, or go on.
func testCloseWhileInUse(k *kit) {
	k.put("s", recs(50)...)
	calls := append(k.calls(),
		call{"a Commit of its own", func(ctx context.Context) error {
			_, err := put(ctx, k.s, "own", rec("x"))
			return err
		}},
		call{"Drop of what others make", func(ctx context.Context) error { return Drop(ctx, k.s, "own") }},
	)
	if k.ab.Reverse {
		calls = append(calls, k.back())
	}
	u := &users{kit: k, began: make(chan struct{}, len(calls)+1), ended: make(chan error, len(calls)+1)}
	for _, c := range calls {
		go u.use(c) // the test's, which waits for it in await; it ends by Close
	}
	go func() { // likewise
		u.began <- struct{}{}
		u.ended <- followBatches(k.ctx, k.s, 0, func(store.Batch) bool { return true })
	}()
	for range len(calls) + 1 {
		<-u.began
	}
	k.ok(k.s.Close())
	u.closed.Store(true)
	for range len(calls) + 1 {
		k.code("in use while it was closed", k.await("a call while the store is closed", u.ended), leat.CodeUnavailable)
	}
}

// users are goroutines that use a store until it is closed.
type users struct {
	*kit
	closed atomic.Bool
	began  chan struct{}
	ended  chan error
}

func (u *users) use(c call) {
	for i := 0; ; i++ {
		closed := u.closed.Load()
		err := c.do(u.ctx)
		if err == nil && closed {
			err = errors.New("it succeeds after Close")
		}
		if i == 0 {
			u.began <- struct{}{}
		}
		if err != nil {
			u.ended <- fmt.Errorf("%s: %w", c.name, err)
			return
		}
	}
}
