package pebblestore

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An alignedFS is the real file system, and notes what is written to logs with WriteAt
// that may not go past the page cache. refuse makes it say what such a one says that
// cannot do it: refuse is how often.
type alignedFS struct {
	vfs.FS
	mu     sync.Mutex
	refuse int
	odd    []string
	writes int
}

func (fs *alignedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return &alignedFile{f, fs, name}, err
}

func (fs *alignedFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, c)
	return &alignedFile{f, fs, newname}, err
}

type alignedFile struct {
	vfs.File
	fs   *alignedFS
	name string
}

func (f *alignedFile) Write(p []byte) (int, error) {
	if strings.HasSuffix(f.name, ".log") {
		f.fs.mu.Lock()
		f.fs.odd = append(f.fs.odd, fmt.Sprintf("%d bytes with Write", len(p)))
		f.fs.mu.Unlock()
	}
	return f.File.Write(p)
}

func (f *alignedFile) WriteAt(p []byte, off int64) (int, error) {
	if strings.HasSuffix(f.name, ".log") {
		at := uintptr(unsafe.Pointer(&p[0]))
		f.fs.mu.Lock()
		defer f.fs.mu.Unlock()
		f.fs.writes++
		if len(p)%block != 0 || off%block != 0 || at%block != 0 {
			f.fs.odd = append(f.fs.odd, fmt.Sprintf("%d bytes at %d from %#x", len(p), off, at))
		}
		if f.fs.refuse > 0 {
			f.fs.refuse--
			return 0, syscall.EINVAL
		}
	}
	return f.File.WriteAt(p, off)
}

// isDirect reports whether what is written to a file goes past the page cache.
func isDirect(f vfs.File) bool {
	flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	return flags&syscall.O_DIRECT != 0
}

// In class disk all that goes to a log is whole blocks, whatever its size, and unless
// that is switched off they go past the page cache where the file system can do that.
// Where it says that it can and then refuses, they go through it, and nothing is lost.
func TestLogPastThePageCache(t *testing.T) {
	for _, test := range []struct {
		name   string
		o      Options
		refuse int
		blocks bool
	}{
		{"direct", Options{}, 0, true},
		{"refused", Options{}, 1, true},
		{"switched off", Options{PageCache: true}, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, fs := t.TempDir(), &alignedFS{FS: vfs.Default}
			probe := newGuard(vfs.Default, true, nil)
			f, err := probe.Create(dir+"/000001.log", "")
			must(t, err)
			able := f.(*file).direct
			if able != isDirect(f) {
				t.Errorf("a log is direct: %v; its descriptor: %v", able, isDirect(f))
			}
			must(t, f.Close())
			must(t, vfs.Default.Remove(dir+"/000001.log"))

			test.o.FS, test.o.Logger, test.o.memtableSize = fs, quiet, 256<<10
			s, err := Open(dir+"/store", test.o)
			must(t, err)
			fs.mu.Lock()
			fs.odd, fs.writes = nil, 0
			if able { // else nothing is tried again
				fs.refuse = test.refuse
			}
			fs.mu.Unlock()
			rnd, want := rand.New(rand.NewPCG(1, 2)), []string(nil)
			for i := range 60 { // some of them longer than what is held back
				want = append(want, fmt.Sprint(i, " ", strings.Repeat("x", rnd.IntN(1<<rnd.IntN(20)))))
				mustAppend(t, s, "s", want[i])
			}
			fs.mu.Lock()
			if whole := len(fs.odd) == 0; whole != test.blocks || fs.refuse > 0 || fs.writes == 0 {
				t.Errorf("%d writes of whole blocks, others: %.200v", fs.writes, fs.odd)
			}
			fs.mu.Unlock()
			must(t, s.Close())
			again, err := Open(dir+"/store", Options{Logger: quiet})
			must(t, err)
			defer again.Close()
			if got := payloads(t, again, "s"); !slices.Equal(got, want) {
				t.Errorf("%d of %d records are there", len(got), len(want))
			}
		})
	}
}

// What is added to blocks is in the file after each flush, with zeros up to the end of
// a block behind it; nothing is written if there is nothing new, and nothing from a
// block that was whole already.
func TestBlocks(t *testing.T) {
	fs := vfs.NewMem()
	f, err := fs.Create("log", "")
	must(t, err)
	b := newBlocks()
	counted := &countingFile{File: f}
	flush := func() error { return b.flush(counted) }
	var want []byte
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		p := make([]byte, rnd.IntN(1<<rnd.IntN(20)))
		for i := range p {
			p[i] = byte(1 + rnd.IntN(255))
		}
		flushed := int64(len(want)) &^ (block - 1)
		counted.from = flushed
		want = append(want, p...)
		must(t, b.add(slices.Clone(p), flush))
		must(t, flush())
		n := counted.writes
		must(t, flush())
		equal(t, "writes of nothing", counted.writes-n, 0)
	}
	equal(t, "writes of what was written", counted.before, 0)
	r, err := fs.Open("log")
	must(t, err)
	got, err := io.ReadAll(r)
	must(t, err)
	if !bytes.HasPrefix(got, want) || len(got)%block != 0 || len(bytes.TrimRight(got[len(want):], "\x00")) > 0 {
		t.Errorf("the file has %d bytes, of %d", len(got), len(want))
	}
}

// A countingFile counts writes, and those that begin before a position, and spoils what
// it is given, as a vfs.File may.
type countingFile struct {
	vfs.File
	from           int64
	writes, before int
}

func (f *countingFile) WriteAt(p []byte, off int64) (int, error) {
	f.writes++
	if off < f.from {
		f.before++
	}
	n, err := f.File.WriteAt(bytes.Clone(p), off)
	clear(p)
	return n, err
}
