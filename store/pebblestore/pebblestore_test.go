package pebblestore

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

var background = context.Background()

// The limits are small so that the suite reaches them cheaply.
var small = Options{Logger: quiet, MaxRecord: 1 << 20, MaxTxRecords: 4096}

// inMemory opens stores on a file system in memory.
func inMemory(class store.Class) storetest.Harness {
	return storetest.Harness{
		Open: func(t testing.TB) store.Store {
			o := small
			o.Durability, o.FS = class, vfs.NewMem()
			return openTest(t, o)
		},
		Medium: func(testing.TB) storetest.Medium { return newMedium(class, vfs.NewCrashableMem()) },
	}
}

// onDisk opens stores on the real file system.
func onDisk(o Options) storetest.Harness {
	h := inMemory(o.Durability)
	h.Open = func(t testing.TB) store.Store {
		s, err := Open(t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return h
}

func TestStore(t *testing.T)         { storetest.Run(t, onDisk(small)) }
func TestStoreClassOS(t *testing.T)  { storetest.Run(t, inMemory(store.ClassOS)) }
func TestCrash(t *testing.T)         { storetest.RunCrash(t, inMemory(store.ClassDisk)) }
func TestCrashClassOS(t *testing.T)  { storetest.RunCrash(t, inMemory(store.ClassOS)) }
func TestFaults(t *testing.T)        { storetest.RunFaults(t, inMemory(store.ClassDisk)) }
func TestFaultsClassOS(t *testing.T) { storetest.RunFaults(t, inMemory(store.ClassOS)) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, onDisk(Options{Logger: quiet})) }

func BenchmarkStoreClassOS(b *testing.B) {
	storetest.Bench(b, onDisk(Options{Logger: quiet, Durability: store.ClassOS}))
}

// A medium is a disk that can lose power and fail.
type medium struct {
	class store.Class
	disk  *vfs.MemFS
	probe *probe

	mu     sync.Mutex
	faults map[storetest.Op]error // guarded by mu
}

func newMedium(class store.Class, disk *vfs.MemFS) *medium {
	m := &medium{class: class, disk: disk, probe: newProbe(disk), faults: make(map[storetest.Op]error)}
	m.probe.on(m.inject)
	return m
}

func (m *medium) Open() (store.Store, error) {
	m.probe.take()
	s, err := Open("leat/data", Options{Durability: m.class, FS: m.probe, Logger: quiet})
	if err != nil {
		return nil, err
	}
	// Whatever the disk went through, what is counted is what there is.
	if size, err := s.countSize(); err != nil || size != s.Size() {
		_ = s.Close()
		return nil, fmt.Errorf("the size is %d, the rows add up to %d, %v", s.Size(), size, err)
	}
	return s, nil
}

// PowerCut keeps each unsynced block of 4 KiB, and each unsynced directory
// entry, or loses it, by a coin that is biased differently each time.
func (m *medium) PowerCut() storetest.Medium {
	return newMedium(m.class, cutPower(m.disk, rand.IntN(5)*25))
}

func cutPower(disk *vfs.MemFS, percentKept int) *vfs.MemFS {
	return disk.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: percentKept,
		RNG:                 rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	})
}

func (m *medium) Fail(op storetest.Op, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[op] = err
}

func (m *medium) inject(o op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch o.kind {
	case "write", "create", "reuse":
		return m.faults[storetest.OpWrite]
	case "sync":
		return m.faults[storetest.OpSync]
	}
	return nil
}

// openTest opens a store that the test closes at its end.
func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	s, err := Open("leat/data", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// version returns the version of a stream.
func version(t testing.TB, s *Store, name string) uint64 {
	t.Helper()
	info, err := s.Stream(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Version
}

// text makes records of payloads.
func text(payloads ...string) []leat.Record {
	records := make([]leat.Record, len(payloads))
	for i, p := range payloads {
		records[i] = leat.Record{Kind: leat.KindText, Data: []byte(p)}
	}
	return records
}

// appendTo appends to a stream, whatever its version is.
func appendTo(s *Store, name string, records []leat.Record) error {
	ctx := context.Background()
	for {
		info, err := s.Stream(ctx, name)
		if err != nil {
			return err
		}
		pos := info.End
		for i := range records {
			records[i].Pos = pos
			pos = records[i].End()
		}
		results, err := s.Commit(ctx, []store.Tx{{Stream: name, Version: info.Version, ContentType: "text/plain", Records: records}})
		if err != nil {
			return err
		}
		if results[0].Err != store.ErrConflict {
			return results[0].Err
		}
	}
}

func mustAppend(t testing.TB, s *Store, name string, payloads ...string) []leat.Record {
	t.Helper()
	records := text(payloads...)
	if err := appendTo(s, name, records); err != nil {
		t.Fatal(err)
	}
	return records
}

// payloads reads a whole stream.
func payloads(t testing.TB, s *Store, name string) []string {
	t.Helper()
	var all []string
	for after := uint64(0); after < s.Head(); {
		b, err := s.ReadStream(context.Background(), name, after, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			all = append(all, string(r.Data))
		}
		after = b.Next
	}
	return all
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Fatalf("%s: %s, want %s", what, g, w)
	}
}

func str(v any) string { return fmt.Sprintf("%+v", v) }

// waitFor waits until something that happens by itself has happened.
func waitFor(t testing.TB, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); runtime.Gosched() {
		if time.Since(start) > 30*time.Second {
			t.Fatal("it does not happen")
		}
	}
}
