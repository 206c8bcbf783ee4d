package live

import (
	"slices"

	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store"
)

// readBatch reads what follows a position in a feed: of a fork what it inherits,
// then what passes the filter.
func (l *Live) readBatch(w want) (store.Batch, error) {
	if of := w.feed.lineage; w.after < of.Through() {
		return of.Read(l.ctx, l.store, w.after, w.upTo, w.bytes)
	}
	return l.store.ReadLog(l.ctx, w.feed.filter, w.after, w.upTo, w.bytes)
}

// disinherit takes out of a page what a fork no longer has. What is inherited stays
// until the fork loses its own first record: the oldest go first. Then its readers are
// told of that, and get nothing of what was before.
func (p *page) disinherit(of *journal.Lineage, b *store.Batch) {
	if p.after < of.Through() && p.lost != nil && p.lost.floor > 0 {
		b.Records = nil
	}
}

// owed returns the removals that the readers of a feed are to be told of: all but
// those of an earlier stream of a fork's name. Every offset that the fork inherits is
// smaller than those, and who comes with one has lost nothing.
func owed(of *journal.Lineage, removed []store.Removed) []store.Removed {
	if of == nil {
		return removed
	}
	return slices.DeleteFunc(removed, func(rm store.Removed) bool { return rm.Through < of.ID })
}
