package pebblestore

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A probe is a file system that notes what changes it, and asks a hook before
// each change: the hook may block, or return an error that the operation then
// fails with. Pebble's errorfs does not see what happens to logs that are
// reused, and those are most.
type probe struct {
	vfs.FS

	mu    sync.Mutex
	hook  func(op op) error // guarded by mu
	notes []op              // guarded by mu
}

// An op is a change of a file system.
type op struct {
	kind     string // create, reuse, rename, remove, write, sync
	file     string // base name, with its number replaced by #
	category vfs.DiskWriteCategory
}

func (o op) String() string { return o.kind + " " + o.file }

func (o op) is(kind, suffix string) bool {
	return o.kind == kind && strings.HasSuffix(o.file, suffix)
}

var fileNumber = regexp.MustCompile(`\d{6,}`)

func newProbe(fs vfs.FS) *probe { return &probe{FS: fs} }

// on sets the hook, nil for none.
func (p *probe) on(hook func(op) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

// fail makes every operation fail that matches.
func (p *probe) fail(err error, match func(op) bool) {
	p.on(func(o op) error {
		if match(o) {
			return err
		}
		return nil
	})
}

// take returns what was noted since the last call.
func (p *probe) take() []op {
	p.mu.Lock()
	defer p.mu.Unlock()
	notes := p.notes
	p.notes = nil
	return notes
}

func (p *probe) count(match func(op) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, o := range p.notes {
		n += map[bool]int{true: 1}[match(o)]
	}
	return n
}

func (p *probe) do(kind, name string, category vfs.DiskWriteCategory) error {
	o := op{kind, fileNumber.ReplaceAllString(path.Base(name), "#"), category}
	p.mu.Lock()
	p.notes = append(p.notes, o)
	hook := p.hook
	p.mu.Unlock()
	if hook != nil {
		if err := hook(o); err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
	}
	return nil
}

func (p *probe) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.do("create", name, c); err != nil {
		return nil, err
	}
	f, err := p.FS.Create(name, c)
	return &probeFile{f, p, name}, err
}

func (p *probe) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.do("reuse", newname, c); err != nil {
		return nil, err
	}
	f, err := p.FS.ReuseForWrite(oldname, newname, c)
	return &probeFile{f, p, newname}, err
}

func (p *probe) Rename(oldname, newname string) error {
	if err := p.do("rename", newname, ""); err != nil {
		return err
	}
	return p.FS.Rename(oldname, newname)
}

func (p *probe) Remove(name string) error {
	if err := p.do("remove", name, ""); err != nil {
		return err
	}
	return p.FS.Remove(name)
}

func (p *probe) OpenDir(name string) (vfs.File, error) {
	f, err := p.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &probeFile{f, p, name}, nil
}

type probeFile struct {
	vfs.File
	probe *probe
	name  string
}

func (f *probeFile) Write(p []byte) (int, error) {
	if err := f.probe.do("write", f.name, ""); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *probeFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.probe.do("write", f.name, ""); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *probeFile) Sync() error {
	if err := f.probe.do("sync", f.name, ""); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *probeFile) SyncData() error {
	if err := f.probe.do("sync", f.name, ""); err != nil {
		return err
	}
	return f.File.SyncData()
}
