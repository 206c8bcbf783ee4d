package live

import (
	"slices"

	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store"
)

// readBatch reads what follows a position in a feed: of a fork what it inherits,
// then what passes the filter.
func (l *Live) readBatch(w want) (store.Batch, error) {
	of := w.feed.lineage
	if w.after >= of.Through() {
		return l.store.ReadLog(l.ctx, w.feed.filter, w.after, w.upTo, l.pageBytes)
	}
	b, err := of.Read(l.ctx, l.store, w.after, w.upTo, l.pageBytes)
	if err != nil {
		return b, err
	}
	// What is inherited stays until the fork loses its own first record, or
	// goes. A store that lags may not know of the fork yet.
	info, err := l.store.Stream(l.ctx, of.Name)
	switch {
	case err != nil:
		return b, err
	case info.ID > of.ID, info.ID == of.ID && info.Trimmed > 0:
	case info.Version == 0 && l.store.Abilities().ReadAfterWrite:
	default:
		return b, nil
	}
	// The removal that took it is to be among those that the batch shows.
	now, err := l.store.ReadStream(l.ctx, of.Name, b.Next, b.Next, 1)
	b.Records, b.Order = nil, now.Order
	return b, err
}

// owed returns the removals that the readers of a feed are to be told of: all but
// those of an earlier stream of a fork's name. Every offset that the fork inherits is
// smaller than those, and who comes with one has lost nothing.
func owed(of *journal.Lineage, removed []store.Removed) []store.Removed {
	if of == nil {
		return removed
	}
	return slices.DeleteFunc(removed, func(rm store.Removed) bool { return rm.Dropped && rm.Through < of.ID })
}
