package live

import (
	"cmp"
	"slices"

	"github.com/leat-dev/leat/store"
)

// maxRemoved bounds how many streams a gap names.
const maxRemoved = 16

// A Missing says what a reader was owed and will not get. Reading goes on at
// its position.
type Missing struct {
	// Removed are streams that have lost records after the position, the
	// last removal first, at most 16. More says how many further ones there
	// are; it may say a few too many.
	Removed []store.Removed
	More    int

	// Skipped says that nothing else is missing than what the reader was too slow
	// for: the records after From, up to Through, are passed over.
	Skipped       bool
	From, Through uint64
}

// A removals is what a filter has lost after a position: as much of it as it
// takes to tell any reader from there on the truth. It is immutable, and shared
// by the pages between which nothing was removed.
type removals struct {
	after  uint64          // the position
	order  uint64          // the removals that the batch it was read for shows, by their number
	newest uint64          // the last removal in it, or order
	list   []store.Removed // the last removal first
	others int             // how many streams are not in the list
	other  uint64          // the last removal of one of these
	reach  uint64          // the last record that one of these has lost
	floor  uint64          // the last record of all that were removed
}

// newRemovals keeps of what was removed after a position the last ones, and the
// others only if they reach further than all that came after them: a pattern
// may match any number of streams. Whatever is left out is covered, for a
// reader at any position that was told of anything, by something in the list
// that was removed later and reaches at least as far.
func newRemovals(after, order uint64, removed []store.Removed) *removals {
	slices.SortFunc(removed, func(a, b store.Removed) int { return cmp.Compare(b.Order, a.Order) })
	rs := &removals{after: after, order: order, newest: order}
	for _, rm := range removed {
		switch {
		case rs.lists(rm): // a stream that was there before one of its name
		case len(rs.list) < maxRemoved || rm.Through > rs.floor:
			rs.list = append(rs.list, rm)
		default:
			rs.others++
			rs.other, rs.reach = max(rs.other, rm.Order), max(rs.reach, rm.Through)
		}
		rs.floor = max(rs.floor, rm.Through)
		rs.newest = max(rs.newest, rm.Order) // a store may tell of more than it was asked
	}
	return rs
}

// lists reports whether the list has a later removal of the same kind from a stream
// of that name, which reaches at least as far.
func (rs *removals) lists(rm store.Removed) bool {
	return slices.ContainsFunc(rs.list, func(later store.Removed) bool {
		return later.Stream == rm.Stream && later.Dropped == rm.Dropped && later.Through >= rm.Through
	})
}

// covers reports whether rs is also what was lost after a position, with the
// removals up to an order. It may be nil.
func (rs *removals) covers(after, order uint64) bool {
	return rs != nil && rs.order == order && rs.after <= after
}

// missing returns what a reader at a position has lost that was told of the
// removals up to since; nil if nothing.
func (rs *removals) missing(after, since uint64) *Missing {
	m, listed := &Missing{}, uint64(0)
	for _, rm := range rs.list {
		if rm.Order <= since {
			break
		}
		listed++
		switch {
		case rm.Through <= after:
		case len(m.Removed) < maxRemoved:
			m.Removed = append(m.Removed, rm)
		default:
			m.More++
		}
	}
	if m.Removed == nil {
		return nil
	}
	if rs.other > since && rs.reach > after {
		// Of the others some may have been told. There are no more new
		// ones than there were removals.
		m.More += int(min(uint64(rs.others), rs.newest-since-listed))
	}
	return m
}
