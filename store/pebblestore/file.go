package pebblestore

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A file is a file or directory of the real file system that a guard has
// opened for writing. Pebble uses it on one goroutine at a time.
type file struct {
	vfs.File
	guard *guard
	name  string
	kind  fileKind

	// For logs only.
	written int64   // bytes so far
	synced  int64   // of those, when the last sync began
	length  int64   // of the file, as far as it is known
	blocks  *blocks // what is held back until it is synced; nil: nothing is
	direct  bool    // blocks go past the page cache

	durable atomic.Int64 // for logs: as many bytes stay, in the class of the store
}

// newFile returns what Pebble sees of a file that was opened for writing.
//
// In class disk a log is written when it is synced, in whole blocks, and past the page
// cache where the file system can do that: nobody reads a log before the next start, and
// to write a page of the cache back takes longer than to write a block.
func (g *guard) newFile(f vfs.File, name string) *file {
	made := &file{File: f, guard: g, name: name, kind: kindOf(name)}
	if made.kind == fileLog {
		g.mu.Lock()
		g.logs[name] = made
		g.mu.Unlock()
	}
	if made.kind == fileLog && g.direct {
		made.blocks = newBlocks()
		made.direct = f.Fd() != vfs.InvalidFd && setDirect(f.Fd(), true)
	}
	return made
}

// ahead is how far a log is made longer than it is, with zeros.
const ahead = 256 << 10

var zeros = aligned(make([]byte, ahead+block))

// extend makes a log longer when it has been written to its end. A sync after a
// write into a part that the file has already, as in a log that Pebble uses again,
// writes that part and no more; if the file has become longer by it, or a part that
// was only reserved has got its first content, the system must write down that too,
// on most file systems with a second write and flush. Zeros are what Pebble expects
// behind the end of a log. That there is no room for them is no failure: what is
// written next fails if there is none for it either. Where each sync is behind much,
// the zeros would be more work than what they save.
func (f *file) extend() {
	if f.written < f.length {
		return
	}
	if f.written-f.synced > ahead/8 {
		return
	}
	from := (f.written + block - 1) &^ (block - 1)
	_, _ = f.File.WriteAt(zeros, from)
	f.length = from + ahead
}

// try is guard.try for an operation of f. It returns what Pebble is told.
func (f *file) try(what string, op func() error) error {
	if !f.guard.try(what, f.name, op) && f.kind == fileTable {
		return errFrozen
	}
	return nil
}

func (f *file) Write(p []byte) (int, error) {
	err := f.try("writing", func() error {
		if f.kind == fileLog {
			if f.guard.relaxed.Load() {
				disclaim(p, f.written)
			}
			f.written += int64(len(p))
		}
		if f.blocks != nil {
			err := f.blocks.add(p, f.flush)
			f.extend()
			return err
		}
		_, err := f.File.Write(p)
		switch {
		case f.kind != fileLog || err != nil:
		case f.guard.relaxed.Load():
			f.durable.Store(f.written)
		default:
			f.extend()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	err := f.try("writing", func() error {
		_, err := f.File.WriteAt(p, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes what is held back. A file system may take the flag of direct writes and
// refuse them all the same, or want larger blocks; then they go through the page cache.
func (f *file) flush() error {
	if f.blocks == nil {
		return nil
	}
	err := f.blocks.flush(f.File)
	if f.direct && (errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)) {
		f.direct = false
		setDirect(f.Fd(), false)
		err = f.blocks.flush(f.File)
	}
	return err
}

func (f *file) Sync() error { return f.sync(f.File.Sync) }

func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

// sync is where class os differs: a commit asks Pebble for a sync all the
// same, because without one Pebble leaves up to 32 KiB of the log in the
// memory of the process until more comes. Asked for a sync it writes them
// first and calls sync only then.
func (f *file) sync(op func() error) error {
	if f.kind == fileLog {
		if f.guard.relaxed.Load() {
			return nil
		}
		defer f.guard.synced(time.Now())
		_ = f.try("writing", f.flush) // if it fails, so does the next
		f.synced = f.written
	}
	return f.try("syncing", func() error {
		err := op()
		if err == nil {
			f.durable.Store(f.synced)
		}
		return err
	})
}

// synced counts the sync of a log.
func (g *guard) synced(began time.Time) {
	took := time.Since(began)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.syncs.Add(took)
}

// SyncTo only asks the system to begin: in class os too.
func (f *file) SyncTo(length int64) (bool, error) {
	full := false
	err := f.try("syncing", func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close syncs a log that was not synced while it was written. Pebble closes a
// log before it makes the next one and treats a torn end of any but the last
// as damage; so in class os too, only the last may have one.
func (f *file) Close() error {
	if f.kind == fileLog && f.guard.relaxed.Load() {
		_ = f.try("syncing", f.File.SyncData)
	}
	if f.kind == fileLog {
		_ = f.try("writing", f.flush) // nothing, if it was synced
	}
	if f.kind == fileLog {
		f.guard.mu.Lock()
		delete(f.guard.logs, f.name)
		f.guard.mu.Unlock()
	}
	err := f.File.Close()
	if err != nil {
		f.guard.fail("closing "+f.guard.PathBase(f.name), err)
	}
	if f.kind != fileTable {
		return nil
	}
	return err
}
