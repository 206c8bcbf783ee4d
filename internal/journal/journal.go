// Package journal has the rules of streams, once, over any store: which
// content a stream takes, what a publisher's key is good for, and how
// concurrent appends become few transactions. Package store keeps the
// records; it knows none of this.
//
// Every answer is true of the store at a moment within the call. What the
// journal remembers of a stream between calls is a hint: a Tx that was
// computed from it is stored only if it still is the stream's version, and
// what refuses or answers an append without a Tx is read again first.
package journal

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// The defaults of Options.
const (
	DefaultMaxRecord = 1 << 20
	DefaultKeyWindow = 5 * time.Minute
	DefaultMemory    = 64 << 20
	DefaultTombstone = 7 * 24 * time.Hour
	DefaultForkDepth = 64
	defaultSweep     = time.Second

	DefaultProducerWindow = 7 * 24 * time.Hour
	DefaultMaxProducers   = 100_000
	DefaultMaxWaiting     = 64 << 20
)

// Options for a Journal. The zero value has the defaults.
type Options struct {
	// MaxRecord is the largest payload, in bytes, as it is stored. 0 means
	// DefaultMaxRecord, negative as large as the store takes. More than the
	// store takes is lowered to that.
	MaxRecord int

	// KeyWindow is for how long a key is recognised, counted from the time
	// of the record that was stored with it. 0 means DefaultKeyWindow,
	// negative that keys are stored and mean nothing.
	KeyWindow time.Duration

	// Memory bounds, in bytes, what is remembered of streams between
	// appends: their versions, content types and keys. The streams that were
	// used longest ago are forgotten first, and read again when needed.
	// Streams that are being appended to are not forgotten, so the keys of
	// one busy stream can take more. 0 means DefaultMemory, negative that
	// nothing is remembered.
	Memory int64

	// Topics bounds what is kept of streams that a publish made and no rule
	// matches. The zero value is no bound.
	Topics Retention

	// Rules bound what is kept of streams that do not say so themselves. The
	// first whose pattern matches counts.
	Rules []Rule

	// MaxStore bounds, in bytes by the store's own count, what it holds: if it
	// holds more, the oldest records of streams that a publish made are
	// removed until an eighth is free. Streams that were made on purpose are
	// left alone. 0 and negative mean no bound.
	MaxStore int64

	// Tombstone is for how long it is remembered that a stream was deleted or
	// has expired. 0 means DefaultTombstone, negative that it is forgotten at
	// the next sweep.
	Tombstone time.Duration

	// ProducerWindow is for how long a producer is remembered that sends
	// nothing. 0 means DefaultProducerWindow, negative that it is for as long
	// as the stream is there.
	ProducerWindow time.Duration

	// MaxProducers is how many producers of one stream are remembered: more
	// are refused. 0 means DefaultMaxProducers, negative that there is no
	// bound.
	MaxProducers int

	// MaxWaiting bounds, in bytes, the records that wait to be stored: what
	// would be beyond is refused, unless nothing waits. 0 means
	// DefaultMaxWaiting, negative that there is no bound.
	MaxWaiting int64

	// Pause is the time from the beginning of one commit to that of the next for which
	// a record waits for others to share a sync with, in a store of class disk, while
	// several publishers send at their own pace. Who comes back within half of it after
	// an answer is not delayed, and neither is what is appended without WithPublisher.
	// 0 means DefaultPause, negative that there is none.
	Pause time.Duration

	// ForkDepth is how many sources a fork may have behind each other: whoever
	// reads it looks at each. 0 means DefaultForkDepth, negative no bound.
	ForkDepth int

	// Sweep is how often what is due is looked for. 0 means every second,
	// negative only when Sweep is called.
	Sweep time.Duration

	// Now is the clock that keys and streams age by, nil for time.Now. It
	// should be the one that the store sets the time of records by.
	Now func() time.Time

	// Logger is told when something cannot be removed. nil means
	// slog.Default().
	Logger *slog.Logger
}

// A Journal appends to the streams of one store. All methods may be called by
// many goroutines at once.
type Journal struct {
	// Static after New.
	st           store.Store
	maxRecord    int
	maxTxRecords int
	maxTxBytes   int
	window       time.Duration
	memory       int64
	alone        bool // nobody else writes to the store
	now          func() time.Time
	loads        chan struct{} // a place for each caller that may read keys
	topics       Retention
	rules        []Rule
	maxStore     int64
	tombstone    time.Duration
	forkDepth    int
	log          *slog.Logger

	producerWindow time.Duration
	maxProducers   int
	maxWaiting     int64

	ctx     context.Context // of the keeper, ended by stop
	stop    context.CancelFunc
	tidy    chan struct{} // of capacity 1: something is over its bound
	running sync.WaitGroup

	// pinning is held from the look at the pins of a stream to what is done
	// because there are none, shared by those who only pin: they may go into one
	// commit. It is taken before mu.
	pinning  sync.RWMutex
	unpinned atomic.Bool // since the store was last searched for what may go

	sweeping sync.Mutex // held by Sweep
	oldest   uint64     // up to here no topic has records; guarded by sweeping
	crowded  bool       // this was told; guarded by sweeping

	queued atomic.Int64 // bytes of the submissions that are not answered yet
	dones  sync.Pool    // of channels of capacity 1 that nothing will be sent to any more

	mu sync.Mutex

	// Guarded by mu.
	work    sync.Cond // signalled when waiting or closed changes
	closed  bool
	streams map[string]*stream
	idle    stream                   // the root of the ring of those that nobody holds
	used    int64                    // what they cost, and the others when they were idle
	waiting []*stream                // those with a queue, in the order of their turn
	hurry   bool                     // one of them has lost against a rival, and must be quick
	full    map[string]struct{}      // streams that are over a bound
	claims  map[string]chan struct{} // of names of forks, closed when they are released
	pause   pause
	group   group // what is being committed; of whoever runs loop
	stored  stored
}

var errClosed = leat.Errorf(leat.CodeUnavailable, "the server is stopping").Advise("Repeat the request in a while, with the same key if it has one.")

// New returns a Journal over a store, which stays the caller's to close.
func New(st store.Store, o Options) *Journal {
	able := st.Abilities()
	j := &Journal{
		st:           st,
		maxRecord:    orDefault(o.MaxRecord, DefaultMaxRecord, math.MaxInt),
		maxTxRecords: cmp.Or(able.MaxTxRecords, math.MaxInt),
		maxTxBytes:   cmp.Or(able.MaxTxBytes, math.MaxInt),
		window:       orDefault(o.KeyWindow, DefaultKeyWindow, -1),
		memory:       orDefault(o.Memory, DefaultMemory, 0),
		alone:        able.ReadAfterWrite && able.Class != store.ClassReplicated,
		topics:       o.Topics,
		rules:        slices.Clone(o.Rules),
		maxStore:     o.MaxStore,
		tombstone:    orDefault(o.Tombstone, DefaultTombstone, 0),
		forkDepth:    orDefault(o.ForkDepth, DefaultForkDepth, -1),
		now:          o.Now,

		producerWindow: orDefault(o.ProducerWindow, DefaultProducerWindow, -1),
		maxProducers:   orDefault(o.MaxProducers, DefaultMaxProducers, math.MaxInt),
		maxWaiting:     orDefault(o.MaxWaiting, DefaultMaxWaiting, math.MaxInt64),

		log:     o.Logger,
		loads:   make(chan struct{}, maxLoads),
		tidy:    make(chan struct{}, 1),
		streams: make(map[string]*stream),
		full:    make(map[string]struct{}),
		claims:  make(map[string]chan struct{}),
	}
	j.maxRecord = min(j.maxRecord, cmp.Or(able.MaxRecord, math.MaxInt), j.maxTxBytes)
	if j.now == nil {
		j.now = time.Now
	}
	if j.log == nil {
		j.log = slog.Default()
	}
	j.idle.older, j.idle.newer = &j.idle, &j.idle
	j.work.L = &j.mu
	j.dones.New = func() any { return make(chan struct{}, 1) }
	j.pause.init(st, o.Pause)
	j.ctx, j.stop = context.WithCancel(context.Background())
	// The journal owns these goroutines. Close ends them and waits for them.
	j.running.Go(j.loop)
	if every := orDefault(o.Sweep, defaultSweep, 0); every > 0 {
		j.running.Go(func() { j.keep(every) })
	}
	return j
}

// orDefault returns what an option stands for: zero for the default, negative
// for the value given.
func orDefault[T int | int64 | time.Duration](v, zero, negative T) T {
	switch {
	case v == 0:
		return zero
	case v < 0:
		return negative
	}
	return v
}

// MaxRecord returns the largest payload that is taken, in bytes.
func (j *Journal) MaxRecord() int { return j.maxRecord }

// Close lets the commit that is under way finish, fails the appends that wait
// for the next one with leat.CodeUnavailable, and returns when the journal's
// goroutines have ended. Later appends fail in the same way.
func (j *Journal) Close() {
	j.mu.Lock()
	j.closed = true
	j.work.Signal()
	j.pause.cut()
	j.mu.Unlock()
	j.stop()
	j.running.Wait()
}
