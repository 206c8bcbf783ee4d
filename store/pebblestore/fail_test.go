package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

var errDisk = errors.New("the disk says no")

// A failingStore is a store with some records, of which the last is on its
// way to where things break.
type failingStore struct {
	*Store
	t      *testing.T
	disk   *vfs.MemFS
	probe  *probe
	log    *bytes.Buffer
	acked  []string
	tried  int
	random *rand.Rand
}

func newFailing(t *testing.T, class store.Class) *failingStore {
	f := &failingStore{t: t, disk: vfs.NewCrashableMem(), log: &bytes.Buffer{}, random: rand.New(rand.NewPCG(1, 2))}
	f.probe = newProbe(f.disk)
	f.Store = openTest(t, Options{Durability: class, FS: f.probe, Logger: slog.New(slog.NewTextHandler(f.log, nil)), memtableSize: 256 << 10})
	for range 10 {
		must(t, f.append(100))
	}
	return f
}

// append appends a record of that size to one of two streams.
func (f *failingStore) append(size int) error {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(f.random.Uint32()) // does not compress
	}
	p := fmt.Sprintf("%06d %s", f.tried, payload)
	f.tried++
	err := appendTo(f.Store, "s", text(p))
	if err == nil {
		f.acked = append(f.acked, p)
	}
	return err
}

// untilItFails appends until the store fails, and returns why.
func (f *failingStore) untilItFails(size int) error {
	for range 5000 {
		if err := f.append(size); err != nil {
			return err
		}
	}
	f.t.Fatal("it does not fail")
	return nil
}

// check looks at a store that has failed, closes it, and opens what the disk
// has: as it is, and as a power cut would leave it.
func (f *failingStore) check(err error, code leat.Code) {
	f.t.Helper()
	if leat.CodeOf(err) != code {
		f.t.Errorf("the Commit that fails says %v, want code %s", err, code)
	}
	for range 3 {
		if err := f.append(10); leat.CodeOf(err) != code {
			f.t.Errorf("a later Commit says %v, want code %s", err, code)
		}
	}
	if err := f.Trim(context.Background(), "s", f.Head()); leat.CodeOf(err) != code {
		f.t.Errorf("Trim says %v, want code %s", err, code)
	}
	if err := f.Health(); leat.CodeOf(err) != code {
		f.t.Errorf("Health says %v, want code %s", err, code)
	}
	// Reads and Follow go on, with what is durable.
	equal(f.t, "records that can be read", len(payloads(f.t, f.Store, "s")), len(f.acked))
	for b, err := range f.Follow(context.Background(), 0) {
		must(f.t, err)
		if b.Next == f.Head() {
			break
		}
	}
	cut := cutPower(f.disk, 0)
	must(f.t, f.Close())
	must(f.t, f.Close())
	if n := strings.Count(f.log.String(), "level=ERROR"); n != 1 {
		f.t.Errorf("%d lines are logged, want 1:\n%s", n, f.log)
	}
	f.probe.on(nil)
	for what, disk := range map[string]vfs.FS{"the disk": f.disk, "the disk after a power cut": cut} {
		s, err := Open("leat/data", Options{FS: disk, Logger: quiet})
		if err != nil {
			f.t.Fatalf("opening %s: %v", what, err)
		}
		found := payloads(f.t, s, "s")
		// What failed may have been stored. Class os may lose a tail.
		loses := f.options.Durability == store.ClassOS && disk == cut
		if len(found) < len(f.acked) && !loses || len(found) > f.tried {
			f.t.Errorf("%s has %d records, %d were acknowledged, %d tried", what, len(found), len(f.acked), f.tried)
		}
		for i, p := range f.acked {
			if i < len(found) && found[i] != p {
				f.t.Fatalf("%s has %.10q as record %d, want %.10q", what, found[i], i, p)
			}
		}
		mustAppend(f.t, s, "s", "goes on")
		must(f.t, s.Close())
	}
}

// Whatever fails, and with whatever error: the first failure is final, and
// what was acknowledged is there when the store is opened again. The sizes
// make the log rotate, memtables flush and tables be compacted.
func TestFailures(t *testing.T) {
	both := []store.Class{store.ClassDisk, store.ClassOS}
	for _, test := range []struct {
		name    string
		classes []store.Class
		match   func(op) bool
		size    int
	}{
		{"writing the log", both, func(o op) bool { return o.is("write", ".log") }, 100},
		{"syncing the log", both[:1], func(o op) bool { return o.is("sync", ".log") }, 100},
		{"making a log", both, func(o op) bool { return o.is("create", ".log") || o.is("reuse", ".log") }, 10_000},
		{"syncing a log when it is closed", both[1:], func(o op) bool { return o.is("sync", ".log") }, 10_000},
		{"making a table", both, func(o op) bool { return o.is("create", ".sst") }, 10_000},
		{"writing a table", both, func(o op) bool { return o.is("write", ".sst") }, 10_000},
		{"syncing a table", both, func(o op) bool { return o.is("sync", ".sst") }, 10_000},
		{"writing the manifest", both, func(o op) bool { return o.is("write", "MANIFEST-#") }, 10_000},
		{"syncing the manifest", both, func(o op) bool { return o.is("sync", "MANIFEST-#") }, 10_000},
		{"syncing the directory", both, func(o op) bool { return o.is("sync", "data") }, 10_000},
		{"anything", both, func(o op) bool { return o.kind != "remove" }, 1000},
	} {
		for _, class := range test.classes {
			for cause, code := range map[error]leat.Code{
				errDisk: leat.CodeStoreFailed, syscall.ENOSPC: leat.CodeStoreFull, syscall.EDQUOT: leat.CodeStoreFull,
			} {
				if test.size > 1000 && cause == syscall.EDQUOT {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%v", test.name, class, cause), func(t *testing.T) {
					t.Parallel()
					f := newFailing(t, class)
					f.probe.fail(cause, test.match)
					f.check(f.untilItFails(test.size), code)
				})
			}
		}
	}
}

// After a failure nothing in the directory changes any more: above all
// nothing is removed that only a manifest that never reached the disk says is
// not needed.
func TestFailureFreezesTheDirectory(t *testing.T) {
	for _, what := range []string{"MANIFEST-#", ".sst", ".log"} {
		t.Run(what, func(t *testing.T) {
			f := newFailing(t, store.ClassDisk)
			for range 100 {
				must(t, f.append(10_000)) // some tables, some obsolete logs
			}
			f.probe.fail(errDisk, func(o op) bool { return o.is("write", what) })
			err := f.untilItFails(10_000)
			f.probe.take()
			f.check(err, leat.CodeStoreFailed)
			for _, o := range f.probe.take() {
				// What had begun on another goroutine may still end; it adds to
				// the directory and takes nothing away.
				if o.kind != "write" && o.kind != "sync" && o.kind != "create" {
					t.Errorf("after the failure: %s", o)
				}
			}
		})
	}
}

// A table that cannot be written must not leave Commits hanging, not even if
// they wait for the flush because the memtables are full.
func TestFailureWhileWritesStall(t *testing.T) {
	f := newFailing(t, store.ClassDisk)
	flushing := make(chan struct{}, 100)
	goOn := make(chan struct{})
	f.probe.on(func(o op) error {
		if o.is("create", ".sst") {
			flushing <- struct{}{}
			<-goOn
			return errDisk
		}
		return nil
	})
	failed := make(chan error)
	go func() { failed <- f.untilItFails(10_000) }() // ends when the flush fails; awaited below
	<-flushing
	// Pebble says when it holds writes up; without a flush it surely does
	// after three memtables.
	waitFor(t, func() bool {
		return f.db.Metrics().MemTable.Size >= maxMemtables*256<<10
	})
	close(goOn)
	f.check(<-failed, leat.CodeStoreFailed)
}

// Commits wait while compaction cannot keep pace. The wait ends when it can,
// when it fails and when the store is closed.
func TestWaitingForRoom(t *testing.T) {
	for _, end := range []string{"goes on", "fails", "is closed"} {
		t.Run(end, func(t *testing.T) {
			p := newProbe(vfs.NewMem())
			compacting := make(chan error)
			p.on(func(o op) error {
				if o.kind == "create" && o.category == "pebble-compaction" {
					return <-compacting
				}
				return nil
			})
			s := openTest(t, Options{FS: p, memtableSize: 64 << 10, l0Limit: 5})
			done := make(chan error, 1)
			stop := make(chan struct{})
			go func() { // ends with stop or when the store fails; awaited below
				for {
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
					if err := appendTo(s, "s", text(strings.Repeat("x", 10_000))); err != nil {
						done <- err
						return
					}
				}
			}()
			waitFor(t, func() bool { return s.db.Metrics().Levels[0].Sublevels >= 5 })
			// What is in the memtables may still go on, and then nothing.
			for head := uint64(0); head != s.Head(); {
				head = s.Head()
				for range 1000 {
					runtime.Gosched()
				}
			}
			var want leat.Code
			switch end {
			case "goes on":
				close(compacting)
				head := s.Head()
				waitFor(t, func() bool { return s.Head() > head+20 })
				close(stop)
			case "fails":
				want = leat.CodeStoreFailed
				compacting <- errDisk
				close(compacting)
			case "is closed":
				want = leat.CodeUnavailable
				go func() { // ends by itself, after Close has begun
					<-s.closing
					close(compacting)
				}()
				must(t, s.Close())
			}
			if err := <-done; want == "" && err != nil || want != "" && leat.CodeOf(err) != want {
				t.Errorf("a Commit that waits says %v, want code %q", err, want)
			}
		})
	}
}

// What Pebble considers fatal ends neither the process nor leaves anybody
// waiting.
func TestFatal(t *testing.T) {
	f := newFailing(t, store.ClassDisk)
	g := hold(t, f.probe)
	waiting := make(chan error, 2)
	go func() { waiting <- f.append(1) }() // awaited below
	g.wait(t, waiting)
	go pebbleLogger{f.Store}.Fatalf("a fault of %s", "Pebble's") // parked until the test binary ends
	if err := <-waiting; leat.CodeOf(err) != leat.CodeStoreFailed || !strings.Contains(err.Error(), "a fault of Pebble's") {
		t.Errorf("a Commit that waits says %v", err)
	}
	if err := f.Trim(context.Background(), "s", 1); err != nil && leat.CodeOf(err) != leat.CodeStoreFailed {
		t.Errorf("Trim says %v", err)
	}
	equal(t, "records that can be read", len(payloads(t, f.Store, "s")), len(f.acked))
	must(t, f.Close())
}

// A panic in Pebble fails the store and nothing else.
func TestPanic(t *testing.T) {
	f := newFailing(t, store.ClassDisk)
	b := f.db.NewBatch()
	must(t, b.Set([]byte("x"), nil, nil))
	must(t, f.db.Apply(b, pebble.NoSync))
	if err := f.apply(b); leat.CodeOf(err) != leat.CodeStoreFailed { // a batch may be applied once
		t.Errorf("apply says %v", err)
	}
	if err := f.append(1); leat.CodeOf(err) != leat.CodeStoreFailed {
		t.Errorf("Commit says %v", err)
	}
	must(t, f.Close())
}

// Opening fails with an error, and neither hangs nor panics, whichever
// operation is the first to fail.
func TestFailuresWhileOpening(t *testing.T) {
	base := vfs.NewMem()
	s := openTest(t, Options{FS: base, memtableSize: 256 << 10})
	payload := strings.Repeat("x", 10_000)
	for range 100 { // several memtables in the log
		mustAppend(t, s, "s", payload)
	}
	must(t, s.Close())
	clean := newProbe(vfs.NewMem())
	must(t, copyAll(base, clean.FS))
	s = openTest(t, Options{FS: clean, memtableSize: 256 << 10})
	must(t, s.Close())
	total := len(clean.take())
	step := max(1, total/25)
	for n := 0; n < total; n += step {
		p := newProbe(vfs.NewMem())
		must(t, copyAll(base, p.FS))
		var done atomic.Int64
		p.on(func(o op) error {
			if done.Add(1) > int64(n) && o.kind != "remove" {
				return errDisk
			}
			return nil
		})
		s, err := Open("leat/data", Options{FS: p, Logger: quiet, memtableSize: 256 << 10})
		if err == nil { // only the end of it was hit, by background work
			s.Close()
			continue
		}
		if c := leat.CodeOf(err); c != leat.CodeStoreFailed {
			t.Fatalf("operation %d of %d fails, and Open says %v", n, total, err)
		}
		p.on(nil)
		s = openTest(t, Options{FS: p})
		equal(t, "records after a failed opening", len(payloads(t, s, "s")), 100)
		must(t, s.Close())
	}
}

func copyAll(from, to vfs.FS) error {
	if err := to.MkdirAll("leat/data", 0o755); err != nil {
		return err
	}
	names, err := from.List("leat/data")
	for _, name := range names {
		err = errors.Join(err, vfs.CopyAcrossFS(from, "leat/data/"+name, to, "leat/data/"+name))
	}
	return err
}
