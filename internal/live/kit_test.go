package live_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
	"github.com/leat-dev/leat/store/storetest"
)

// patience is when a test that still waits has failed. It is far beyond what
// any step takes: a lost wake-up is found by waiting for it in vain.
const patience = 30 * time.Second

// soak says that the campaigns are to have their full size.
func soak() bool { return os.Getenv("LEAT_SOAK") == "1" }

// raceDetector says that the race detector is on: everything takes ten times as
// long.
var raceDetector bool

// quiet is the logger of tests that make things fail on purpose.
var quiet = slog.New(slog.DiscardHandler)

// drivers are the stores that every test here runs over.
var drivers = []struct {
	name string
	open func(t testing.TB) store.Store
}{
	{"mem", openMem},
	{"pebble", openPebble},
	{"foreign", openForeign},
}

// overStores runs a test over every store.
func overStores(t *testing.T, test func(t *testing.T, st store.Store)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) { test(t, d.open(t)) })
	}
}

func openMem(t testing.TB) store.Store {
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

// openPebble opens a store of class os: what is proven here does not depend on
// the class, and fsyncs take time.
func openPebble(t testing.TB) store.Store {
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Durability: store.ClassOS, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

// openForeign opens a memory store that behaves as one node of a cluster.
func openForeign(t testing.TB) store.Store {
	return storetest.Foreign(openMem(t), storetest.ForeignOptions{ShortReads: true, Reverse: true})
}

func closeStore(t testing.TB, st store.Store) {
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// start returns a Live that ends with the test.
func start(t testing.TB, st store.Store, r live.Renderer, o live.Options) *live.Live {
	if r == nil {
		r = render.NewCache(0)
	}
	if o.Logger == nil {
		o.Logger = quiet
	}
	l := live.New(st, r, o)
	t.Cleanup(l.Close)
	return l
}

// plain is the encoding of these tests: a line with sequence, stream and
// payload.
type plain struct{}

func (plain) String() string { return "plain" }

func (plain) Append(dst []byte, r *leat.Record) []byte {
	return fmt.Appendf(dst, "%d %s %s\n", r.Offset.Seq, r.Stream, r.Data)
}

// counting is an encoding that counts the frames it makes.
type counting struct {
	name string
	made atomic.Int64
}

func (c *counting) String() string { return c.name }

func (c *counting) Append(dst []byte, r *leat.Record) []byte {
	c.made.Add(1)
	return plain{}.Append(dst, r)
}

// bell is a Waker that remembers one ring.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func filter(t testing.TB, topics ...string) *leat.Filter {
	t.Helper()
	f, err := leat.ParseFilter(topics...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put commits records of one stream in one Tx, over conflicts, and returns
// them as stored. It may be called by any goroutine.
func put(ctx context.Context, st store.Store, stream string, payloads ...string) ([]leat.Record, error) {
	for {
		info, err := st.Stream(ctx, stream)
		if err != nil {
			return nil, err
		}
		records := make([]leat.Record, len(payloads))
		pos := info.End
		for i, p := range payloads {
			records[i] = leat.Record{Stream: stream, Kind: leat.KindText, Pos: pos, Data: []byte(p)}
			pos = records[i].End()
		}
		results, err := st.Commit(ctx, []store.Tx{{Stream: stream, Version: info.Version, ContentType: "text/plain", Records: records}})
		if err != nil || results[0].Err == nil {
			return records, err
		}
		if results[0].Err != store.ErrConflict {
			return nil, results[0].Err
		}
	}
}

// appendTo commits one record and returns its sequence.
func appendTo(t testing.TB, st store.Store, stream, payload string) uint64 {
	t.Helper()
	records, err := put(t.Context(), st, stream, payload)
	if err != nil {
		t.Fatal(err)
	}
	return records[0].Offset.Seq
}

// fillLog appends n records, one after the other to the streams given, in few
// calls if nobody else writes, and returns them in log order.
func fillLog(t testing.TB, st store.Store, n int, payload string, streams ...string) []leat.Record {
	t.Helper()
	const group = 256
	var all []leat.Record
	for !st.Abilities().ReadAfterWrite && len(all) < n { // there are conflicts
		records, err := put(t.Context(), st, streams[len(all)%len(streams)], payload)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
	}
	infos := make([]store.Info, len(streams))
	for i, name := range streams {
		info, err := st.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		infos[i] = info
	}
	for len(all) < n {
		var txs []store.Tx
		used := min(len(streams), n-len(all), group)
		for i := range used {
			k := (len(all) + i) % len(streams)
			r := leat.Record{Stream: streams[k], Kind: leat.KindText, Pos: infos[k].End, Data: []byte(payload)}
			txs = append(txs, store.Tx{Stream: streams[k], Version: infos[k].Version, ContentType: "text/plain", Records: []leat.Record{r}})
		}
		results, err := st.Commit(t.Context(), txs)
		if err != nil {
			t.Fatal(err)
		}
		for i, result := range results {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
			r := txs[i].Records[0]
			k := (len(all)) % len(streams)
			infos[k].Version, infos[k].End = result.Version, r.End()
			all = append(all, r)
		}
	}
	return all
}

// A client is a reader with its bell and what it was sent.
type client struct {
	t testing.TB
	*live.Reader
	bell bell
	out  frame.Ranges
	text strings.Builder
}

func join(t testing.TB, l *live.Live, f *leat.Filter, enc frame.Encoding, at live.Start) *client {
	b := newBell()
	c := &client{t: t, Reader: l.Join(f, enc, at, b), bell: b}
	t.Cleanup(c.Close)
	return c
}

// take returns what is due now, at most about size bytes, and passes it.
func (c *client) take(size int) (string, live.State) {
	state := c.Peek(&c.out, size)
	if state != live.Due {
		return "", state
	}
	c.text.Reset()
	for _, p := range c.out.Bytes {
		c.text.Write(p)
	}
	c.Advance(&c.out, c.out.Len())
	return c.text.String(), state
}

// takePart passes n bytes of what is due, or all if there are fewer.
func (c *client) takePart(n int) string {
	c.t.Helper()
	if state := c.wait(1 << 20); state != live.Due {
		c.t.Fatalf("state %v, want Due", state)
	}
	text := c.peeked()
	n = min(n, len(text))
	c.Advance(&c.out, n)
	return text[:n]
}

// peeked returns what the last Peek put out.
func (c *client) peeked() string {
	c.text.Reset()
	for _, p := range c.out.Bytes {
		c.text.Write(p)
	}
	return c.text.String()
}

// wait peeks until there is something.
func (c *client) wait(size int) live.State {
	c.t.Helper()
	for {
		if state := c.Peek(&c.out, size); state != live.Idle {
			return state
		}
		c.awaitBell()
	}
}

func (c *client) awaitBell() {
	c.t.Helper()
	select {
	case <-c.bell:
	case <-time.After(patience):
		c.t.Fatalf("a reader at %d was not woken for %v; the goroutines:\n%s", c.After(), patience, stacks())
	}
}

// want reads lines until it has them all, and fails on anything else.
func (c *client) want(records ...leat.Record) {
	c.t.Helper()
	c.wantText(textOf(records...))
}

// textOf returns what records are in the encoding of these tests.
func textOf(records ...leat.Record) string {
	var text []byte
	for i := range records {
		text = plain{}.Append(text, &records[i])
	}
	return string(text)
}

// wantText compares piece by piece as it comes.
func (c *client) wantText(want string) {
	c.t.Helper()
	for want != "" {
		if state := c.wait(1 << 16); state != live.Due {
			c.t.Fatalf("state %v (%v), want Due with %.200q", state, c.Err(), want)
		}
		rest, ok := strings.CutPrefix(want, c.peeked())
		if !ok {
			c.t.Fatalf("got %.200q, want %.200q", c.peeked(), want)
		}
		c.Advance(&c.out, c.out.Len())
		want = rest
	}
}

// wantIdle fails if anything is due once the reader has seen all up to the
// head of the store.
func (c *client) wantIdle(st store.Store) {
	c.t.Helper()
	for {
		if state := c.Peek(&c.out, 1<<16); state != live.Idle {
			c.t.Fatalf("state %v at %d: %.200q", state, c.After(), c.peeked())
		}
		if c.After() >= st.Head() {
			return
		}
		c.awaitFollower()
	}
}

// awaitFollower lets the follower come to the head: nobody is woken for records
// that the feed does not want.
func (c *client) awaitFollower() {
	select {
	case <-c.bell:
	default:
		runtime.Gosched()
	}
}

// wantGap takes the gap that is told next.
func (c *client) wantGap() *live.Missing {
	c.t.Helper()
	if state := c.wait(1 << 16); state != live.Gap {
		c.t.Fatalf("state %v at %d, want a gap: %.200q", state, c.After(), c.peeked())
	}
	return c.TakeGap()
}

// wantState waits for anything and compares.
func (c *client) wantState(want live.State) {
	c.t.Helper()
	if state := c.wait(1 << 16); state != want {
		c.t.Fatalf("state %v at %d, want %v: %.200q", state, c.After(), want, c.peeked())
	}
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}

// A spy is a store that counts and can be held up or made to fail.
type spy struct {
	store.Store

	reads   atomic.Int64 // calls of ReadLog
	records atomic.Int64 // that these returned
	keys    atomic.Int64 // that these looked at

	mu      sync.Mutex
	onRead  func(ctx context.Context, f *leat.Filter) error // called before ReadLog, if not nil
	follows func(ctx context.Context) error                 // when it returns an error, Follow ends with it
}

func (s *spy) setOnRead(f func(ctx context.Context, f *leat.Filter) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRead = f
}

func (s *spy) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	s.mu.Lock()
	onRead := s.onRead
	s.mu.Unlock()
	if onRead != nil {
		if err := onRead(ctx, f); err != nil {
			return store.Batch{}, err
		}
	}
	b, err := s.Store.ReadLog(ctx, f, after, upTo, bytes)
	s.reads.Add(1)
	s.records.Add(int64(len(b.Records)))
	s.keys.Add(int64(b.Keys))
	return b, err
}

// Follow ends when follows says so, between two batches.
func (s *spy) Follow(ctx context.Context, after uint64) iter.Seq2[store.Batch, error] {
	if s.follows == nil {
		return s.Store.Follow(ctx, after)
	}
	return func(yield func(store.Batch, error) bool) {
		for b, err := range s.Store.Follow(ctx, after) {
			if err == nil {
				err = s.follows(ctx)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// A gate holds up whoever passes it while it is shut.
type gate struct {
	arrived chan struct{} // one for each that came
	open    chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 1<<10), open: make(chan struct{})} }

// pass waits for the gate or for ctx.
func (g *gate) pass(ctx context.Context) error {
	g.arrived <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
