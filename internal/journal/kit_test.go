package journal

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
	"github.com/leat-dev/leat/store/storetest"
)

// A clock is set by hand. Stores and journals of a test share it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_763_711_400, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A driver is a kind of store that tests run over.
type driver struct {
	name string
	open func(t testing.TB, c *clock) store.Store

	// rivals says that others write to the streams, and that answers lag.
	rivals bool
}

var drivers = []driver{
	{name: "memory", open: openMemory},
	{name: "pebble", open: func(t testing.TB, c *clock) store.Store { return openPebble(t, c, vfs.NewMem()) }},
	{name: "foreign", rivals: true, open: func(t testing.TB, c *clock) store.Store {
		return storetest.Foreign(openMemory(t, c), storetest.ForeignOptions{Seed: 1})
	}},
	{name: "foreign records", rivals: true, open: func(t testing.TB, c *clock) store.Store {
		return storetest.Foreign(openMemory(t, c), storetest.ForeignOptions{Seed: 2, MaxTxRecords: -1, Write: storetest.ForeignRecord})
	}},
}

func openMemory(_ testing.TB, c *clock) store.Store {
	return memstore.New(memstore.Options{Now: c.Now})
}

func openPebble(t testing.TB, c *clock, fs vfs.FS) store.Store {
	st, err := pebblestore.Open("data", pebblestore.Options{Now: c.Now, FS: fs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// each runs a test over a fresh store of each driver.
func each(t *testing.T, test func(t *testing.T, st store.Store, c *clock)) {
	for _, d := range drivers {
		d.run(t, test)
	}
}

// eachAlone is each without the drivers that have rivals. It is for what holds
// only if nobody interferes: how many commits there are, and what is known
// right after somebody else has removed a stream.
func eachAlone(t *testing.T, test func(t *testing.T, st store.Store, c *clock)) {
	for _, d := range drivers {
		if !d.rivals {
			d.run(t, test)
		}
	}
}

func (d driver) run(t *testing.T, test func(t *testing.T, st store.Store, c *clock)) {
	t.Run(d.name, func(t *testing.T) {
		c := newClock()
		st := d.open(t, c)
		t.Cleanup(func() { st.Close() })
		test(t, st, c)
	})
}

// open returns a journal that is closed with the test.
func open(t testing.TB, st store.Store, o Options) *Journal {
	j := New(st, o)
	t.Cleanup(j.Close)
	return j
}

// must appends what cannot fail.
func must(t testing.TB, j *Journal, as ...Append) []Appended {
	t.Helper()
	done, err := j.Append(context.Background(), as...)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if len(done) != len(as) {
		t.Fatalf("%d results for %d appends", len(done), len(as))
	}
	return done
}

// refused appends what must fail, and returns what was appended before.
func refused(t testing.TB, j *Journal, code leat.Code, as ...Append) []Appended {
	t.Helper()
	done, err := j.Append(context.Background(), as...)
	wantCode(t, err, code)
	return done
}

// post appends a record by Post, and waits for what is told.
func post(ctx context.Context, j *Journal, a Append) ([]Appended, error) {
	var told atomic.Int64
	answers := make(chan answer, 1)
	j.Post(ctx, a, func(done []Appended, err error) {
		if told.Add(1) > 1 {
			panic("told twice")
		}
		answers <- answer{done: done, err: err}
	})
	got := <-answers
	return got.done, got.err
}

// appendOne appends a record by Append or by Post, which are to answer alike.
func appendOne(ctx context.Context, j *Journal, byPost bool, a Append) ([]Appended, error) {
	if byPost {
		return post(ctx, j, a)
	}
	return j.Append(ctx, a)
}

// wantRest checks that nothing is held of streams that nobody uses, and nothing counted.
func wantRest(t testing.TB, j *Journal) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, s := range j.streams {
		if s.users != 0 || len(s.queue) != 0 {
			t.Errorf("%s is held by %d, and %d wait", name, s.users, len(s.queue))
		}
	}
	if n := j.queued.Load(); n != 0 {
		t.Errorf("%d bytes wait of nothing", n)
	}
}

func wantCode(t testing.TB, err error, code leat.Code) {
	t.Helper()
	var e *leat.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got the error %v, want code %s", err, code)
	}
	if e.Advice == "" {
		t.Errorf("the error %q has no advice", e.Detail)
	}
}

// text is a text record, and keyed one with a key.
func text(stream, data string) Append {
	return Append{Stream: stream, ContentType: "text/plain", Data: []byte(data)}
}

func keyed(stream, key, data string) Append {
	a := text(stream, data)
	a.Key = key
	return a
}

// records returns all records of a stream but those of a rival.
func records(t testing.TB, st store.Store, name string) (all []leat.Record) {
	t.Helper()
	for _, r := range everything(t, st, name) {
		if r.Type != "foreign" {
			all = append(all, r)
		}
	}
	return all
}

// everything returns all records of a stream.
func everything(t testing.TB, st store.Store, name string) (all []leat.Record) {
	t.Helper()
	for after := uint64(0); ; {
		b, err := st.ReadStream(context.Background(), name, after, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Records...)
		if b.Next <= after || b.Next >= st.Head() {
			return all
		}
		after = b.Next
	}
}

// wantPositions checks that a stream's records lie end to end.
func wantPositions(t testing.TB, st store.Store, name string) {
	t.Helper()
	var end int64
	for _, r := range everything(t, st, name) {
		if r.Pos != end {
			t.Fatalf("%s: a record at byte %d, want %d", name, r.Pos, end)
		}
		end = r.End()
	}
}

// contents returns the payloads of a stream.
func contents(t testing.TB, st store.Store, name string) (all []string) {
	t.Helper()
	for _, r := range records(t, st, name) {
		all = append(all, string(r.Data))
	}
	return all
}

// A hooked store does what a test wants before, or instead of, what it does.
// A hook that is nil is not called. They are set before the store is used.
type hooked struct {
	store.Store
	abilities  func(store.Abilities) store.Abilities
	commit     func(ctx context.Context, txs []store.Tx) ([]store.Result, error)
	stream     func(name string) error
	readStream func(ctx context.Context, name string) error
	trim       func(name string) error
	drop       func(name string)
}

func (h *hooked) Abilities() store.Abilities {
	a := h.Store.Abilities()
	if h.abilities != nil {
		a = h.abilities(a)
	}
	return a
}

func (h *hooked) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if h.commit != nil {
		return h.commit(ctx, txs)
	}
	return h.Store.Commit(ctx, txs)
}

func (h *hooked) Stream(ctx context.Context, name string, keys ...string) (store.Info, error) {
	if h.stream != nil {
		if err := h.stream(name); err != nil {
			return store.Info{}, err
		}
	}
	return h.Store.Stream(ctx, name, keys...)
}

func (h *hooked) ReadStream(ctx context.Context, name string, after, upTo uint64, bytes int) (store.Batch, error) {
	if h.readStream != nil {
		if err := h.readStream(ctx, name); err != nil {
			return store.Batch{}, err
		}
	}
	return h.Store.ReadStream(ctx, name, after, upTo, bytes)
}

func (h *hooked) Trim(ctx context.Context, name string, through uint64) error {
	if h.trim != nil {
		if err := h.trim(name); err != nil {
			return err
		}
	}
	return h.Store.Trim(ctx, name, through)
}

func (h *hooked) Drop(ctx context.Context, name string, version uint64) error {
	if h.drop != nil {
		h.drop(name)
	}
	return h.Store.Drop(ctx, name, version)
}

// A gate makes commits wait. Each commit that begins is announced; it goes on
// when it is let.
type gate struct {
	began chan []store.Tx
	let   chan error // the error to answer with instead, or nil
	ended chan bool  // closed by open: then nothing waits
	once  sync.Once
}

// open lets everything pass from now on.
func (g *gate) open() { g.once.Do(func() { close(g.ended) }) }

// openGated returns a journal whose commits pass a gate.
func openGated(t testing.TB, st store.Store, o Options) (*Journal, *gate) {
	g := &gate{began: make(chan []store.Tx), let: make(chan error), ended: make(chan bool)}
	j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
		select {
		case g.began <- txs:
		case <-g.ended:
		}
		select {
		case err := <-g.let:
			if err != nil {
				return nil, err
			}
		case <-g.ended:
		}
		return st.Commit(ctx, txs)
	}}, o)
	t.Cleanup(g.open)
	return j, g
}

// waitQueued waits until n submissions wait for a stream.
func waitQueued(t testing.TB, j *Journal, name string, n int) {
	t.Helper()
	for queued(j, name) != n {
		runtime.Gosched()
	}
}

// queued returns how many submissions wait for a stream.
func queued(j *Journal, name string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := j.streams[name]; s != nil {
		return len(s.queue)
	}
	return 0
}
