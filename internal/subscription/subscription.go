// Package subscription has the rules of the subscriptions of the Durable Streams
// protocol, over any store: which streams a subscription is linked to and how far
// each is acknowledged, when a worker is woken, by a webhook or through a stream,
// and whose acknowledgements count.
//
// A subscription wakes a worker when there is something after what it has
// acknowledged and nobody is at work. Each wake has a number, the generation, and
// whatever a worker says must carry that of the wake in flight, and its token: a
// worker that was given up can change nothing any more.
//
// What is promised survives a restart: every change is in the store before it is
// answered, and before a worker hears of it. See ADR 11.
package subscription

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store"
)

// The defaults of Options.
const (
	DefaultMaxSubscriptions = 10_000
	DefaultMaxStreams       = 10_000
	DefaultWebhookTimeout   = 30 * time.Second
)

// How long a lease may last, and does if a subscription does not say.
const (
	MinLease     = time.Second
	MaxLease     = 10 * time.Minute
	DefaultLease = 30 * time.Second
)

// TokenLifetime is for how long a token counts, however often its lease is renewed.
const TokenLifetime = 24 * time.Hour

// How many goroutines store what has changed, and how many deliver wakes. No more
// than a quarter of the latter wait for one host.
const (
	settlers    = 4
	messengers  = 16
	mostForHost = messengers / 4
)

// Options for a Manager. Store and Journal must be set.
type Options struct {
	Store   store.Store
	Journal *journal.Journal // over Store: wakes are appended through it

	// MaxSubscriptions bounds the subscriptions. 0: DefaultMaxSubscriptions.
	// Negative: no bound.
	MaxSubscriptions int

	// MaxStreams bounds the streams that one subscription is linked to. 0:
	// DefaultMaxStreams. Negative: no bound.
	MaxStreams int

	// WebhookTimeout is how long a receiver of webhooks may take to answer. 0:
	// DefaultWebhookTimeout. Negative: as long as a lease may last.
	WebhookTimeout time.Duration

	// WebhookHosts are hosts, names or addresses without port, to which webhooks
	// go whatever their address, with or without TLS.
	WebhookHosts []string

	// Now is the clock of leases and retries, nil for time.Now.
	Now func() time.Time

	// Logger is told of what is tried again. nil: slog.Default().
	Logger *slog.Logger

	transport http.RoundTripper // for tests: in place of the network
}

// A Manager keeps the subscriptions of one store. All methods may be called by many
// goroutines at once.
type Manager struct {
	// Static after New.
	st      store.Store
	journal *journal.Journal
	log     *slog.Logger
	now     func() time.Time
	most    int // subscriptions
	streams int // of each
	timeout time.Duration
	targets *targets
	alone   bool // nobody else writes to the store
	signer  *signer

	ctx     context.Context // of all goroutines, ended by stop
	stop    context.CancelFunc
	running sync.WaitGroup
	kick    chan struct{} // of capacity 1: the index of what is due has changed

	// following is held by who handles a batch of the log, or keeps that from
	// happening. It is taken before a turn, and that before mu.
	following turn

	mu sync.Mutex

	// Guarded by mu.
	subs    map[string]*sub
	links   map[string]map[*sub]struct{} // by the name of the stream
	globs   map[*sub]struct{}            // those with a pattern
	settled map[string]struct{}          // streams that no subscription has yet to be linked to
	seen    uint64                       // up to here the log has been handled
	moved   chan struct{}                // closed when seen grows; nil if nobody waits
	due     dueIndex
	ready   []*sub         // those to be settled
	outbox  []*sub         // those with a wake to be delivered
	hosts   map[string]int // how many deliveries are under way to each
	closed  bool

	toSettle  sync.Cond // signalled when ready or closed changes
	toDeliver sync.Cond // signalled when outbox, hosts or closed changes
}

// mostSettled bounds Manager.settled.
const mostSettled = 1 << 16

// New returns a Manager with the subscriptions that the store has. The store and the
// journal stay the caller's to close, after Close.
func New(ctx context.Context, o Options) (*Manager, error) {
	m := &Manager{
		st:        o.Store,
		journal:   o.Journal,
		log:       o.Logger,
		now:       o.Now,
		most:      limit(o.MaxSubscriptions, DefaultMaxSubscriptions),
		streams:   limit(o.MaxStreams, DefaultMaxStreams),
		timeout:   cmp.Or(o.WebhookTimeout, DefaultWebhookTimeout),
		alone:     o.Store.Abilities().ReadAfterWrite && o.Store.Abilities().Class != store.ClassReplicated,
		targets:   newTargets(o.WebhookHosts, o.transport),
		kick:      make(chan struct{}, 1),
		following: newTurn(),
		subs:      make(map[string]*sub),
		links:     make(map[string]map[*sub]struct{}),
		globs:     make(map[*sub]struct{}),
		settled:   make(map[string]struct{}),
		hosts:     make(map[string]int),
	}
	m.toSettle.L, m.toDeliver.L = &m.mu, &m.mu
	if m.timeout < 0 {
		m.timeout = MaxLease
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	var err error
	if m.signer, err = loadSigner(ctx, m.st); err != nil {
		return nil, err
	}
	m.seen = m.st.Head()
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	// The Manager owns these goroutines. Close ends them and waits for them.
	m.running.Go(m.follow)
	m.running.Go(m.keepTime)
	for range settlers {
		m.running.Go(m.settleAll)
	}
	for range messengers {
		m.running.Go(m.deliverAll)
	}
	return m, nil
}

// limit returns what an option stands for, a large number for none.
func limit(n, normal int) int {
	switch {
	case n == 0:
		return normal
	case n < 0:
		return int(^uint(0) >> 1)
	}
	return n
}

// Close ends deliveries that are under way, and all goroutines. What was not
// delivered is when the store is opened again.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.toSettle.Broadcast()
	m.toDeliver.Broadcast()
	m.mu.Unlock()
	m.stop()
	m.running.Wait()
	m.targets.close()
}

// Keys returns the public keys that webhooks are signed with, as a JWK set.
func (m *Manager) Keys() []byte { return m.signer.jwks }

// KeyID returns the name of the key that they are signed with now.
func (m *Manager) KeyID() string { return m.signer.kid }

// A turn is a lock whose holder may wait for a disk: who waits for it may be told to
// give up.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// find returns a subscription.
func (m *Manager) find(id string) (*sub, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.subs[id]; s != nil {
		return s, nil
	}
	return nil, errNone(id)
}

func errNone(id string) *leat.Error {
	return leat.Errorf(leat.CodeNotFound, "there is no subscription %.128q", id).
		Advise("Make it with PUT.")
}

func invalid(format string, args ...any) *leat.Error {
	return leat.Errorf(leat.CodeInvalidParameter, format, args...)
}
