package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
)

// partial is what the name of a directory ends with while a backup is being written to
// it. One that lacks its logs would open, and miss the newest records without a word; so
// it has its own name only when it is whole.
const partial = ".partial"

// Backup implements store.Backuper. What it makes is a directory to Open. Tables, which
// never change, are linked where the file system can do that, else copied; the rest is a
// few logs, of up to 16 MiB each, and a list of the tables.
//
// While it is under way nothing is removed from the directory of the store. Close ends it.
func (s *Store) Backup(ctx context.Context, dir string) error {
	if err := s.alive(); err != nil {
		return err
	}
	if !s.backing.TryLock() {
		return leat.Errorf(leat.CodeConflict, "another backup of the store in %s is under way", s.dir).
			Advise("Wait for its end and repeat this one.")
	}
	defer s.backing.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed()
	}
	s.reads.Add(1)
	s.mu.Unlock()
	defer s.reads.Done()

	c := &copying{ctx: ctx, closing: s.closing, fs: s.options.FS, dir: filepath.Clean(dir), least: s.options.MinFree}
	if err := s.prepare(c); err != nil {
		return err
	}
	s.guard.copying.Store(c)
	defer s.guard.copying.Store(nil)
	err := s.checkpoint(c.dir + partial)
	if err == nil {
		err = s.alive() // what Pebble believes in after a failure is not what the disk has
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		_ = c.fs.RemoveAll(c.dir + partial)
	}
	return c.failed(err)
}

// prepare refuses a directory that a backup cannot be written to.
func (s *Store) prepare(c *copying) error {
	own, err1 := filepath.Abs(s.dir)
	there, err2 := filepath.Abs(c.dir)
	if err := errors.Join(err1, err2); err != nil {
		return c.failed(err)
	}
	if inside(there, own) {
		return leat.Errorf(leat.CodeInvalidParameter, "%s is in the directory of the store itself", c.dir).
			Advise("Name a directory beside it.")
	}
	switch names, err := c.fs.List(c.dir); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return leat.Errorf(leat.CodeInvalidParameter, "cannot write a backup to %s: %w", c.dir, err).
			Advise("Name a directory that does not exist yet.")
	case len(names) > 0:
		return leat.Errorf(leat.CodeExists, "%s is not empty", c.dir).
			Advise("Name a directory that is empty, or does not exist yet.")
	}
	if _, err := c.fs.Stat(c.dir + partial); err == nil {
		return leat.Errorf(leat.CodeExists, "%s is there, from a backup that was not finished", c.dir+partial).
			Advise("Remove it, or name another directory.")
	}
	return nil
}

// inside reports whether a path is another one or below it.
func inside(path, other string) bool {
	return path == other || strings.HasPrefix(path, strings.TrimSuffix(other, string(filepath.Separator))+string(filepath.Separator))
}

// checkpoint has Pebble write a copy, on a goroutine of its own, which it joins unless
// Pebble gets stuck.
func (s *Store) checkpoint(dir string) error {
	done := make(chan error, 1)
	go func() { // owned by checkpoint; ends with Pebble's Checkpoint
		defer func() {
			if p := recover(); p != nil {
				s.halt(fmt.Errorf("panic: %v", p)) // with Pebble's locks held, perhaps
				done <- s.failure.Load()
			}
		}()
		done <- s.db.Checkpoint(dir)
	}()
	select {
	case err := <-done:
		return err
	case <-s.stuck:
		return s.failure.Load()
	}
}

// A copying is a backup under way: where it is written to. What happens there is no
// failure of the store.
type copying struct {
	ctx     context.Context
	closing <-chan struct{}
	fs      vfs.FS
	dir     string
	least   int64 // Options.MinFree
	written atomic.Int64

	unsynced atomic.Pointer[error] // the first failure of syncing a directory
}

// has reports whether a path is the backup's, or a parent of it, which Pebble makes and syncs.
func (c *copying) has(name string) bool {
	return c != nil && (inside(name, c.dir+partial) || inside(c.dir, name))
}

// roomStep is how much a backup writes between two looks at what is free.
const roomStep = 16 << 20

// allow returns an error if the backup should not write n bytes more. It leaves what the
// store wants to stay free, or a backup to its own disk could end its writes.
func (c *copying) allow(n int) error {
	select {
	case <-c.closing:
		return errClosed()
	default:
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	written := c.written.Add(int64(n))
	if c.least <= 0 || written/roomStep == (written-int64(n))/roomStep && written != int64(n) {
		return nil
	}
	usage, err := c.fs.GetDiskUsage(c.fs.PathDir(c.dir))
	if err != nil || usage.AvailBytes >= uint64(c.least) {
		return nil
	}
	return leat.Errorf(leat.CodeStoreFull, "there is no room for the backup: %d bytes are free where %s is, and %d are to stay free",
		usage.AvailBytes, c.dir, c.least).Advise("Free disk space, or name a directory on another disk.")
}

// finish gives the backup its name.
func (c *copying) finish() error {
	if err := c.unsynced.Load(); err != nil {
		return *err
	}
	if err := c.allow(0); err != nil {
		return err
	}
	if _, err := c.fs.Stat(c.dir); err == nil {
		if err := c.fs.Remove(c.dir); err != nil { // it is empty, or this fails
			return err
		}
	}
	if err := c.fs.Rename(c.dir+partial, c.dir); err != nil {
		return err
	}
	parent, err := c.fs.OpenDir(c.fs.PathDir(c.dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// failed makes an error of one that ended the backup.
func (c *copying) failed(err error) error {
	var already *leat.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &already):
		return err
	case isFull(err):
		return leat.Errorf(leat.CodeStoreFull, "there is no room for the backup in %s: %w", c.dir, err).
			Advise("Free disk space, or name a directory on another disk. The store goes on, and nothing is left of the backup.")
	}
	return leat.Errorf(leat.CodeInvalidParameter, "the backup to %s failed: %w", c.dir, err).
		Advise("Name a directory that the server may write, or one on another disk. The store goes on, and nothing is left of the backup.")
}

// A copyFile is a file of a backup.
type copyFile struct {
	vfs.File
	copying *copying
}

func (f *copyFile) Write(p []byte) (int, error) {
	if err := f.copying.allow(len(p)); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// A copyDir is a directory of a backup. Pebble panics if one cannot be synced.
type copyDir struct {
	vfs.File
	copying *copying
}

func (d *copyDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.copying.unsynced.CompareAndSwap(nil, &err)
	}
	return nil
}

// A logReader reads of a log, while it is being written, what is in it for good. A copy of
// more could have a hole: the reader comes by a place that is not written yet, and later by
// what was written behind it meanwhile.
type logReader struct {
	vfs.File
	left int64
}

func (r *logReader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}
