package pebblestore

import (
	"log/slog"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Options are the choices of a store. The zero value is good: durable on
// disk, 64 MiB of memory. A size or count of zero or less means the default.
type Options struct {
	// Durability is what a commit survives: store.ClassDisk, the default, or
	// store.ClassOS. A store may be opened with another class than before.
	Durability store.Class

	// Logger gets one line when the store fails and one for each file found
	// damaged. nil means slog.Default().
	Logger *slog.Logger

	// Now is the clock. nil means time.Now.
	Now func() time.Time

	// FS is the file system, for tests. nil means the real one.
	FS vfs.FS

	// CacheSize bounds the block cache and the memtables together, in bytes.
	// The default is 64 MiB.
	CacheSize int64

	// TailSize bounds, in bytes, the latest records that are kept in memory
	// for Follow. The default is 4 MiB.
	TailSize int

	// MaxRecord is the largest payload in bytes. The default is 16 MiB, the
	// most is 256 MiB.
	MaxRecord int

	// MaxTxBytes is the most payload in one Tx. The default is twice
	// MaxRecord; it is never less than MaxRecord.
	MaxTxBytes int

	// MaxTxRecords is the most records in one Tx. The default is 65,536.
	MaxTxRecords int

	// MaxOpenFiles bounds the table files that are kept open. The default is
	// 500.
	MaxOpenFiles int

	// PageCache has the log of class disk written through the page cache of the
	// system. Else it goes past it (O_DIRECT) where the file system can do that,
	// which Open finds out, and is synced as it is with it.
	PageCache bool

	// MinFree is how many bytes must be free on the file system to make a
	// stream or to append content. With fewer each such Tx is refused with
	// CodeStoreFull, and Health says so, until there is room again; what ends
	// or deletes streams, Trim and Drop go on. The system is asked with each Commit, and
	// while 2 GiB more than these are free every 100 ms. The default is none.
	MinFree int64

	// For tests; 0 means the constants of these names.
	memtableSize, l0Limit int
}

const (
	memtableSize  = 16 << 20
	maxMemtables  = 3
	mostMaxRecord = 256 << 20

	// l0Limit is the number of overlapping levels of fresh tables at which
	// commits wait for compaction; see room.go.
	l0Limit = 20
)

// withDefaults returns o with every field set, or what is wrong with it.
func (o Options) withDefaults() (Options, error) {
	switch o.Durability {
	case "":
		o.Durability = store.ClassDisk
	case store.ClassDisk, store.ClassOS:
	default:
		return o, leat.Errorf(leat.CodeInvalidParameter, "%q is not a durability class of this store", o.Durability).
			Advise(`Use "disk" or "os".`)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.CacheSize = positive(o.CacheSize, 64<<20)
	o.TailSize = positive(o.TailSize, 4<<20)
	o.MaxRecord = min(positive(o.MaxRecord, 16<<20), mostMaxRecord)
	o.MaxTxBytes = max(positive(o.MaxTxBytes, 2*o.MaxRecord), o.MaxRecord)
	o.MaxTxRecords = positive(o.MaxTxRecords, 1<<16)
	o.MaxOpenFiles = positive(o.MaxOpenFiles, 500)
	o.memtableSize = positive(o.memtableSize, memtableSize)
	o.l0Limit = positive(o.l0Limit, l0Limit)
	return o, nil
}

func positive[T int | int64](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

// comparer orders keys as bytes. Its name is of Leat's own so that Pebble
// itself refuses a directory of another program's before it changes anything.
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "leat.bytes"
	return &c
}()

// pebbleOptions returns how Pebble is run for s.
func (s *Store) pebbleOptions() *pebble.Options {
	po := &pebble.Options{
		Comparer: comparer,
		FS:       s.guard,
		Logger:   pebbleLogger{s},
		// Fixed, not FormatNewest: it decides which versions of Leat can open
		// the directory. It has chunks in the write-ahead log that say how
		// far it was synced, which tells damage from a torn tail.
		FormatMajorVersion: pebble.FormatTableFormatV6,

		CacheSize:                   s.options.CacheSize,
		MemTableSize:                uint64(s.options.memtableSize),
		MemTableStopWritesThreshold: maxMemtables,
		MaxOpenFiles:                s.options.MaxOpenFiles,

		// Pebble's own brake for level 0 would hold the commit lock until a
		// compaction ends, for ever if none can run any more. room.go brakes
		// instead, where a failure is noticed.
		L0StopWritesThreshold: math.MaxInt32,
	}
	if s.options.Durability == store.ClassOS {
		// Begins to write the log back while it grows. Otherwise all of it
		// would be written at once when it is closed, and commits wait for
		// that.
		po.WALBytesPerSync = 1 << 20
	}
	for i := range po.Levels {
		// Filters spare the lookup of a stream that does not exist yet.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		po.Levels[i].BlockSize = 16 << 10
	}
	// Compactions because of reads would wake an idle store.
	po.Experimental.ReadSamplingMultiplier = -1
	po.Experimental.SpanPolicyFunc = spans
	po.Local.ReadaheadConfig = readahead()
	po.Experimental.CompactionScheduler = &scheduler{guard: s.guard}
	po.EventListener = &pebble.EventListener{
		// Both are called with Pebble's mutex held: they must not block.
		BackgroundError: func(err error) { s.guard.fail("background work of the storage engine", err) },
		FlushEnd:        func(pebble.FlushInfo) { s.room.poke() },
		CompactionEnd:   func(pebble.CompactionInfo) { s.room.poke() },
		DataCorruption:  s.damaged,
	}
	return po
}

// readahead leaves it to the system to notice who reads on and to read ahead for them,
// in the descriptor of a table that all share and keep. Pebble would turn that off, and
// for each page of history find out anew that it is being read on, say so with system
// calls, and in the end open the table once more. A compaction says from the beginning
// that it reads all, of tables that it opens for itself.
func readahead() *pebble.ReadaheadConfig {
	c := objstorageprovider.NewReadaheadConfig()
	c.Set(objstorageprovider.FadviseSequential, objstorageprovider.NoReadahead)
	return c
}

// spans gives records tables of their own. Every flush has keys that are written again
// and again, from the head to the rows, with the records between them. In one table with
// these, records would overlap all that was flushed before, and be written again by each
// compaction; on their own, what a stream has got lies behind all that it had.
func spans(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	switch kind := start[0]; {
	case kind < kindRecord:
		end = []byte{kindRecord}
	case kind == kindRecord:
		end = []byte{kindRecord + 1}
	}
	return policy, end, nil
}
