package pebblestore

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// refused opens a directory that must be refused, with advice, and without
// changing anything in it.
func refused(t *testing.T, fsys vfs.FS, dir string, code leat.Code, says string) {
	t.Helper()
	before := content(t, fsys, dir)
	s, err := Open(dir, Options{FS: fsys, Logger: quiet})
	if err == nil {
		s.Close()
		t.Fatal("it was opened")
	}
	e := leat.AsError(err)
	if e.Code != code || !strings.Contains(e.Error(), says) || !strings.Contains(e.Error(), dir) || e.Advice == "" {
		t.Errorf("refused with code %s: %v\nwant code %s, %q and %q in it, and advice", e.Code, e, code, says, dir)
	}
	if after := content(t, fsys, dir); after != before {
		t.Errorf("the directory had\n%s\nand has\n%s", before, after)
	}
}

// content lists the files of a directory with their sizes.
func content(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	names, err := fs.List(dir)
	must(t, err)
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		info, err := fs.Stat(fs.PathJoin(dir, name))
		must(t, err)
		b.WriteString(strings.Join([]string{name, str(info.Size()), "\n"}, " "))
	}
	return b.String()
}

func TestOpenRefusesASecondOpening(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Logger: quiet})
	must(t, err)
	_, err = Open(dir, Options{Logger: quiet})
	if e := leat.AsError(err); e.Code != leat.CodeUnavailable || !strings.Contains(e.Error(), dir) || !strings.Contains(e.Error(), "in use") {
		t.Errorf("a second opening: %v", err)
	}
	must(t, s.Close())
	s, err = Open(dir, Options{Logger: quiet})
	must(t, err)
	must(t, s.Close())
}

func TestOpenRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Run("files", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "000012.txt"), []byte("x"), 0o600))
		refused(t, vfs.Default, dir, leat.CodeStoreFailed, "000012.txt")
	})
	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "f")
		must(t, os.WriteFile(file, nil, 0o600))
		if _, err := Open(file, Options{Logger: quiet}); leat.CodeOf(err) != leat.CodeStoreFailed {
			t.Errorf("a file: %v", err)
		}
	})
	t.Run("another program's Pebble", func(t *testing.T) {
		fs := vfs.NewMem()
		db, err := pebble.Open("theirs", &pebble.Options{FS: fs, Logger: pebbleLogger{&Store{options: Options{Logger: quiet}}}})
		must(t, err)
		must(t, db.Set([]byte("k"), nil, pebble.Sync))
		must(t, db.Close())
		refused(t, fs, "theirs", leat.CodeStoreFailed, "not a store of Leat's")
	})
	t.Run("a directory that may not be read", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root may read everything")
		}
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0))
		if _, err := Open(dir, Options{Logger: quiet}); leat.CodeOf(err) != leat.CodeStoreFailed {
			t.Errorf("a directory that may not be read: %v", err)
		}
	})
}

func TestOpenTakesWhatAnInterruptedOpeningLeft(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"LOCK", "lost+found", "000002.dbtmp"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	s, err := Open(dir, Options{Logger: quiet})
	must(t, err)
	must(t, s.Close())
}

func TestOpenRefusesANewerFormat(t *testing.T) {
	for what, value := range map[string][]byte{
		"layout":        appendCounter(nil, layoutVersion+1),
		"value version": {valueVersion + 1},
	} {
		t.Run(what, func(t *testing.T) {
			fs := vfs.NewMem()
			s := openTest(t, Options{FS: fs})
			must(t, s.db.Set(keyFormat, value, pebble.Sync))
			must(t, s.Close())
			_, err := Open("leat/data", Options{FS: fs, Logger: quiet})
			if e := leat.AsError(err); err == nil || e.Code != leat.CodeStoreFailed || !strings.Contains(e.Error(), "newer version of Leat") {
				t.Fatalf("a newer format: %v", err)
			}
		})
	}
	t.Run("engine", func(t *testing.T) {
		fs := vfs.NewMem()
		must(t, openTest(t, Options{FS: fs}).Close())
		names, err := fs.List("leat/data")
		must(t, err)
		for _, name := range names {
			if strings.HasPrefix(name, "marker.format-version.") {
				must(t, fs.Rename("leat/data/"+name, "leat/data/marker.format-version.000999.999"))
			}
		}
		refused(t, fs, "leat/data", leat.CodeStoreFailed, "newer version of Leat")
	})
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := Open(t.TempDir(), Options{Durability: store.ClassMemory}); leat.CodeOf(err) != leat.CodeInvalidParameter {
		t.Errorf("class memory: %v", err)
	}
	o, err := Options{MaxRecord: math.MaxInt, MaxTxBytes: 5}.withDefaults()
	must(t, err)
	equal(t, "limits", []int{o.MaxRecord, o.MaxTxBytes, o.MaxTxRecords}, []int{mostMaxRecord, mostMaxRecord, 1 << 16})
	equal(t, "class", o.Durability, store.ClassDisk)
}

// "Sequences grow, never restart", also if the clock goes back, and if what
// had the last sequence is gone.
func TestReopenGoesOn(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	now := time.UnixMicro(5_000_000)
	o := Options{FS: fs, Now: func() time.Time { return now }}
	var epochs store.Epochs
	var head uint64
	var last time.Time
	for round := range 4 {
		s := openTest(t, o)
		es := s.Epochs()
		equal(t, "openings", len(es), round+1)
		newest := es[round]
		if round > 0 && (newest.Epoch <= epochs[round-1].Epoch || newest.First <= head || !slices.Equal(es[:round], epochs)) {
			t.Fatalf("the epochs were %v, the head %d, and are %v", epochs, head, es)
		}
		equal(t, "head", s.Head(), newest.First)
		r := mustAppend(t, s, "s", "x")[0]
		equal(t, "offset", r.Offset, leat.Offset{Epoch: newest.Epoch, Seq: newest.First + 1})
		if r.Time.Before(last) {
			t.Fatalf("a record of %v after one of %v", r.Time, last)
		}
		last = r.Time
		must(t, commitOne(s, store.Tx{Stream: "gone"}))
		must(t, storetest.Drop(ctx, s, "gone"))
		epochs, head = es, s.Head()
		now = now.Add(-time.Second)
		must(t, s.Close())
	}
}

// What is stored is its owner's alone.
func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := Open(dir, Options{Logger: quiet})
	must(t, err)
	defer s.Close()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(d)
		must(t, err)
		if runtime.GOOS != "windows" {
			equal(t, "permissions of "+d, info.Mode().Perm(), fs.FileMode(0o700))
		}
	}
}

// The directory is made with its parents, and all of that is synced before a
// record is acknowledged.
func TestFirstUseIsDurable(t *testing.T) {
	for _, class := range []store.Class{store.ClassDisk, store.ClassOS} {
		disk := vfs.NewCrashableMem()
		s, err := Open("a/b/c", Options{FS: disk, Durability: class, Logger: quiet})
		must(t, err)
		epochs := s.Epochs()
		s2, err := Open("a/b/c", Options{FS: cutPower(disk, 0), Logger: quiet})
		must(t, err)
		equal(t, "epochs after a power cut", s2.Epochs()[:1], epochs)
		must(t, s2.Close())
		must(t, s.Close())
	}
}

// A value that this version does not understand is an error, not a guess.
func TestDamagedValues(t *testing.T) {
	for _, value := range [][]byte{{}, {valueVersion + 1}, {valueVersion, 0xff}, {valueVersion, 0x0a, 9}} {
		var log strings.Builder
		s := openTest(t, Options{FS: vfs.NewMem(), Logger: slog.New(slog.NewTextHandler(io.Writer(&log), nil))})
		must(t, s.db.Set(rowKey(nil, "s"), value, pebble.Sync))
		if err := commitOne(s, store.Tx{Stream: "s"}); leat.CodeOf(err) != leat.CodeInternal {
			t.Errorf("a Tx for a damaged row: %v", err)
		}
		mustAppend(t, s, "other", "x") // alone
		if _, err := s.Stream(context.Background(), "s"); leat.CodeOf(err) != leat.CodeInternal {
			t.Errorf("Stream with a damaged row: %v", err)
		}
		must(t, s.Close())
	}
}
