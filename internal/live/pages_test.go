package live

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// stepping is a store in which a read comes one position far, and something is
// removed before each.
type stepping struct {
	store.Store
	head, order, reads atomic.Uint64
}

func (s *stepping) Head() uint64 { return s.head.Load() }

func (s *stepping) ReadLog(_ context.Context, _ *leat.Filter, after, _ uint64, _ int) (store.Batch, error) {
	s.reads.Add(1)
	return store.Batch{Next: after + 1, Order: s.order.Add(1)}, nil
}

func (s *stepping) Removed(context.Context, *leat.Filter, uint64, uint64, uint64) ([]store.Removed, error) {
	return nil, nil
}

// Pages without frames count towards no bound. A filter that matches little of
// a long log does not gather them, whatever is removed meanwhile.
func TestPagesOfNothingAreBounded(t *testing.T) {
	const head = 5 * somePages
	st := &stepping{Store: memstore.New(memstore.Options{})}
	st.head.Store(head)
	l := New(st, render.NewCache(0), Options{})
	defer l.Close()
	f, err := leat.ParseFilter("a")
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan struct{}, 1)
	r := l.join(f, render.SSE, Start{}, ring(woken))
	defer r.Close()
	var out frame.Ranges
	for r.Peek(&out, 1) == Idle && r.After() < head {
		r.feed.mu.Lock()
		n := len(r.feed.pages)
		r.feed.mu.Unlock()
		if n > somePages {
			t.Fatalf("%d pages are kept", n)
		}
		<-woken
	}
	if n := st.reads.Load(); n != head {
		t.Errorf("%d reads for a log of %d", n, head)
	}
}

// ring is a Waker that remembers one ring.
type ring chan struct{}

func (r ring) Wake() {
	select {
	case r <- struct{}{}:
	default:
	}
}
