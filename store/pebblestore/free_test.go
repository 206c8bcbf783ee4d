package pebblestore

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// A scarce is a file system with as many free bytes as a test says, or fewer
// than none if it cannot tell.
type scarce struct {
	vfs.FS
	t     *testing.T
	free  atomic.Int64
	asked atomic.Int64
}

func (fs *scarce) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if _, err := fs.Stat(path); err != nil {
		fs.t.Errorf("asked about %s: %v", path, err)
	}
	fs.asked.Add(1)
	free := fs.free.Load()
	if free < 0 {
		return vfs.DiskUsage{}, errors.New("it does not say")
	}
	// What is free and kept for others does not count.
	return vfs.DiskUsage{AvailBytes: uint64(free), TotalBytes: 1 << 40, UsedBytes: 1 << 30}, nil
}

// MinFree: "With fewer each such Tx is refused with CodeStoreFull, and Health says so,
// until there is room again; what ends or deletes streams, Trim and Drop go on."
func TestMinFree(t *testing.T) {
	const least = 1 << 20
	fs := &scarce{FS: vfs.NewMem(), t: t}
	s := openTest(t, Options{FS: fs, MinFree: least}) // opens with nothing free
	add := func(name string) error { return appendTo(s, name, text("x")) }
	refused := func(what string, err error) {
		t.Helper()
		var e *leat.Error
		if !errors.As(err, &e) || e.Code != leat.CodeStoreFull || !strings.Contains(e.Advice, "ree disk space, or start with a smaller --min-free") {
			t.Fatalf("%s with %d bytes free: %v", what, fs.free.Load(), err)
		}
	}
	for range 3 {
		fs.free.Store(least)
		must(t, add("s"))
		must(t, add("t"))
		must(t, add("t"))
		must(t, s.Health())
		for _, free := range []int64{least - 1, 0} {
			fs.free.Store(free)
			head, kept := s.Head(), payloads(t, s, "t")
			refused("Commit", add("s"))
			refused("Commit again", add("new"))
			refused("Commit that makes a stream", commitOne(s, store.Tx{Stream: "new"}))
			refused("Health", s.Health())
			equal(t, "head", s.Head(), head)
			equal(t, "stream", payloads(t, s, "t"), kept)
			equal(t, "a stream that was not made", version(t, s, "new"), 0)
		}
		// What is to be deleted can be.
		must(t, commitOne(s, store.Tx{Stream: "t", Version: version(t, s, "t"), State: []store.Entry{{Key: "end", Value: []byte("deleted")}}}))
		must(t, commitOne(s, store.Tx{Stream: "t", Version: version(t, s, "t"), Records: []leat.Record{{Stream: "t", Kind: leat.KindEnd, Type: "deleted"}}}))
		size := s.Size()
		must(t, s.Trim(background, "t", s.Head()-1))
		must(t, storetest.Drop(background, s, "s"))
		equal(t, "records after a Trim", len(payloads(t, s, "t")), 1)
		equal(t, "version after a Drop", version(t, s, "s"), 0)
		if s.Size() >= size {
			t.Errorf("the size was %d and is %d", size, s.Size())
		}
		fs.free.Store(-1)
		must(t, add("t"))
	}
	// What is final is said first.
	fs.free.Store(0)
	s.guard.fail("writing a file", errDisk)
	equal(t, "health after a failure", leat.CodeOf(s.Health()), leat.CodeStoreFailed)
	equal(t, "a Trim after a failure", leat.CodeOf(s.Trim(background, "t", s.Head())), leat.CodeStoreFailed)
}

// The system is not asked with each Commit while there is plenty of room, and is again
// after a while, or once Health has found less.
func TestPlentyOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const least = 1 << 20
		fs := &scarce{FS: vfs.NewMem(), t: t}
		s, err := Open("d", Options{FS: fs, MinFree: least, Logger: quiet})
		must(t, err)
		defer s.Close()
		asks := func(free, want int64, after time.Duration) {
			t.Helper()
			fs.free.Store(free)
			time.Sleep(after)
			synctest.Wait() // Pebble asks too, when it is opened
			was := fs.asked.Load()
			err := appendTo(s, "s", text("x"))
			if got := fs.asked.Load() - was; got != want || want > 0 && free < least != (leat.CodeOf(err) == leat.CodeStoreFull) {
				t.Errorf("with %d bytes free it was asked %d times, want %d: %v", free, got, want, err)
			}
		}
		asks(least+plentyOfRoom-1, 1, 0)
		asks(least+plentyOfRoom-1, 1, 0)
		asks(least+plentyOfRoom, 1, 0)
		asks(0, 0, 0)
		asks(0, 0, plentyFor-1)
		asks(0, 1, 1)
		asks(least+plentyOfRoom, 1, 0)
		asks(0, 0, 0)
		equal(t, "health", leat.CodeOf(s.Health()), leat.CodeStoreFull)
		asks(0, 1, 0)
	})
}

// Without MinFree nothing is asked, however little is free.
func TestNoMinFree(t *testing.T) {
	for _, least := range []int64{0, -1} {
		s := openTest(t, Options{FS: &scarce{FS: vfs.NewMem(), t: t}, MinFree: least})
		mustAppend(t, s, "s", "x")
		must(t, s.Health())
		must(t, s.Close())
	}
}

// The real file system says how much is free.
func TestMinFreeOnDisk(t *testing.T) {
	s, err := Open(t.TempDir(), Options{Logger: quiet, MinFree: 1})
	must(t, err)
	defer s.Close()
	mustAppend(t, s, "s", "x")
	s.options.MinFree = 1 << 62
	if err := s.Health(); leat.CodeOf(err) != leat.CodeStoreFull {
		t.Errorf("with 2^62 bytes to stay free: %v", err)
	}
}
