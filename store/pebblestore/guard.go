package pebblestore

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat/internal/tally"
)

// A guard is the file system that Pebble sees. It does three things.
//
// It freezes. Pebble cannot live with a log or a manifest that fails: it
// panics with its commit lock held, or asks for the end of the process. So
// the first failure of anything that changes the directory is kept, and from
// then on nothing changes there any more. Pebble is told that all is well
// where it would otherwise break, and goes on from memory:
//
//   - Writes and syncs of logs, manifests, markers and directories, removals
//     and renames succeed without doing anything. Removals above all: Pebble
//     removes what the manifest it believes in no longer needs, and that
//     manifest is not the one on disk.
//   - A table is a file that Pebble reads again, so writing one fails. It
//     tries the flush again with a new file, and new files are made in limbo,
//     a file system in memory, where the flush succeeds. That is little: the
//     store takes no more commits. Compactions fail, and the scheduler starts
//     no others.
//
// Nobody is deceived by this: before anything is acknowledged or becomes
// visible, the committer asks whether the guard is frozen. The directory
// stays as a crash would have left it at the moment of the failure, which is
// what opening it again recovers from.
//
// It knows the durability class: see file.sync. It notices a held lock. What a backup
// writes is outside of all this, and of the logs that are being written it reads what is
// durable: see backup.go.
type guard struct {
	// Static after construction.
	vfs.FS
	direct bool                         // logs go past the page cache
	onFail func(what string, err error) // called once, before anything is frozen
	limbo  *vfs.MemFS

	once     sync.Once
	frozen   atomic.Bool // a failure has happened; set by fail and never cleared
	relaxed  atomic.Bool // class os, and the opening is over: logs are not synced
	lockHeld atomic.Bool // Lock has failed

	copying atomic.Pointer[copying] // the backup under way, nil if there is none

	mu    sync.Mutex
	syncs tally.Times      // of logs
	logs  map[string]*file // that are being written
}

var errFrozen = errors.New("the store has failed before")

func newGuard(real vfs.FS, direct bool, onFail func(what string, err error)) *guard {
	return &guard{FS: real, direct: direct, onFail: onFail, limbo: vfs.NewMem(), logs: make(map[string]*file)}
}

// fail freezes the directory if this is the first failure. When it returns
// the directory is frozen and onFail has returned, whoever was first.
func (g *guard) fail(what string, err error) {
	g.once.Do(func() {
		g.onFail(what, err)
		g.frozen.Store(true)
	})
}

// try runs an operation on the real file system that changes the directory.
// It reports whether it succeeded; if not, the guard is frozen.
func (g *guard) try(what, name string, op func() error) bool {
	if g.frozen.Load() {
		return false
	}
	if err := op(); err != nil {
		g.fail(what+" "+g.PathBase(name), err)
		return false
	}
	return true
}

// divert makes a new file when none can be made in the directory.
func (g *guard) divert(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if kindOf(name) == fileTable && category != "pebble-memtable-flush" {
		return nil, errFrozen
	}
	if err := g.limbo.MkdirAll(g.limbo.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return g.limbo.Create(name, category)
}

// place returns the file system that holds a file.
func (g *guard) place(name string) vfs.FS {
	if g.frozen.Load() {
		if _, err := g.limbo.Stat(name); err == nil {
			return g.limbo
		}
	}
	return g.FS
}

func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if c := g.copying.Load(); c.has(name) {
		f, err := g.FS.Create(name, category)
		if err != nil {
			return nil, err
		}
		return &copyFile{f, c}, nil
	}
	var f vfs.File
	ok := g.try("creating", name, func() (err error) {
		f, err = g.FS.Create(name, category)
		return err
	})
	if !ok {
		return g.divert(name, category)
	}
	return g.newFile(f, name), nil
}

func (g *guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	var f vfs.File
	ok := g.try("reusing", oldname, func() (err error) {
		f, err = g.FS.ReuseForWrite(oldname, newname, category)
		return err
	})
	if !ok {
		return g.divert(newname, category)
	}
	reused := g.newFile(f, newname)
	if info, err := f.Stat(); err == nil {
		reused.length = info.Size()
	}
	return reused, nil
}

func (g *guard) Rename(oldname, newname string) error {
	if g.copying.Load().has(newname) {
		return g.FS.Rename(oldname, newname)
	}
	if fs := g.place(oldname); fs == g.limbo {
		return fs.Rename(oldname, newname)
	}
	g.try("renaming", oldname, func() error { return g.FS.Rename(oldname, newname) })
	return nil
}

// Remove passes errors on: a file that cannot be removed is only garbage.
func (g *guard) Remove(name string) error {
	switch fs := g.place(name); {
	case g.copying.Load().has(name):
	case fs == g.limbo:
		return fs.Remove(name)
	case g.frozen.Load():
		return nil
	}
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if g.frozen.Load() && !g.copying.Load().has(name) {
		return nil
	}
	return g.FS.RemoveAll(name)
}

// MkdirAll makes directories that are their owner's alone, whatever Pebble
// asks for: what publishers send is nobody else's on the machine.
func (g *guard) MkdirAll(dir string, _ os.FileMode) error {
	if g.copying.Load().has(dir) {
		return g.FS.MkdirAll(dir, 0o700)
	}
	g.try("creating the directory", dir, func() error { return g.FS.MkdirAll(dir, 0o700) })
	return nil
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	if c := g.copying.Load(); c.has(name) {
		return &copyDir{f, c}, nil
	}
	return &file{File: f, guard: g, name: name, kind: fileOther}, nil
}

func (g *guard) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if len(opts) == 1 && opts[0] == vfs.RandomReadsOption {
		opts = nil // see readahead
	}
	// Asked before the file is opened: one that is closed in between is whole.
	g.mu.Lock()
	log := g.logs[name]
	g.mu.Unlock()
	f, err := g.place(name).Open(name, opts...)
	if log == nil || err != nil {
		return f, err
	}
	return &logReader{f, log.durable.Load()}, nil
}

func (g *guard) Stat(name string) (vfs.FileInfo, error) { return g.place(name).Stat(name) }

func (g *guard) Lock(name string) (io.Closer, error) {
	c, err := g.FS.Lock(name)
	// A lock file that cannot be made is an error with a path; what is left
	// is the answer that the lock is held.
	if path := (*fs.PathError)(nil); err != nil && !errors.As(err, &path) {
		g.lockHeld.Store(true)
	}
	return c, err
}

// GetDiskUsage must not fail: Pebble uses it to pace deletions and takes an
// error for a failure of background work.
func (g *guard) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := g.FS.GetDiskUsage(path)
	if err != nil {
		return u, vfs.ErrUnsupported
	}
	return u, nil
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// The kinds of files that are treated differently.
type fileKind int

const (
	fileOther fileKind = iota // manifests, markers, options, directories
	fileLog                   // write-ahead logs
	fileTable                 // what Pebble reads again
)

func kindOf(name string) fileKind {
	switch {
	case strings.HasSuffix(name, ".log"):
		return fileLog
	case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".blob"):
		return fileTable
	}
	return fileOther
}
