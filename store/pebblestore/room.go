package pebblestore

import "sync/atomic"

// A room holds up commits while compaction cannot keep pace: with every fresh
// table that overlaps others, reads become slower. Pebble would do that
// itself, inside its commit lock; here a failure or Close ends the wait.
type room struct {
	changed atomic.Bool
	poked   chan struct{} // of capacity 1
}

// poke says that a flush or a compaction has ended. It does not block.
func (r *room) poke() {
	r.changed.Store(true)
	select {
	case r.poked <- struct{}{}:
	default:
	}
}

// waitForRoom returns when the next group may be applied. It looks at the
// tables only after they have changed.
//
// A poke between the look and the wait is not lost: it stays in the channel.
func (s *Store) waitForRoom() {
	if !s.room.changed.Swap(false) {
		return
	}
	for s.db.Metrics().Levels[0].Sublevels >= int32(s.options.l0Limit) {
		select {
		case <-s.room.poked:
		case <-s.failed:
			return
		case <-s.closing:
			return
		}
	}
}
