package store

import "time"

// Times say how long something took that happens again and again.
type Times struct {
	Count int64
	Sum   time.Duration

	// UpTo counts those that took no longer than a time: all of these, from the
	// shortest bound on. What took longer than the last is in Count alone.
	UpTo []TimesUpTo
}

// TimesUpTo is the number of times that were no longer than Bound.
type TimesUpTo struct {
	Bound time.Duration
	Count int64
}

// A Syncer is a Store that waits for a disk, and can tell for how long. A driver need
// not be one.
type Syncer interface {
	// SyncTimes says how long the syncs took that commits waited for, since the store
	// was opened.
	SyncTimes() Times
}
