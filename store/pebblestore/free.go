package pebblestore

import (
	"time"

	"github.com/leat-dev/leat"
)

// While so much more than Options.MinFree is free, a Commit does not ask again for so
// long. Only who reserves space instead of writing uses it up faster, and then commits go
// on for that moment.
const (
	plentyOfRoom = 2 << 30
	plentyFor    = 100 * time.Millisecond
)

// mayGrow is roomy for a Commit, of which there may be thousands in a second.
func (s *Store) mayGrow() error {
	if int64(time.Since(s.began)) < s.plenty.Load() {
		return nil
	}
	return s.roomy()
}

// roomy returns nil while Options.MinFree bytes are free on the file system, or
// if that does not say how many are. It asks: others fill a disk too.
func (s *Store) roomy() error {
	least := uint64(max(0, s.options.MinFree))
	if least == 0 {
		return nil
	}
	now := time.Since(s.began)
	usage, err := s.guard.GetDiskUsage(s.dir)
	switch {
	case err != nil:
		return nil
	case usage.AvailBytes >= least+plentyOfRoom:
		s.plenty.Store(int64(now + plentyFor))
		return nil
	}
	s.plenty.Store(0)
	if usage.AvailBytes >= least {
		return nil
	}
	return leat.Errorf(leat.CodeStoreFull, "the store in %s takes no writes for now: %d bytes are free on its file system and %d are to stay free",
		s.dir, usage.AvailBytes, least).
		Advise("Free disk space, or start with a smaller --min-free.")
}
