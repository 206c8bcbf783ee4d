package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/pebblestore"
)

// onDisk opens a store on a file system in memory.
func onDisk(t *testing.T, o pebblestore.Options) *pebblestore.Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	st, err := pebblestore.Open("data", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// "Disk full and fsync errors (507 or 503, a clear log line, nothing
// acknowledged that is not stored, reads go on)", from the file system to the
// client and back: what was answered, and no answer that failed, is there after
// a power cut.
func TestDiskFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		ops    []errorfs.OpKind
		cause  syscall.Errno
		status int
	}{
		{"full", []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt}, syscall.ENOSPC, 507},
		{"full at the fsync", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, syscall.ENOSPC, 507},
		{"write error", []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt}, syscall.EIO, 503},
		{"fsync error", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}, syscall.EIO, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			var fails atomic.Bool
			disk, log := vfs.NewCrashableMem(), new(lockedBuffer)
			st := onDisk(t, pebblestore.Options{
				Logger: slog.New(slog.NewTextHandler(log, nil)),
				FS: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if fails.Load() && strings.HasSuffix(op.Path, ".log") {
						for _, kind := range test.ops {
							if op.Kind == kind {
								return test.cause
							}
						}
					}
					return nil
				})),
			})
			s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
			reading := s.subscribe("topic=a")
			reading.next()
			var ids []string
			for i := range 5 {
				ids = append(ids, s.publish("a", fmt.Sprint(i)))
			}
			fails.Store(true)
			for i := range 3 {
				resp := s.do("POST", "/events?topic=a", "lost", "Content-Type", "text/plain")
				a := s.read(resp)
				if resp.StatusCode != test.status || a["advice"] == nil {
					t.Errorf("publish %d: status %d, %v; want %d", i, resp.StatusCode, a, test.status)
				}
			}
			fails.Store(false) // the disk has room again, and nobody trusts it
			if resp := s.do("POST", "/events?topic=a", "lost", "Content-Type", "text/plain"); resp.StatusCode != test.status {
				t.Errorf("publish when the disk works again: status %d, want %d", resp.StatusCode, test.status)
			}
			if resp := s.do("GET", "/healthz", ""); resp.StatusCode != 503 || s.read(resp)["status"] != "failed" {
				t.Errorf("healthz: status %d", resp.StatusCode)
			}
			later := s.subscribe("topic=a&from=start")
			later.next()
			for i, id := range ids {
				if a, b := reading.next(), later.next(); a.ID != id || b.ID != id {
					t.Errorf("record %d: %s was answered, readers got %s and %s", i, id, a.ID, b.ID)
				}
			}
			if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, test.cause.Error()) {
				t.Errorf("logged, want one line that has %q:\n%s", test.cause, text)
			}
			again := onDisk(t, pebblestore.Options{FS: disk.CrashClone(vfs.CrashCloneCfg{})})
			found, err := again.ReadStream(t.Context(), "a", 0, 0, 1<<20)
			if err != nil || len(found.Records) != len(ids) {
				t.Fatalf("after a power cut there are %d records, %v; %d were answered", len(found.Records), err, len(ids))
			}
			for i, r := range found.Records {
				if string(r.Data) != fmt.Sprint(i) || r.Offset.String() != ids[i] {
					t.Errorf("record %d is %s %q, answered was %s", i, r.Offset, r.Data, ids[i])
				}
			}
		})
	}
}

// A reader that has seen what a power cut took from a store of class os is told
// so, and goes on with what comes then: the gap "lost".
func TestLostIsTold(t *testing.T) {
	disk := vfs.NewCrashableMem()
	before := start(t, server.Options{Store: onDisk(t, pebblestore.Options{Durability: store.ClassOS, FS: disk})}, protocols["HTTP/1.1"])
	synced := disk.CrashClone(vfs.CrashCloneCfg{}) // nothing is published yet
	r := before.subscribe("topic=a")
	r.next()
	for i := range 10 {
		before.publish("a", fmt.Sprint(i))
	}
	seen := ""
	for range 10 {
		seen = r.next().ID
	}
	overProtocols(t, server.Options{Store: onDisk(t, pebblestore.Options{Durability: store.ClassOS, FS: synced})}, func(t *testing.T, s *service) {
		end := s.publish("a", "end")
		r := s.subscribe("topic=a", "Last-Event-ID", seen)
		begin := r.next()
		if g := readGap(t, r.next()); g.Reason != "lost" || g.Asked != seen || g.Next != begin.ID || g.Next >= end {
			t.Errorf("the reader was told %+v", g)
		}
		for { // both protocols have one store
			if ev := r.next(); ev.ID == end {
				break
			} else if string(ev.Data) != "end" {
				t.Fatalf("after the gap came %+v", ev)
			}
		}
		resp := s.do("GET", "/events?topic=a&gap=error", "", "Last-Event-ID", seen)
		if a := s.read(resp); resp.StatusCode != 410 || a["reason"] != "lost" || a["asked"] != seen {
			t.Errorf("with gap=error: status %d, %v", resp.StatusCode, a)
		}
	})
}

// Who follows the bytes of a stream has more of them than the tag says that its answer
// began with. After a restart it goes on, and after a power cut that took some of these
// bytes, in class os, it gets all there is: also if as many others have come since.
func TestIfRangeAfterFollowing(t *testing.T) {
	opened := func(disk *vfs.MemFS, keep int) (*vfs.MemFS, *service) {
		if disk == nil {
			disk = vfs.NewCrashableMem()
		} else {
			disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(1, 1))})
		}
		return disk, start(t, server.Options{Store: onDisk(t, pebblestore.Options{Durability: store.ClassOS, FS: disk})}, protocols["HTTP/1.1"])
	}
	disk, s := opened(nil, 0)
	s.make("a", "text/plain", "01234")
	disk, s = opened(disk, 100) // which makes what there is durable
	resp := s.do("GET", "/streams/a?follow=1", "")
	s.add("a", "text/plain", "56789")
	expect(t, resp.Body, "0123456789")
	for _, test := range []struct {
		what               string
		keep               int
		before             int // the status before more is appended
		status             int // and then
		beforeBody, answer string
	}{
		{"a restart", 100, 416, 206, "no byte 10", "other"},
		{"a power cut", 0, 200, 200, "01234", "01234other"},
	} {
		_, s := opened(disk, test.keep)
		ask := func() fetched {
			return s.fetch("GET", "/streams/a", "", "Range", "bytes=10-", "If-Range", resp.Header.Get("ETag"))
		}
		ask().want(t, "after "+test.what, test.before, test.beforeBody)
		s.add("a", "text/plain", "other")
		f := ask()
		f.want(t, "after "+test.what+", with more", test.status, test.answer)
		if f.body != test.answer {
			t.Errorf("after %s: %q", test.what, f.body)
		}
	}
}

// A lockedBuffer may be written by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
