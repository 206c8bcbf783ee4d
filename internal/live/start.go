package live

import (
	"context"
	"math"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store"
)

// Now is the start of a reader that wants what is committed from now on.
func (l *Live) Now() Start { return Start{After: l.store.Head()} }

// Beginning is the start of a reader that wants all there is. While memory has it,
// that is also what was removed from streams that a pattern matches.
func (l *Live) Beginning() Start { return Start{} }

// First is Beginning without what was removed, for a filter that has no pattern:
// who reads a stream from its start gets nothing of an earlier one of that name.
// With patterns it is Beginning. Of those all removals that there ever were would
// have to be looked at.
func (l *Live) First(ctx context.Context, f *leat.Filter, of *journal.Lineage) (Start, error) {
	if len(f.Patterns()) > 0 {
		return l.Beginning(), nil
	}
	return l.fresh(ctx, f, of, func() (uint64, error) { return 0, nil })
}

// Last is the start of a reader that wants the newest n records first.
func (l *Live) Last(ctx context.Context, f *leat.Filter, of *journal.Lineage, n int) (Start, error) {
	return l.fresh(ctx, f, of, func() (uint64, error) {
		if of == nil {
			return l.store.Back(ctx, f, 0, n)
		}
		return of.Back(ctx, l.store, f, n)
	})
}

// Since is the start of a reader that wants the records from a time on.
func (l *Live) Since(ctx context.Context, f *leat.Filter, of *journal.Lineage, t time.Time) (Start, error) {
	return l.fresh(ctx, f, of, func() (uint64, error) { return l.store.At(ctx, t) })
}

// fresh is the start of a reader that does not resume: of what was removed
// before it came it is owed nothing, and it gets nothing either, although
// memory may still have it.
func (l *Live) fresh(ctx context.Context, f *leat.Filter, of *journal.Lineage, find func() (uint64, error)) (Start, error) {
	head := l.store.Head()
	b, err := l.store.ReadLog(ctx, f, head, head, 1) // for its Order
	if err != nil {
		return Start{}, err
	}
	start := Start{Told: b.Order, Lineage: of}
	if start.After, err = find(); err != nil || b.Order == 0 {
		return start, err
	}
	removed, err := l.store.Removed(ctx, f, start.After, 0, b.Order)
	start.floor = newRemovals(start.After, b.Order, owed(of, removed)).floor
	return start, err
}

// Resume is the start of a reader that was given everything up to an offset, of
// what a fork inherits too if there is a lineage.
// The loss says whether the offset could not be used as it was.
func (l *Live) Resume(o leat.Offset, of *journal.Lineage) (Start, store.Loss) {
	after, loss := l.epochs.Resolve(o, l.store.Head())
	return Start{After: after, Lineage: of}, loss
}

// Offset returns the offset of a position.
func (l *Live) Offset(seq uint64) leat.Offset { return l.epochs.Offset(seq) }

// Missing returns what the filter has lost after a position, nil if nothing.
func (l *Live) Missing(ctx context.Context, f *leat.Filter, of *journal.Lineage, after uint64) (*Missing, error) {
	if after == 0 {
		return nil, nil
	}
	removed, err := l.store.Removed(ctx, f, after, 0, math.MaxUint64)
	if removed = owed(of, removed); err != nil || len(removed) == 0 {
		return nil, err
	}
	return newRemovals(after, 0, removed).missing(after, 0), nil
}
