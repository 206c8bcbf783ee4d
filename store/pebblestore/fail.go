package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
)

func errClosed() *leat.Error {
	return leat.Errorf(leat.CodeUnavailable, "the store is closed")
}

// failureOf returns the error that every Commit gets after what has failed,
// or, before Open is over, the one that Open returns.
func (s *Store) failureOf(what string, err error) *leat.Error {
	code, cause, advice := leat.CodeStoreFailed, "failed", "Check the disk and the system's log"
	if isFull(err) {
		code, cause, advice = leat.CodeStoreFull, "found no room", "Free disk space or raise the quota"
	}
	if !s.opened.Load() {
		return leat.Errorf(code, "cannot open the store in %s: %s %s: %w", s.dir, what, cause, err).
			Advise(advice + ", then try again. Nothing was deleted.")
	}
	return leat.Errorf(code, "the store in %s takes no more writes: %s %s: %w", s.dir, what, cause, err).
		Advise(advice + ", then start the server again. What was acknowledged is safe, and reading goes on meanwhile.")
}

// fail marks the store as failed. It is called once, by the guard, possibly
// with Pebble's mutex held. The guard freezes when it has returned, so that
// whoever finds the guard frozen finds the reason too.
func (s *Store) fail(what string, err error) {
	failure := s.failureOf(what, err)
	s.failure.Store(failure)
	close(s.failed)
	if s.opened.Load() { // else the error of Open says it
		s.options.Logger.Error(failure.Detail, "dir", s.dir, "code", string(failure.Code), "advice", failure.Advice)
	}
}

// wrap makes err an error of this package, for a call that could not be done.
// Errors of contexts and *leat.Error stay as they are.
func (s *Store) wrap(doing string, err error) error {
	var already *leat.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &already):
		return err
	case pebble.IsCorruptionError(err), errors.Is(err, errDamaged):
		return leat.Errorf(leat.CodeInternal, "%s: data stored in %s is damaged: %w", doing, s.dir, err).
			Advise("Nothing was deleted. Check the disk and restore the directory from a backup.")
	case errors.Is(err, errNewer):
		return leat.Errorf(leat.CodeInternal, "%s: %w", doing, err).
			Advise("Use the version of Leat that wrote the directory, or a newer one.")
	}
	return leat.Errorf(leat.CodeInternal, "%s in %s: %w", doing, s.dir, err)
}

func isFull(err error) bool {
	return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// damaged is told by Pebble when a block that it reads is damaged. The read
// fails with an error of its own; here is the one line for people.
func (s *Store) damaged(info pebble.DataCorruptionInfo) {
	if _, known := s.damages.LoadOrStore(info.Path, struct{}{}); known {
		return
	}
	s.options.Logger.Error("a file of the store is damaged: reads of what is in its damaged part fail, nothing was deleted",
		"dir", s.dir, "file", info.Path, "cause", info.Details,
		"advice", "Check the disk and restore the directory from a backup.")
}

// A pebbleLogger is what Pebble logs to.
type pebbleLogger struct{ s *Store }

func (pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.options.Logger.Error(fmt.Sprintf(format, args...), "dir", l.s.dir)
}

// Fatalf must not return, since Pebble's state is not to be trusted behind
// it, and must not end the process, which has more to do than this store. So
// the calling goroutine stops here, for good, with whatever locks it has.
// The guard keeps Pebble from getting here because of a file that fails; what
// is left are faults of Pebble's own.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.halt(fmt.Errorf(format, args...))
	select {}
}

// halt marks the store as failed and Pebble as unusable for changes: whoever
// waits for it stops waiting.
func (s *Store) halt(err error) {
	s.guard.fail("the storage engine", err)
	s.stuckOnce.Do(func() { close(s.stuck) })
}
