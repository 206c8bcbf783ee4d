package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
	"github.com/leat-dev/leat/store/storetest"
)

// A world is a store with its truth, and the servers that serve it one after the
// other: its lives.
type world struct {
	t     *testing.T
	seed  uint64
	class store.Class
	disk  *vfs.MemFS // of a store on disk
	clock atomic.Int64
	truth truth
	seen  map[leat.Offset]string // who was told of an entry

	tags map[string]string // what came with each entity tag

	producers []*repeater
	once      map[string]condition // records that may be stored once
	forks     map[string]fork      // that were asked for
	forked    []string             // that were made

	skipped int            // gaps of readers that were too slow
	met     map[string]int // how often what was met, for the log

	mu      sync.Mutex
	changed *sync.Cond
	life    *life // the newest one, nil when all is over
	over    bool
	lives   int
	waiting int // readers that have nothing to do in the life that they have ended
}

// A life is one server over the store, from its opening to its end.
type life struct {
	n       int
	url     string
	srv     *server.Server
	hs      *http.Server
	st      *witness
	clients []*http.Client // one for each version of HTTP

	websockets *http.Client // of those, which can open one
	ops        atomic.Int64 // that are to be done before it ends
	answers    atomic.Int64 // that readers are to get before it ends
	once       sync.Once
	draining   chan struct{}          // closed when writers have stopped, and readers are to come to the end
	quit       atomic.Bool            // writers stop
	dead       atomic.Bool            // nothing counts any more that comes from here
	ending     atomic.Int64           // the tick from which readers may be sent away
	target     atomic.Pointer[target] // readers that have come so far have done all there is to do
	enough     chan struct{}          // closed after as many ops as the life is to have
	stopped    chan struct{}          // closed when connections are cut
	served     chan struct{}
}

// enoughIf ends the wait of write when both counts are done.
func (l *life) enoughIf() {
	if l.ops.Load() <= 0 && l.answers.Load() <= 0 {
		l.once.Do(func() { close(l.enough) })
	}
}

// A target is where readers come to when nobody writes any more.
type target struct {
	at    string
	ended map[string]bool // the streams that have ended
}

func newWorld(t *testing.T, class store.Class, seed uint64) *world {
	w := &world{t: t, class: class, seed: seed, seen: make(map[leat.Offset]string)}
	w.truth.gens = make(map[string][]*content)
	w.met = make(map[string]int)
	w.tags, w.once, w.forks = make(map[string]string), make(map[string]condition), make(map[string]fork)
	w.truth.ticks.Store(1)
	w.changed = sync.NewCond(&w.mu)
	w.clock.Store(time.Now().UnixMicro())
	if !w.forgets() {
		w.disk = vfs.NewCrashableMem()
	}
	return w
}

// meets counts what was met, so that it can be seen what a world tests.
func (w *world) meets(what ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.met[fmt.Sprint(what...)]++
}

// rand returns a source of its own for each actor and life.
func (w *world) rand(actor, life int) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, uint64(actor)<<32|uint64(life)))
}

// now is the clock of all: it moves when somebody looks, and when it is set.
func (w *world) now() time.Time { return time.UnixMicro(w.clock.Add(1)) }

// classForeign is memory as one node of a cluster would show it: a second writer makes
// conflicts and holes, and reads of the log stop short. It does not lag: what the model
// was told it asks for at once.
const classForeign store.Class = "foreign"

// forgets reports whether nothing is left of a life in the next one.
func (w *world) forgets() bool { return w.class == store.ClassMemory || w.class == classForeign }

func (w *world) open() store.Store {
	if w.forgets() {
		st := store.Store(memstore.New(memstore.Options{Now: w.now}))
		if w.class == classForeign {
			st = storetest.Foreign(st, storetest.ForeignOptions{Seed: w.seed, Lag: -1, MaxTxRecords: -1, ShortReads: true, Reverse: true})
		}
		return st
	}
	st, err := pebblestore.Open("data", pebblestore.Options{
		Durability: w.class, FS: w.disk, Now: w.now, Logger: slog.New(slog.DiscardHandler),
		CacheSize: 8 << 20, TailSize: 16 << 10,
	})
	if err != nil {
		w.t.Fatalf("the store cannot be opened again: %v", err)
	}
	return st
}

// modelRules bound some of the topics and streams.
var modelRules = []server.RetentionRule{
	{Pattern: "t/1", Retention: server.Retention{Records: 8}},
	{Pattern: "t/2", Retention: server.Retention{Bytes: 1500}},
	{Pattern: "t/3", Retention: server.Retention{Age: 3 * time.Second}},
	{Pattern: "s/4", Retention: server.Retention{Records: 6}},
}

// modelLag is how many records a reader may lag behind in the worlds where it is skipped.
const modelLag = 3

// slow are the rules for slow readers, in every other world.
func (w *world) slow() []server.SlowRule {
	if w.seed%2 == 0 {
		return nil
	}
	return []server.SlowRule{{Pattern: "q/0"}, {Pattern: "**", Records: modelLag, Skip: true}}
}

// readChunk bounds the answers of the Durable Streams protocol in half of the worlds.
func (w *world) readChunk() int {
	if w.seed&2 == 0 {
		return 0
	}
	return 500
}

// begin opens the store and starts a server.
func (w *world) begin(st store.Store) *life {
	l := &life{enough: make(chan struct{}), draining: make(chan struct{}), stopped: make(chan struct{}), served: make(chan struct{})}
	l.st = &witness{Store: st, truth: &w.truth, dead: &l.dead}
	srv, err := server.New(server.WithClock(server.Options{
		Store: l.st, Logger: slog.New(slog.DiscardHandler), Heartbeat: 5 * time.Millisecond,
		Retention: modelRules, Slow: w.slow(), TopicAge: 20 * time.Second, MaxStore: 96 << 10, TailMemory: 32 << 10, Drain: -1,
		LongPollTimeout: 20 * time.Millisecond, ReadChunk: w.readChunk(),
	}, w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	l.srv, l.url = srv, "http://"+ln.Addr().String()
	l.hs = &http.Server{Handler: srv, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	if w.seed&4 == 0 { // connections are taken over in every other world
		l.hs.ConnContext = srv.ConnContext
	}
	l.hs.Protocols.SetHTTP1(true)
	l.hs.Protocols.SetUnencryptedHTTP2(true)
	go func() { defer close(l.served); l.hs.Serve(ln) }() // ended by hs.Close in end
	for name, set := range protocols {
		tp := &http.Transport{Protocols: new(http.Protocols), MaxIdleConnsPerHost: 100}
		set(tp.Protocols)
		l.clients = append(l.clients, &http.Client{Transport: tp})
		if name == "HTTP/1.1" {
			l.websockets = l.clients[len(l.clients)-1]
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
	l.n = w.lives
	w.life = l
	w.changed.Broadcast()
	return l
}

// next waits for a life after the one with a number; nil: there is none.
func (w *world) next(after int) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	w.changed.Broadcast()
	for !w.over && (w.life == nil || w.life.n <= after) {
		w.changed.Wait()
	}
	w.waiting--
	if w.over {
		return nil
	}
	return w.life
}

// rest waits until n readers have nothing to do any more.
func (w *world) rest(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := false
	timer := time.AfterFunc(60*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		late = true
		w.changed.Broadcast()
	})
	defer timer.Stop()
	for w.waiting < n && !late {
		w.changed.Wait()
	}
	return !late
}

// The ways in which a life ends.
const (
	endDrained  = "drained"      // writers stop, readers get all there is
	endShutdown = "shut down"    // in the middle of everything
	endKilled   = "killed"       // the process
	endCut      = "cut off"      // the power: what was not synced may be lost
	endCutHard  = "cut off hard" // and is
)

// end ends a life, and its store. written waits for the writers.
func (w *world) end(l *life, how string, r *rand.Rand, readers int, written func()) {
	if how == endDrained {
		l.quit.Store(true)
		written()
		w.drain(l, readers)
	}
	l.ending.Store(w.truth.tick())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	shutdown := func() {
		if err := l.srv.Shutdown(ctx); err != nil {
			w.t.Fatalf("life %d: Shutdown: %v", l.n, err)
		}
	}
	switch how {
	case endDrained, endShutdown:
		shutdown()
		l.dead.Store(true)
	default:
		l.dead.Store(true) // first: what was received before is older than the cut
		if w.disk != nil {
			percent := map[string]int{endKilled: 100, endCut: r.IntN(4) * 33}[how]
			w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r})
		}
	}
	l.quit.Store(true)
	l.hs.Close()
	close(l.stopped)
	<-l.served
	shutdown()
	written()
	for _, c := range l.clients {
		c.CloseIdleConnections()
	}
	if !w.rest(readers) {
		w.t.Fatalf("life %d, %s: readers do not notice that it is over", l.n, how)
	}
	old := l.st.Epochs()
	if err := l.st.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.truth.settle(w.t, old)
}

// drain waits until the readers have got all that there is.
func (w *world) drain(l *life, readers int) {
	if err := l.srv.Sweep(w.t.Context()); err != nil {
		w.t.Errorf("Sweep: %v", err)
	}
	to := &target{ended: make(map[string]bool)}
	for _, name := range modelNames {
		info, err := l.st.Stream(w.t.Context(), name)
		if err != nil || info.Last == 0 {
			continue
		}
		b, err := l.st.ReadStream(w.t.Context(), name, info.Last-1, info.Last, 1)
		to.ended[name] = err == nil && len(b.Records) > 0 && b.Records[0].Kind == leat.KindEnd
	}
	to.at = l.st.Epochs().Offset(l.st.Head()).String()
	l.target.Store(to)
	close(l.draining)
	if !w.rest(readers) {
		w.t.Errorf("life %d: readers do not come to the end, %s", l.n, to.at)
	}
}

// do sends a request of an actor. The answer does not count, and there is none, if
// the life has ended by the time it is read.
func (l *life) do(r *rand.Rand, req *http.Request) (*http.Response, []byte, bool) {
	resp, err := l.clients[r.IntN(len(l.clients))].Do(req)
	if err != nil {
		return nil, nil, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err == nil && !l.dead.Load()
}
