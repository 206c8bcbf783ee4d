package pebblestore

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// No table has records and other keys: see spans.
func TestRecordsHaveTheirTables(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	tables := func() (records, others int) {
		t.Helper()
		must(t, s.db.Flush())
		levels, err := s.db.SSTables()
		must(t, err)
		for _, level := range levels {
			for _, table := range level {
				first, last := table.Smallest.UserKey[0], table.Largest.UserKey[0]
				switch {
				case (first == kindRecord) != (last == kindRecord):
					t.Errorf("a table from %q to %q", table.Smallest.UserKey, table.Largest.UserKey)
				case first == kindRecord:
					records++
				default:
					others++
				}
			}
		}
		return records, others
	}
	big := strings.Repeat("x", 100_000)
	for range 6 { // there are compactions meanwhile
		mustAppend(t, s, "s", big, big)
		if records, others := tables(); records == 0 || others == 0 {
			t.Fatalf("%d tables have records, and %d other keys", records, others)
		}
	}
}

// An opens counts how often each table is opened, and by whom it is said that it is not
// read on.
type opens struct {
	vfs.FS
	t     *testing.T
	mu    sync.Mutex
	times map[string]int
}

func (o *opens) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") {
		o.mu.Lock()
		o.times[name]++
		o.mu.Unlock()
		for _, opt := range opts {
			if opt == vfs.RandomReadsOption {
				o.t.Errorf("%s is opened for random reads: the system reads nothing ahead", name)
			}
		}
	}
	return o.FS.Open(name, opts...)
}

// One who reads on has the system read ahead, and opens nothing for it: see readahead.
func TestReadingOnOpensNothing(t *testing.T) {
	disk := vfs.NewMem()
	s, err := Open("leat/data", Options{FS: disk, Logger: quiet})
	must(t, err)
	noise := rand.NewChaCha8([32]byte{}) // does not compress
	for range 40 {
		big := make([]byte, 64<<10)
		_, _ = noise.Read(big)
		mustAppend(t, s, "s", string(big))
	}
	must(t, s.db.Flush())
	must(t, s.db.Compact(background, []byte{kindDue}, []byte{kindRemoval + 1}, false)) // none is due later
	must(t, s.Close())

	fs := &opens{FS: disk, t: t, times: map[string]int{}}
	s = openTest(t, Options{FS: fs})
	for after, pages := uint64(0), 0; ; pages++ {
		b, err := s.ReadStream(background, "s", after, 0, 1<<20)
		must(t, err)
		if len(b.Records) == 0 {
			equal(t, "pages", pages, 3)
			break
		}
		after = b.Next
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.times) == 0 {
		t.Error("no table was read")
	}
	for name, times := range fs.times {
		if times > 1 {
			t.Errorf("%s was opened %d times", name, times)
		}
	}
}
