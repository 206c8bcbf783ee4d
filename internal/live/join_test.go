package live_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/storetest"
)

// "Joining history to live under concurrent appends and trims, no gap, no
// repeat."
//
// Writers append to many streams while others trim and drop them. Readers with
// filters of every kind join wherever they like, take what is due in pieces of
// one byte, seven or all, leave in the middle of a frame and come back. The
// cache is so small that nothing stays in memory for long. What each reader was
// sent is then held against what was committed and removed: see book_test.go.
//
// What a campaign meets depends on how the machine schedules it, so there are
// as many as it takes to meet everything that they are for.
func TestJoinIsExact(t *testing.T) {
	least, most := uint64(4), uint64(100)
	if soak() {
		least, most = 500, 500
	}
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			var total tally
			for seed := uint64(0); seed < least || seed < most && !total.whole(); seed++ {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					c := newCampaign(t, d.open(t), seed)
					c.run()
					for _, s := range c.sessions {
						c.book.check(t, s, &total)
					}
					total.evictions += c.cache.Evictions()
				})
				if t.Failed() {
					return
				}
			}
			t.Logf("%+v", total)
			if !total.whole() {
				t.Errorf("%+v: the campaigns do not reach what they are for", total)
			}
		})
	}
}

// tally says what the campaigns have met.
type tally struct {
	sessions, frames, gaps, more, overtaken int
	fromMemory                              int
	evictions                               uint64
	skipped, slow                           int
}

// whole reports whether everything was met at least once.
func (t tally) whole() bool {
	return t.gaps > 0 && t.more > 0 && t.overtaken > 0 && t.evictions > 0 && t.fromMemory > 0 && t.skipped > 0 && t.slow > 0
}

// A campaign is one random run over a store.
type campaign struct {
	t       *testing.T
	st      store.Store
	live    *live.Live
	cache   *render.Cache
	seed    uint64
	ctx     context.Context
	streams []string
	topics  [][]string // filters
	appends int        // by each writer

	book        *book
	appended    atomic.Int64
	appendedAll chan struct{}            // closed when nothing is appended any more
	written     chan struct{}            // closed when nothing is appended or removed any more
	locks       map[string]*sync.RWMutex // by stream: a drop waits for appends

	mu       sync.Mutex
	pulse    chan struct{} // closed every few appends
	sessions []*session
}

func newCampaign(t *testing.T, st store.Store, seed uint64) *campaign {
	c := &campaign{
		t: t, st: st, seed: seed, ctx: t.Context(),
		streams: []string{"a/1", "a/2", "a/b/1", "a/b/2", "b/1", "b/2", "c", "c/1", "d/b/2"},
		topics: [][]string{
			{"a/1"}, {"a/1"}, {"a/*"}, {"a/**"}, {"**"}, {"**"}, {"*"}, {"a/1", "b/*"}, {"*/1"},
			{"c", "a/b/*"}, {"none"}, {"a/1", "c", "b/2"}, {"*/b/*", "c/**"},
		},
		appends: 500, book: newBook(), written: make(chan struct{}), appendedAll: make(chan struct{}), pulse: make(chan struct{}),
		locks: make(map[string]*sync.RWMutex),
	}
	if raceDetector {
		c.appends = 300
	}
	if seed%4 == 3 { // more streams than a gap names
		for i := range 50 {
			c.streams = append(c.streams, fmt.Sprintf("m/%d", i))
		}
		c.topics = append(c.topics, []string{"m/*"}, []string{"m/*", "a/1"})
	}
	for _, name := range c.streams {
		c.locks[name] = new(sync.RWMutex)
	}
	c.cache = render.NewCache([]int64{256 << 10, 700 << 10, 1 << 20}[seed%3])
	return c
}

// campaignLag is how many records a reader may lag behind where there is a rule.
const campaignLag = 30

// rules has some campaigns disconnect or skip readers that are too slow.
func (c *campaign) rules() []live.SlowRule {
	rule := func(pattern string, skip bool) live.SlowRule {
		p, err := leat.ParsePattern(pattern)
		if err != nil {
			c.t.Fatal(err)
		}
		return live.SlowRule{Pattern: p, Records: campaignLag, Skip: skip}
	}
	switch c.seed % 4 {
	case 1:
		return []live.SlowRule{rule("**", true)}
	case 2:
		return []live.SlowRule{rule("a/**", false), rule("**", true)}
	}
	return nil
}

func (c *campaign) rng(i uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, i)) }

func (c *campaign) run() {
	c.live = live.New(c.st, c.cache, live.Options{PageBytes: 4 << 10, Fillers: 2, Slow: c.rules(), Logger: quiet})
	defer c.live.Close()
	var writers, remover, readers sync.WaitGroup
	for i := range uint64(3) {
		writers.Go(func() { c.write(c.rng(i)) })
	}
	remover.Go(func() { c.remove(c.rng(10)) })
	for i := range uint64(10) {
		readers.Go(func() { c.read(c.rng(20 + i)) })
	}
	writers.Wait()
	close(c.appendedAll)
	remover.Wait()
	close(c.written)
	readers.Wait()
}

// beat wakes those who wait for some appends to happen.
func (c *campaign) beat() {
	if c.appended.Add(1)%8 == 0 {
		c.mu.Lock()
		close(c.pulse)
		c.pulse = make(chan struct{})
		c.mu.Unlock()
	}
}

// pause waits for some appends to happen, and reports whether any will.
func (c *campaign) pause() bool {
	c.mu.Lock()
	pulse := c.pulse
	c.mu.Unlock()
	select {
	case <-pulse:
		return true
	case <-c.appendedAll:
		return false
	}
}

func (c *campaign) write(rng *rand.Rand) {
	for range c.appends {
		stream := c.streams[rng.IntN(len(c.streams))]
		payloads := make([]string, 1+rng.IntN(3))
		for i := range payloads {
			payloads[i] = payload(rng)
		}
		c.locks[stream].RLock()
		records, err := put(c.ctx, c.st, stream, payloads...)
		c.book.commit(records)
		c.locks[stream].RUnlock()
		if err != nil {
			c.t.Error(err)
			return
		}
		c.beat()
		if rng.IntN(30) == 0 { // perhaps nobody has seen it yet
			c.trim(stream, records[rng.IntN(len(records))].Offset.Seq)
		}
		for range rng.IntN(20) {
			runtime.Gosched()
		}
	}
}

// payload returns text of any length, mostly short.
func payload(rng *rand.Rand) string {
	n := rng.IntN(300)
	switch rng.IntN(40) {
	case 0:
		n = 30_000
	case 1, 2, 3:
		n = 5000
	case 4:
		n = 0
	}
	return strings.Repeat(string(rune('a'+rng.IntN(26))), n)
}

func (c *campaign) trim(stream string, through uint64) {
	done := c.book.remove(stream, through)
	if err := c.st.Trim(c.ctx, stream, through); err != nil {
		c.t.Error(err)
	}
	done()
}

// remove trims and drops until all is appended.
func (c *campaign) remove(rng *rand.Rand) {
	for c.pause() && !c.t.Failed() {
		stream := c.streams[rng.IntN(len(c.streams))]
		records := c.book.of(stream)
		if len(records) == 0 {
			continue
		}
		last := records[len(records)-1].Offset.Seq
		switch rng.IntN(20) {
		case 0:
			c.drop(stream)
		case 1:
			c.trim(stream, last)
		default:
			c.trim(stream, records[rng.IntN(len(records))].Offset.Seq)
		}
	}
}

func (c *campaign) drop(stream string) {
	c.locks[stream].Lock()
	defer c.locks[stream].Unlock()
	records := c.book.of(stream)
	done := c.book.remove(stream, records[len(records)-1].Offset.Seq)
	if err := storetest.Drop(c.ctx, c.st, stream); err != nil {
		c.t.Error(err)
	}
	done()
}

// read has one session after the other, and a last one that ends when it has
// come to the head of what was written.
func (c *campaign) read(rng *rand.Rand) {
	cursor, topics := uint64(0), c.topics[0]
	for i := 0; !c.t.Failed(); i++ {
		last := false
		select {
		case <-c.written:
			last = true
		default:
		}
		if i > 0 && rng.IntN(3) == 0 || cursor == 0 {
			topics = c.topics[rng.IntN(len(c.topics))]
		}
		s, err := c.begin(rng, filter(c.t, topics...), cursor)
		if err != nil {
			c.t.Error(err)
			return
		}
		cursor = s.run(c, rng, last)
		c.mu.Lock()
		c.sessions = append(c.sessions, s)
		c.mu.Unlock()
		if last {
			return
		}
	}
}

// begin decides where a session starts.
func (c *campaign) begin(rng *rand.Rand, f *leat.Filter, cursor uint64) (s *session, err error) {
	s = &session{filter: f}
	switch n := rng.IntN(20); {
	case n < 3:
		s.start, s.fresh = c.live.Beginning(), true
	case n == 3:
		s.start = c.live.Now()
	case n == 4:
		s.start, err = c.live.Last(c.ctx, f, nil, 1+rng.IntN(100))
		s.fresh, s.freshAt = true, c.book.tick()
	case n == 5:
		t := time.Now().Add(-time.Duration(rng.IntN(1e9)))
		if records := c.book.of("a/1"); len(records) > 0 {
			t = records[rng.IntN(len(records))].Time
		}
		s.start, err = c.live.Since(c.ctx, f, nil, t)
		s.fresh, s.freshAt = true, c.book.tick()
	case n < 9 || cursor == 0:
		s.start = live.Start{After: 1 + rng.Uint64N(c.st.Head())}
	default:
		s.start = live.Start{After: cursor}
	}
	if s.start.After == 0 {
		s.freshAt = 0 // it is the start
	}
	return s, err
}
