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
	"math"
	"sync"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// The defaults of Options.
const (
	DefaultMaxRecord = 1 << 20
	DefaultKeyWindow = 5 * time.Minute
	DefaultMemory    = 64 << 20
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

	// Now is the clock that keys age by, nil for time.Now. It should be the
	// one that the store sets the time of records by.
	Now func() time.Time
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
	now          func() time.Time
	loads        chan struct{} // a place for each caller that may read keys
	ended        chan struct{} // closed when the loop has returned

	mu sync.Mutex

	// Guarded by mu.
	work    sync.Cond // signalled when waiting or closed changes
	closed  bool
	streams map[string]*stream
	idle    stream    // the root of the ring of those that nobody holds
	used    int64     // what they cost, and the others when they were idle
	waiting []*stream // those with a queue, in the order of their turn
	hurry   bool      // one of them has lost against a rival, and must be quick
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
		now:          o.Now,
		loads:        make(chan struct{}, maxLoads),
		ended:        make(chan struct{}),
		streams:      make(map[string]*stream),
	}
	j.maxRecord = min(j.maxRecord, cmp.Or(able.MaxRecord, math.MaxInt), j.maxTxBytes)
	if j.now == nil {
		j.now = time.Now
	}
	j.idle.older, j.idle.newer = &j.idle, &j.idle
	j.work.L = &j.mu
	// The journal owns this goroutine. Close ends it and waits for it.
	go j.loop()
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
// goroutine has ended. Later appends fail in the same way.
func (j *Journal) Close() {
	j.mu.Lock()
	j.closed = true
	j.work.Signal()
	j.mu.Unlock()
	<-j.ended
}
