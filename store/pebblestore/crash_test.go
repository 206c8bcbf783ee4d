package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// filled is the number of records that fill makes.
const filled = 400

// fill returns a disk whose store was left without Close, with records in one
// log, one commit each: payloads of about 150 bytes that name themselves.
func fill(t *testing.T, class store.Class) (disk *vfs.MemFS, log string) {
	t.Helper()
	live, _ := fillLive(t, class)
	disk = cutPower(live, 100)
	log, size := largest(t, disk, ".log")
	if size < 3*logBlock {
		t.Fatalf("the log has %d bytes", size)
	}
	return disk, log
}

func fillLive(t *testing.T, class store.Class) (*vfs.MemFS, *Store) {
	live := vfs.NewCrashableMem()
	s := openTest(t, Options{FS: live, Durability: class})
	for i := range filled {
		mustAppend(t, s, "s", fmt.Sprintf("record %03d %s", i, strings.Repeat("x", 150)))
	}
	return live, s
}

// largest returns the largest file of a kind, without the zeros at its end.
func largest(t *testing.T, disk vfs.FS, suffix string) (name string, size int64) {
	t.Helper()
	names, err := disk.List("leat/data")
	must(t, err)
	for _, n := range names {
		if !strings.HasSuffix(n, suffix) {
			continue
		}
		f, err := disk.Open("leat/data/" + n)
		must(t, err)
		data, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		if k := int64(written(data)); k > size {
			name, size = "leat/data/"+n, k
		}
	}
	return name, size
}

// change rewrites a file.
func change(t *testing.T, fs vfs.FS, name string, how func([]byte) []byte) {
	t.Helper()
	f, err := fs.Open(name)
	must(t, err)
	data, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	g, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = g.Write(how(data))
	must(t, errors.Join(err, g.Sync(), g.Close()))
}

func mustList(t *testing.T, fs vfs.FS) (paths []string) {
	t.Helper()
	names, err := fs.List("leat/data")
	must(t, err)
	for _, name := range names {
		paths = append(paths, "leat/data/"+name)
	}
	return paths
}

// written returns how much of a log is not the zeros that it was made longer with,
// within a few bytes.
func written(log []byte) int { return len(bytes.TrimRight(log, "\x00")) }

// In class disk a log is longer than what is in it, so that most syncs need not write
// down a new length, and what is in it is read all the same. In class os nothing would
// be won.
func TestLogIsMadeLonger(t *testing.T) {
	for class, longer := range map[store.Class]bool{store.ClassDisk: true, store.ClassOS: false} {
		fs := vfs.NewCrashableMem()
		s := openTest(t, Options{FS: fs, Durability: class})
		var sizes []int64
		for i := range 400 {
			mustAppend(t, s, "s", fmt.Sprintf("record %03d %s", i, strings.Repeat("x", 1000)))
			size := int64(0)
			for _, name := range mustList(t, fs) {
				if info, err := fs.Stat(name); err == nil && strings.HasSuffix(name, ".log") {
					size += info.Size()
				}
			}
			if len(sizes) == 0 || sizes[len(sizes)-1] != size {
				sizes = append(sizes, size)
			}
		}
		if n := len(sizes); longer && n > 4 || !longer && n < 200 {
			t.Errorf("class %s: the log had %d lengths in 400 appends: %v", class, n, sizes)
		}
		again := openTest(t, Options{FS: cutPower(fs, 0), Durability: class})
		if n := isPrefix(t, again); longer && n != 400 {
			t.Errorf("class %s: %d of 400 records survive a power cut", class, n)
		}
		must(t, again.Close())
		must(t, s.Close())
	}
}

// isPrefix checks that a stream has the first records of what fill made.
func isPrefix(t *testing.T, s *Store) int {
	t.Helper()
	found := payloads(t, s, "s")
	for i, p := range found {
		if !strings.HasPrefix(p, fmt.Sprintf("record %03d ", i)) {
			t.Fatalf("record %d is %.20q", i, p)
		}
	}
	return len(found)
}

// A torn tail of the log is cut off.
func TestTornTail(t *testing.T) {
	disk, log := fill(t, store.ClassDisk)
	for _, tear := range []struct {
		what string
		how  func([]byte) []byte
	}{
		{"cut", func(b []byte) []byte { return b[:written(b)-100] }},
		{"zeroed", func(b []byte) []byte { clear(b[written(b)-100:]); return b }},
		{"of another content", func(b []byte) []byte { b[written(b)-50] ^= 0xff; return b }},
	} {
		torn := cutPower(disk, 100)
		change(t, torn, log, tear.how)
		s := openTest(t, Options{FS: torn})
		equal(t, "records with the tail "+tear.what, isPrefix(t, s), filled-1)
		mustAppend(t, s, "s", fmt.Sprintf("record %d again", filled-1))
		must(t, s.Close())
	}
}

// Damage of a log before its tail stops the opening and says so; nothing is
// changed.
func TestDamagedLog(t *testing.T) {
	disk, log := fill(t, store.ClassDisk)
	_, end := largest(t, disk, ".log")
	for _, at := range []int64{1_000, 30_000, logBlock + 6, 2*logBlock - 1, end - 1_000, end - 500} {
		damaged := cutPower(disk, 100)
		flip := func(b []byte) []byte { b[at] ^= 0xff; return b }
		change(t, damaged, log, flip)
		refused(t, damaged, "leat/data", leat.CodeStoreFailed, "damaged")
		change(t, damaged, log, flip)
		s := openTest(t, Options{FS: damaged})
		equal(t, "records once it is repaired", isPrefix(t, s), filled)
		must(t, s.Close())
	}
}

// Damage in a table fails the reads that meet it, with an error, and is
// logged once; the rest of the store works.
func TestDamagedTable(t *testing.T) {
	ctx := context.Background()
	disk, _ := fill(t, store.ClassDisk)
	s := openTest(t, Options{FS: disk})
	must(t, s.db.Flush())
	must(t, s.Close())
	table, _ := largest(t, disk, ".sst")
	change(t, disk, table, func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b })
	var log bytes.Buffer
	s, err := Open("leat/data", Options{FS: disk, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	var first error
	for range 3 {
		_, err1 := s.ReadStream(ctx, "s", 0, 0, 1<<30)
		_, err2 := s.ReadLog(ctx, leat.Everything(), 0, 0, 1<<30)
		first = cmpOr(err1, err2)
		if e := leat.AsError(first); first == nil || e.Code != leat.CodeInternal || !strings.Contains(e.Error(), "damaged") {
			t.Fatalf("reading a damaged table: %v, %v", err1, err2)
		}
	}
	mustAppend(t, s, "other", "x")
	must(t, s.Close())
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), ".sst") {
		t.Errorf("logged:\n%s", &log)
	}
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// In class os a power cut leaves holes in the log wherever a page was not
// written back. The store opens with what is before the first of them, and a
// reader who saw more is told that it is lost.
func TestPowerCutInClassOS(t *testing.T) {
	live, s := fillLive(t, store.ClassOS)
	seen := s.Epochs().Offset(s.Head())
	lost := 0
	for range 40 {
		after := openTest(t, Options{FS: cutPower(live, 1+rand.IntN(99)), Durability: store.ClassOS})
		if n := isPrefix(t, after); n < filled {
			lost++
			if _, loss := after.Epochs().Resolve(seen, after.Head()); loss != store.LossLost {
				t.Fatalf("%d of %d records are left, and the offset of the last resolves to %q", n, filled, loss)
			}
		}
		mustAppend(t, after, "s", "goes on")
		must(t, after.Close())
	}
	if lost == 0 {
		t.Error("no cut lost anything: the test proves nothing")
	}
}

// What the file system is given in class os is what Pebble wrote, but for the
// promise that it was synced, in pieces of any size that ends with a chunk.
func TestDisclaim(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		var out logFile
		w := record.NewLogWriter(&out, 7, record.LogWriterConfig{
			WriteWALSyncOffsets: func() bool { return true },
			WALMinSyncInterval:  nil,
		})
		var want [][]byte
		for range 60 {
			rec := bytes.Repeat([]byte{byte(rnd.Uint32())}, rnd.IntN(1+1<<rnd.IntN(17)))
			want = append(want, rec)
			_, err := w.WriteRecord(rec)
			must(t, err)
		}
		must(t, w.Close())
		r := record.NewReader(&out, 7)
		for i, rec := range want {
			next, err := r.Next()
			must(t, err)
			got, err := io.ReadAll(next)
			must(t, err)
			if !bytes.Equal(got, rec) {
				t.Fatalf("record %d has changed", i)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("after the last record: %v", err)
		}
	}
}

// A logFile disclaims what is written to it, after it has put in promises.
type logFile struct{ bytes.Buffer }

func (f *logFile) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	disclaim(p, int64(f.Len()))
	return f.Buffer.Write(p)
}
