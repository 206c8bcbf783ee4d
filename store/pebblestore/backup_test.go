package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "Whatever was visible when Backup was called is in it; of what is committed meanwhile, a
// part of the log from its beginning on": with writers that never rest, logs that come and
// go, tables that are merged, and records of some blocks of a log each.
func TestBackupWhileRecordsAreWritten(t *testing.T) {
	for _, class := range []store.Class{store.ClassDisk, store.ClassOS} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := Open(filepath.Join(dir, "data"), Options{Durability: class, Logger: quiet, memtableSize: 256 << 10})
			must(t, err)
			const writers = 3
			var acked [writers]atomic.Int64
			var stop atomic.Bool
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() { // ends with stop
					for n := 0; !stop.Load(); n++ {
						payload := fmt.Sprint(n, " ", strings.Repeat("x", n*977%20_000))
						if err := appendTo(s, fmt.Sprint("w", w), text(payload)); err != nil {
							t.Error(err)
							return
						}
						acked[w].Store(int64(n + 1))
					}
				})
			}
			for round := range 4 {
				waitFor(t, func() bool { return t.Failed() || acked[0].Load() > int64(20*round) })
				var least [writers]int64
				for w := range least {
					least[w] = acked[w].Load()
				}
				head, copied := s.Head(), filepath.Join(dir, "backups", fmt.Sprint(round))
				must(t, s.Backup(background, copied))
				checkBackup(t, copied, s.Epochs(), head, least[:])
			}
			stop.Store(true)
			wg.Wait()
			must(t, s.Close())
		})
	}
}

// An interrupted is a file system on which something happens whenever a piece of a log was
// read.
type interrupted struct {
	vfs.FS
	happens func()
}

type interruptedFile struct {
	vfs.File
	fs *interrupted
}

func (fs *interrupted) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, o...)
	if err == nil && strings.HasSuffix(name, ".log") {
		f = &interruptedFile{f, fs}
	}
	return f, err
}

func (f *interruptedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if f.fs.happens != nil {
		f.fs.happens()
	}
	return n, err
}

// A log that grows while it is copied is copied as far as it was durable when that began.
// With more there would be a hole where the first piece was read before it was written,
// and the copy would not be opened: behind the hole there is something.
func TestBackupOfALogThatGrows(t *testing.T) {
	for _, class := range []store.Class{store.ClassDisk, store.ClassOS} {
		fs := &interrupted{FS: vfs.NewMem()}
		s := openTest(t, Options{FS: fs, Durability: class})
		mustAppend(t, s, "a", "before")
		reads := 0
		fs.happens = func() {
			reads++
			mustAppend(t, s, "a", strings.Repeat("x", 3*logBlock))
		}
		must(t, s.Backup(background, "b"))
		fs.happens = nil
		if reads == 0 {
			t.Fatal("no log was read")
		}
		c, err := Open("b", Options{FS: fs, Logger: quiet})
		must(t, err)
		equal(t, "records", payloads(t, c, "a"), []string{"before"})
		must(t, c.Close())
		must(t, s.Close())
	}
}

// checkBackup opens a backup, which has to have so many records of each writer, or more.
func checkBackup(t *testing.T, dir string, of store.Epochs, head uint64, least []int64) {
	t.Helper()
	c, err := Open(dir, Options{Logger: quiet})
	must(t, err)
	defer c.Close()
	newest := c.Epochs()[len(of)]
	equal(t, "epochs", c.Epochs()[:len(of)], of)
	if newest.Epoch <= of[len(of)-1].Epoch || newest.First <= head {
		t.Fatalf("the head was %d in %v, and the copy begins at %v", head, of, newest)
	}
	for w, n := range least {
		found := payloads(t, c, fmt.Sprint("w", w))
		if int64(len(found)) < n {
			t.Fatalf("writer %d: %d records were acknowledged before and %d are there", w, n, len(found))
		}
		for i, p := range found {
			if number, _, _ := strings.Cut(p, " "); number != fmt.Sprint(i) {
				t.Fatalf("writer %d: record %d is %.10q", w, i, p)
			}
		}
	}
	// Who has read further than the copy is told so, and who has not goes on.
	seen := leat.Offset{Epoch: of[len(of)-1].Epoch, Seq: newest.First}
	if _, loss := c.Epochs().Resolve(seen, c.Head()); loss != store.LossLost {
		t.Errorf("an offset that the copy does not reach resolves to %q", loss)
	}
	seen.Seq = head
	if seq, loss := c.Epochs().Resolve(seen, c.Head()); loss != store.LossNone || seq != head {
		t.Errorf("the offset of the head resolves to %d, %q", seq, loss)
	}
	mustAppend(t, c, "w0", "goes on")
}

// The whole store is in a backup, and neither of the two changes the other.
func TestBackupIsAStoreOfItsOwn(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := openTest(t, Options{FS: disk, memtableSize: 64 << 10})
	for range 30 {
		mustAppend(t, s, "a", strings.Repeat("x", 10_000))
	}
	must(t, s.Trim(background, "a", s.Head()-20))
	mustAppend(t, s, "b", "1")
	ask := func(s *Store) string {
		info, err1 := s.Stream(background, "a")
		removed, err2 := s.Removed(background, leat.Everything(), 0, 0, 1<<60)
		must(t, errors.Join(err1, err2))
		return str(info) + str(removed)
	}
	before, head := ask(s), s.Head()
	must(t, s.Backup(background, "new/too/backup"))
	mustAppend(t, s, "b", "2")
	// When Backup returns the copy is on disk.
	c, err := Open("new/too/backup", Options{FS: cutPower(disk, 0), Logger: quiet})
	must(t, err)
	defer c.Close()
	equal(t, "head", c.Head(), head+1) // its opening
	equal(t, "stream", ask(c), before)
	equal(t, "records", payloads(t, c, "a"), payloads(t, s, "a"))
	equal(t, "what came later", payloads(t, c, "b"), []string{"1"})
	size, err := c.countSize()
	must(t, err)
	equal(t, "size", c.Size(), size)
	equal(t, "the store", payloads(t, s, "b"), []string{"1", "2"})
	must(t, disk.MkdirAll("empty", 0o700))
	must(t, s.Backup(background, "empty"))
}

// "The directory must be empty or not exist."
func TestBackupRefuses(t *testing.T) {
	disk := vfs.NewMem()
	s := openTest(t, Options{FS: disk})
	mustAppend(t, s, "a", "x")
	file := func(name string) {
		f, err := disk.Create(name, vfs.WriteCategoryUnspecified)
		must(t, err)
		must(t, f.Close())
	}
	must(t, disk.MkdirAll("full", 0o700))
	file("full/x")
	must(t, disk.MkdirAll("begun.partial", 0o700))
	file("begun.partial/000002.log")
	for dir, want := range map[string]leat.Code{
		"full": leat.CodeExists, "begun": leat.CodeExists, "leat/data": leat.CodeInvalidParameter, "leat/data/x": leat.CodeInvalidParameter,
	} {
		err := s.Backup(background, dir)
		if e := leat.AsError(err); err == nil || e.Code != want || e.Advice == "" || !strings.Contains(e.Detail, dir) {
			t.Errorf("a backup to %s: %v", dir, err)
		}
	}
	for _, name := range []string{"full/x", "begun.partial/000002.log"} {
		if _, err := disk.Stat(name); err != nil {
			t.Error(err)
		}
	}
	must(t, s.Close())
	equal(t, "a backup after Close", leat.CodeOf(s.Backup(background, "late")), leat.CodeUnavailable)
}

// A backup that fails, whatever fails, leaves nothing behind, and the store goes on.
func TestBackupFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		match func(op) bool
	}{
		{"making a file", func(o op) bool { return o.kind == "create" }},
		{"writing the manifest", func(o op) bool { return o.is("write", "MANIFEST-#") }},
		{"writing a log", func(o op) bool { return o.is("write", ".log") }},
		{"syncing a log", func(o op) bool { return o.is("sync", ".log") }},
		{"syncing the directory", func(o op) bool { return o.is("sync", "b.partial") }},
		{"syncing the parent", func(o op) bool { return o.is("sync", "backups") }},
		{"giving it its name", func(o op) bool { return o.is("rename", "b") }},
	} {
		for cause, code := range map[error]leat.Code{errDisk: leat.CodeInvalidParameter, syscall.ENOSPC: leat.CodeStoreFull} {
			t.Run(fmt.Sprint(test.name, "/", cause), func(t *testing.T) {
				disk := vfs.NewMem()
				p := newProbe(disk)
				s := openTest(t, Options{FS: p})
				mustAppend(t, s, "a", "x")
				p.fail(cause, test.match) // nothing else is written meanwhile
				err := s.Backup(background, "backups/b")
				if e := leat.AsError(err); err == nil || e.Code != code || e.Advice == "" {
					t.Errorf("Backup says %v", err)
				}
				p.on(nil)
				if names, err := disk.List("backups"); err != nil && !errors.Is(err, fs.ErrNotExist) || len(names) > 0 {
					t.Errorf("it leaves %v, %v", names, err)
				}
				mustAppend(t, s, "a", "y")
				must(t, s.Health())
				must(t, s.Backup(background, "backups/again"))
			})
		}
	}
}

// A backup ends with its context and with the store, in the middle of a file, and one at a
// time is enough.
func TestBackupEnds(t *testing.T) {
	for _, end := range []string{"context", "close"} {
		t.Run(end, func(t *testing.T) {
			disk := vfs.NewMem()
			p := newProbe(disk)
			s := openTest(t, Options{FS: p})
			mustAppend(t, s, "a", "x")
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			reached, goOn := make(chan struct{}), make(chan struct{})
			p.on(func(o op) error {
				if o.is("create", ".log") {
					close(reached)
					<-goOn
				}
				return nil
			})
			done, closed := make(chan error, 1), make(chan error, 1)
			go func() { done <- s.Backup(ctx, "b") }() // awaited below
			<-reached
			mustAppend(t, s, "a", "not held up")
			equal(t, "a second one", leat.CodeOf(s.Backup(ctx, "c")), leat.CodeConflict)
			want := context.Canceled
			if cancel(); end == "close" {
				ctx = background
			}
			if end == "close" {
				go func() { closed <- s.Close() }() // awaited below
				<-s.closing
			}
			close(goOn)
			if err := <-done; !errors.Is(err, want) && leat.CodeOf(err) != leat.CodeUnavailable {
				t.Errorf("Backup says %v", err)
			}
			if names, err := disk.List(""); err != nil || len(names) != 1 {
				t.Errorf("there are %v, %v", names, err)
			}
			if end == "close" {
				must(t, <-closed)
			}
		})
	}
}

// A backup leaves free what the store wants to stay free: on its own disk it would end the
// writes of the store.
func TestBackupLeavesRoom(t *testing.T) {
	disk := &scarce{FS: vfs.NewMem(), t: t}
	s := openTest(t, Options{FS: disk, MinFree: 1 << 20})
	disk.free.Store(1 << 20)
	mustAppend(t, s, "a", "x")
	disk.free.Store(1<<20 - 1)
	if err := s.Backup(background, "b"); leat.CodeOf(err) != leat.CodeStoreFull || !strings.Contains(err.Error(), "another disk") {
		t.Errorf("with too little free: %v", err)
	}
	disk.free.Store(1 << 20)
	must(t, s.Backup(background, "b"))
}

// A store that has failed is not copied: what Pebble believes in is not what the disk has.
func TestBackupOfAFailedStore(t *testing.T) {
	f := newFailing(t, store.ClassDisk)
	f.probe.fail(errDisk, func(o op) bool { return o.is("write", ".log") })
	f.untilItFails(100)
	f.probe.on(nil)
	equal(t, "Backup", leat.CodeOf(f.Backup(background, "b")), leat.CodeStoreFailed)
}

// On a real disk tables are linked: a backup takes the room of what changes later.
func TestBackupLinksTables(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "data"), Options{Logger: quiet})
	must(t, err)
	defer s.Close()
	mustAppend(t, s, "a", "x")
	must(t, s.db.Flush())
	tables := func(of string) (infos []os.FileInfo) {
		names, err := filepath.Glob(filepath.Join(dir, of, "*.sst"))
		must(t, err)
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				infos = append(infos, info)
			}
		}
		return infos
	}
	original := tables("data")
	must(t, s.Backup(background, filepath.Join(dir, "b")))
	original = append(original, tables("data")...) // some may have been merged meanwhile
	copies := tables("b")
	if len(copies) == 0 {
		t.Fatal("it has no tables")
	}
	for _, c := range copies {
		if !slices.ContainsFunc(original, func(o os.FileInfo) bool { return os.SameFile(o, c) }) {
			t.Errorf("%s is a copy", c.Name())
		}
	}
	info, err := os.Stat(filepath.Join(dir, "b"))
	must(t, err)
	equal(t, "permissions", info.Mode().Perm(), fs.FileMode(0o700))
}
