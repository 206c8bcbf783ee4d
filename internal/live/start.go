package live

import (
	"context"
	"math"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Now is the start of a reader that wants what is committed from now on.
func (l *Live) Now() Start { return Start{After: l.store.Head()} }

// Beginning is the start of a reader that wants all there is.
func (l *Live) Beginning() Start { return Start{} }

// Last is the start of a reader that wants the newest n records first.
func (l *Live) Last(ctx context.Context, f *leat.Filter, n int) (Start, error) {
	order, err := l.order(ctx, f)
	if err != nil {
		return Start{}, err
	}
	after, err := l.store.Back(ctx, f, 0, n)
	return Start{After: after, Told: order}, err
}

// Since is the start of a reader that wants the records from a time on.
func (l *Live) Since(ctx context.Context, f *leat.Filter, t time.Time) (Start, error) {
	order, err := l.order(ctx, f)
	if err != nil {
		return Start{}, err
	}
	after, err := l.store.At(ctx, t)
	return Start{After: after, Told: order}, err
}

// order returns the number of removals so far: a reader that does not resume
// is owed none of what they removed.
func (l *Live) order(ctx context.Context, f *leat.Filter) (uint64, error) {
	head := l.store.Head()
	b, err := l.store.ReadLog(ctx, f, head, head, 1)
	return b.Order, err
}

// Resume is the start of a reader that was given everything up to an offset.
// The loss says whether the offset could not be used as it was.
func (l *Live) Resume(o leat.Offset) (Start, store.Loss) {
	after, loss := l.epochs.Resolve(o, l.store.Head())
	return Start{After: after}, loss
}

// Offset returns the offset of a position.
func (l *Live) Offset(seq uint64) leat.Offset { return l.epochs.Offset(seq) }

// Missing returns what the filter has lost after a position, nil if nothing.
func (l *Live) Missing(ctx context.Context, f *leat.Filter, after uint64) (*Missing, error) {
	if after == 0 {
		return nil, nil
	}
	removed, err := l.store.Removed(ctx, f, after, 0, math.MaxUint64)
	if err != nil || len(removed) == 0 {
		return nil, err
	}
	var p page
	p.setRemoved(removed)
	return &Missing{Removed: p.removed, More: p.more}, nil
}
