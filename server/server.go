// Package server is Leat as an http.Handler: topics that are published to and
// subscribed to over HTTP, on any store.
//
//	st, err := pebblestore.Open("leat-data", pebblestore.Options{})
//	...
//	srv, err := server.New(server.Options{Store: st})
//	...
//	http.ListenAndServe("127.0.0.1:8080", srv)
//
// The program itself uses Server.Publish and Server.Subscribe, with no HTTP between.
// Server.Metrics has what was counted; package server/metrics shows it to Prometheus.
//
// A Server works inside of a mux, with http.StripPrefix under a prefix, and behind
// middleware whose http.ResponseWriter has a method Unwrap, or Flush.
//
// An http.Server that serves it must have no WriteTimeout, which would end
// every stream after that time: each write has a deadline of its own.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/repeat"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/subscription"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/surface/api"
	"github.com/leat-dev/leat/internal/surface/events"
	"github.com/leat-dev/leat/internal/surface/streams"
	"github.com/leat-dev/leat/internal/tally"
	"github.com/leat-dev/leat/internal/wire"
	"github.com/leat-dev/leat/store"
)

// Options are the settings of a Server. All but Store may be left zero.
type Options struct {
	// Store keeps the records. It stays the caller's to close, after
	// Shutdown has returned.
	Store store.Store

	// Logger is told what an operator should know. nil: slog.Default().
	Logger *slog.Logger

	// Heartbeat is the longest silence of a stream whose reader does not
	// choose. 0: 15 seconds.
	Heartbeat time.Duration

	// KeyWindow is how long a publisher's key is remembered. 0: 5 minutes.
	// Negative: not at all, every publish is stored.
	KeyWindow time.Duration

	// ProducerWindow is for how long a stream remembers a producer that sends
	// nothing. 0: 7 days. Negative: for as long as the stream is there.
	ProducerWindow time.Duration

	// MaxProducers is how many producers a stream remembers; the requests of
	// more are refused. 0: 100,000. Negative: no bound.
	MaxProducers int

	// MaxWaiting bounds the records that wait to be stored, in bytes: when
	// the store does not keep up, requests beyond it are refused. 0: 64 MiB.
	// Negative: no bound.
	MaxWaiting int64

	// SyncPause is how long a record may wait for others to share a sync of the disk
	// with, counted from the beginning of the sync before, while several publishers
	// send at their own pace. One that sends its next record once the one before is
	// answered is not delayed. It is for a store of class disk and needs ConnContext.
	// 0: 1 ms. Negative: every record is synced as soon as it can be.
	SyncPause time.Duration

	// MaxForkDepth is how many sources a fork may have behind each other: each
	// reader of it looks at all of them. 0: 64. Negative: no limit.
	MaxForkDepth int

	// BodyTimeout is how long a record may take to arrive. 0: 30 seconds.
	// Negative: for ever.
	BodyTimeout time.Duration

	// StallTimeout is how long a reader may take nothing of what it is sent
	// before it is cut. 0: a minute. Negative: for ever.
	StallTimeout time.Duration

	// Slow are rules for readers that fall behind, by the streams they read; of
	// those for a stream the first that matches it counts. nil: none is ever too
	// slow, whatever it has yet to be sent; StallTimeout alone ends it.
	Slow []SlowRule

	// Drain is the time over which readers are asked to come back when the
	// server stops. 0: 5 seconds. Negative: all at once.
	Drain time.Duration

	// Loops is the number of goroutines that serve the readers whose
	// connections are taken over from the http.Server: see ConnContext. 0: one
	// for every two processors. Negative: none are taken over.
	Loops int

	// MaxRecord is the largest payload of a record, in bytes. 0: 1 MiB.
	// Negative: what the store takes.
	MaxRecord int

	// TopicAge is how long the records of topics are kept, that is of streams
	// that were made by a first publish and that no rule of Retention is for.
	// 0: DefaultTopicAge. Negative: for ever.
	TopicAge time.Duration

	// Retention are rules for streams by name; the first that matches counts.
	// nil: none.
	Retention []RetentionRule

	// MaxStore bounds what the store holds, in bytes by its own count: with
	// more, the oldest records of topics are removed until an eighth is free.
	// Streams that were made with PUT are left alone. 0 or negative: no bound.
	MaxStore int64

	// MaxSubscribers is the largest number of readers; those above it are
	// asked to come back later. 0 or negative: no limit. Each has a descriptor,
	// and a store that finds none left takes no more writes: leave it some. Those of
	// Server.Subscribe count, and are never sent away.
	MaxSubscribers int

	// TailMemory bounds the memory that holds records for readers, in
	// bytes. 0 or negative: 64 MiB.
	TailMemory int64

	// CORSOrigins are the origins, such as https://example.com, whose pages
	// may read and publish; "*" for all, without credentials. nil: none but
	// the server's own.
	CORSOrigins []string

	// LongPollTimeout is how long a long poll of the Durable Streams protocol
	// waits for something to answer with. 0: 30 seconds. Negative: not at all.
	LongPollTimeout time.Duration

	// SSECloseAfter is how long an event stream of that protocol lasts, about,
	// before its client has to come back: for caches that answer many clients
	// with one request. 0 or negative: to the end of its stream.
	SSECloseAfter time.Duration

	// ReadChunk is how many bytes one answer to an offset= has, about: the last
	// record is whole, and who wants more asks again. At most 16 MiB. 0 or
	// negative: no bound, an answer has all there is. Caches like a bound, but
	// there are clients that take the first answer for all.
	ReadChunk int

	// NoV1 leaves away the streams below /v1/stream/, which are those below
	// /streams/ where tools of the Durable Streams protocol look for them.
	NoV1 bool

	// Subscriptions switches the subscriptions of the Durable Streams protocol on,
	// below __ds/: who may make them can have the server send requests, to public
	// addresses and to this machine. See WebhookHosts.
	Subscriptions bool

	// WebhookHosts are hosts, names or addresses without port, to which webhooks
	// are sent whatever their address, with or without TLS.
	WebhookHosts []string

	// MaxSubscriptions is the largest number of subscriptions. 0: 10,000. Negative:
	// no limit.
	MaxSubscriptions int

	// MaxSubscriptionStreams is how many streams one subscription may be linked to:
	// each webhook names all of them. 0: 10,000. Negative: no limit.
	MaxSubscriptionStreams int

	// WebhookTimeout is how long a receiver of webhooks may take to answer. 0: 30
	// seconds. Negative: 10 minutes, the longest lease.
	WebhookTimeout time.Duration

	// Metrics, if it is not nil, is called once, by New, for the handler that answers
	// GET /metrics: metrics.Handler of package server/metrics, or one that writes
	// Server.Metrics in another way. nil: there is no such path.
	Metrics func(*Server) http.Handler

	// TurnedAway, if it is not nil, returns how many connections the program has turned
	// away before the Server saw them, by reason: Metrics.TurnedAway has them too.
	TurnedAway func() map[string]int64

	// Tracer follows what is published and who subscribes. nil: nobody does.
	Tracer Tracer

	// AllowHosts are host names, without port, that are served on a
	// loopback address beside the loopback names.
	AllowHosts []string

	// Version is what /api says of the program that this is. It may be empty.
	Version string

	// APIToken is what requests to /api have to have, as a bearer token: that is the
	// surface for who runs the server. Empty: they have to come from a program on this
	// machine, or from a page of the server that is open there.
	APIToken string

	// Lab has /api show each byte on the wire, and lets it cut and stall connections:
	// for learning, not for a server that matters. It is for the connections of
	// Server.Listener, none of which is taken over. Pages of all loopback names, such as
	// http://1.localhost:8080, may use the server then.
	Lab bool

	now func() time.Time // for tests: the clock of the journal; nil: time.Now
}

// setDefaults gives the fields that are zero their meaning.
func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Heartbeat = orDefault(o.Heartbeat, 15*time.Second)
	o.StallTimeout = orDefault(o.StallTimeout, time.Minute)
	o.BodyTimeout = orDefault(o.BodyTimeout, 30*time.Second)
	o.LongPollTimeout = orDefault(o.LongPollTimeout, 30*time.Second)
	o.ReadChunk = min(max(0, o.ReadChunk), 16<<20)
	o.Drain = max(0, orDefault(o.Drain, 5*time.Second))
}

func orDefault(d, normal time.Duration) time.Duration {
	if d == 0 {
		return normal
	}
	return d
}

// A Server is an http.Handler. Its methods may be called by many goroutines at
// once.
type Server struct {
	// Static after construction.
	o       Options
	guard   *surface.Guard
	events  *events.Surface
	streams *streams.Surface
	api     *api.Surface
	journal *journal.Journal
	live    *live.Live
	writer  *socket.Writer
	loops   *socket.Loops // nil if there are none
	cache   *render.Cache
	host    *session.Host
	repeats *repeat.Conns         // publishers' connections
	refused *tally.Names          // publishes, by the code of the error
	metrics http.Handler          // nil if there is none
	subs    *subscription.Manager // nil if there are none
	wire    *wire.Recorder        // nil if there is no lab

	stopped chan struct{} // closed when Shutdown has ended everything

	mu       sync.Mutex
	stopping bool
	requests int           // under way
	idle     chan struct{} // closed when stopping and no request is under way
}

// New returns a Server over a store. Shutdown ends it.
func New(o Options) (*Server, error) {
	if o.Store == nil {
		return nil, errors.New("server: Options.Store is nil; open one with store/pebblestore or store/memstore")
	}
	o.setDefaults()
	s := &Server{o: o, repeats: repeat.New(), stopped: make(chan struct{}), idle: make(chan struct{})}
	guard, err := surface.NewGuard(o.Logger, surface.GuardOptions{CORSOrigins: o.CORSOrigins, Hosts: o.AllowHosts, Neighbours: o.Lab})
	if err != nil {
		return nil, err
	}
	s.guard = guard
	jo, err := o.journalOptions()
	if err != nil {
		return nil, err
	}
	slow, err := o.slowRules()
	if err != nil {
		return nil, err
	}
	s.journal = journal.New(o.Store, jo)
	s.cache = render.NewCache(o.TailMemory)
	s.live = live.New(o.Store, s.cache, live.Options{Slow: slow, Logger: o.Logger})
	s.writer = socket.NewWriter(socket.Options{StallTimeout: o.StallTimeout})
	if o.Loops >= 0 {
		// Where there are none, the http.Server serves every reader.
		s.loops, err = socket.NewLoops(socket.LoopOptions{Loops: o.Loops, StallTimeout: o.StallTimeout, Panicked: func(v any, stack []byte) {
			o.Logger.Error("serving a reader panicked; its connection was closed", "panic", v, "stack", string(stack))
		}})
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			s.close()
			return nil, leat.Errorf(leat.CodeInternal, "the loops that serve readers cannot be made: %w", err)
		}
	}
	if o.Subscriptions {
		s.subs, err = subscription.New(context.Background(), subscription.Options{
			Store: o.Store, Journal: s.journal, Logger: o.Logger, Now: o.now, MaxSubscriptions: o.MaxSubscriptions,
			MaxStreams: o.MaxSubscriptionStreams, WebhookTimeout: o.WebhookTimeout, WebhookHosts: o.WebhookHosts,
		})
		if err != nil {
			s.close()
			return nil, leat.Errorf(leat.CodeInternal, "the subscriptions cannot be read: %w", err)
		}
	}
	s.refused = new(tally.Names)
	s.host = session.NewHost(session.Options{Live: s.live, Writer: s.writer, Loops: s.loops, Logger: o.Logger, MaxSubscribers: o.MaxSubscribers})
	s.events = events.New(events.Options{
		Journal: s.journal, Host: s.host, Logger: o.Logger, Heartbeat: o.Heartbeat, BodyTimeout: o.BodyTimeout,
		Refused: s.refused,
	})
	s.streams = streams.New(streams.Options{
		Journal: s.journal, Host: s.host, Logger: o.Logger, Heartbeat: o.Heartbeat, BodyTimeout: o.BodyTimeout,
		Refused:         s.refused,
		LongPollTimeout: o.LongPollTimeout, SSECloseAfter: o.SSECloseAfter, ReadChunk: o.ReadChunk, NoAlias: o.NoV1,
		Subscriptions: s.subs,
	})
	if o.Lab {
		s.wire = wire.NewRecorder(time.Now)
	}
	s.api = api.New(api.Options{
		Host: s.host, Logger: o.Logger, About: s.about, Figures: s.figures, Backup: s.backup, Stopping: s.writer.Stopping(), Token: o.APIToken, Wire: s.wire,
	})
	if o.Metrics != nil {
		s.metrics = o.Metrics(s)
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.repeats.Serve(w, r, s.answer)
		return
	}
	defer s.requestDone()
	var rest socket.Rest
	if r.Method == http.MethodGet && surface.IsShared(r) {
		rest = socket.Aside(func() socket.Rest { return s.begin(w, r) })
	} else {
		rest = s.begin(w, r)
	}
	// From here and no deeper, since this goroutine may wait there for hours.
	if rest != nil {
		rest.Run()
	}
}

// answer is ServeHTTP for one request, wherever it came from.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	defer s.requestDone()
	if rest := s.begin(w, r); rest != nil {
		rest.Run()
	}
}

// begin answers a request, but for the rest, which is to be run, if there is one.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) socket.Rest {
	s.requestBegins()
	if s.o.Tracer != nil {
		return s.beginTraced(w, r)
	}
	return s.admit(w, r)
}

// admit is the rest of begin, without the tracer.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) socket.Rest {
	if !s.guard.Admit(w, r) {
		return nil
	}
	return s.serve(w, r)
}

// ConnContext lets the server take the connections of readers over from the
// http.Server, which then cost no goroutine each and a fraction of the memory. It
// is for http.Server.ConnContext, and works for HTTP/1.1 without TLS, on Linux. Do
// not set it if something between has to see what is written to the
// http.ResponseWriter, or counts the connections of the http.Server; Options.Loops
// switches it off.
//
// The connections of publishers are taken over too, on any system, while their requests
// are all alike, but for query and body. For each of these the Handler of the http.Server
// is called, so that it makes no difference to what stands before the server, with a
// context that has the values of ctx and ends with the connection.
//
// It also has Linux give up a connection whose client has not acknowledged for
// Options.StallTimeout what it was sent (TCP_USER_TIMEOUT): so a client that has
// vanished is noticed. Set it for this with TLS and HTTP/2 too. A vanished client that
// nothing is sent to is a matter of net.ListenConfig.KeepAliveConfig.
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	known := repeat.Under(c)
	under := known
	if t, ok := c.(*tls.Conn); ok {
		under = t.NetConn()
	}
	if tcp, ok := under.(*net.TCPConn); ok && s.o.StallTimeout > 0 {
		_ = socket.LimitUnacked(tcp, s.o.StallTimeout) // it would be noticed later
	}
	ctx = journal.WithPublisher(ctx)
	if s.wire != nil || s.loops != nil {
		ctx = surface.WithConn(ctx, known)
	}
	if s.loops != nil {
		// The http.Server is about to start a goroutine for c and to accept the next
		// connection. Those that came before have their turn first: else there are
		// thousands at once when thousands come, and what they leave behind, descriptors
		// of goroutines and holes in the heap, is as much as their readers need.
		runtime.Gosched()
	}
	return s.repeats.WithConn(ctx, c)
}

// requestBegins notes a request, for which Shutdown is to wait.
func (s *Server) requestBegins() {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
}

func (s *Server) requestDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests--
	s.closeIdle()
}

// closeIdle tells Shutdown that no request is under way. The caller holds mu.
func (s *Server) closeIdle() {
	if !s.stopping || s.requests > 0 {
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// serve answers requests that the guard has let through, but for the rest. It is no http.ServeMux, which would redirect to a path that it has
// cleaned: a name is taken as it is.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) socket.Rest {
	err := s.Ready()
	_, isStream := s.streams.Name(r.URL.Path)
	switch {
	case r.URL.Path == "/healthz":
		s.healthz(w, r)
	case r.URL.Path == "/metrics" && s.metrics != nil:
		if readOnly(w, r, s.o.Logger) {
			s.metrics.ServeHTTP(w, r)
		}
	case err != nil && isStream:
		s.streams.TurnAway(w, r, err)
	case err != nil && r.URL.Path == "/events" && r.Method == http.MethodGet:
		s.events.TurnAway(w, r, err)
	case err != nil:
		code := surface.WriteError(w, r, s.o.Logger, err)
		if r.URL.Path == "/events" && r.Method == http.MethodPost {
			s.refused.Add(string(code))
		}
	case api.Has(r.URL.Path):
		return socket.Later(func() { s.api.Answer(w, r) }) // it may be a log that goes on
	case isStream:
		return s.streams.Answer(w, r)
	case r.URL.Path == "/events":
		return s.events.Answer(w, r)
	case r.URL.Path == "/readyz":
		s.readyz(w, r)
	default:
		s.notFound(w, r)
	}
	return nil
}

// Shutdown ends the server gracefully: every reader gets a last block that
// asks it to come back after a delay, spread over Options.Drain, and the end
// of its stream; requests to publish that are under way are finished; later
// requests are refused. It returns when all that is done, or with ctx's error
// when ctx ends first: then publishes under way fail. Call it before or
// together with the Shutdown of the http.Server, which waits for the readers.
//
// Only the first call does something; later ones wait for it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopping
	s.stopping = true
	s.closeIdle()
	s.mu.Unlock()
	if !first {
		select {
		case <-s.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(s.stopped)
	if s.wire != nil {
		s.wire.Close()
	}
	s.repeats.Stop()
	s.writer.Shutdown(s.o.Drain)
	left := s.shutLoops()
	var err error
	select {
	case <-s.idle:
		// A request may have given its connection away just now.
		left = s.shutLoops()
	case <-ctx.Done():
		err = ctx.Err()
	}
	select {
	case <-left:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.close()
	return err
}

// close ends all goroutines of the parts, and waits for them.
func (s *Server) close() {
	if s.loops != nil {
		s.loops.Close()
	}
	if s.subs != nil {
		s.subs.Close() // before the journal, through which it appends
	}
	s.journal.Close()
	s.repeats.Close() // behind the journal, which lets go of who waits for it
	s.live.Close()
}

// shutLoops ends the readers of the loops, if there are any. The channel is closed
// when none is left.
func (s *Server) shutLoops() <-chan struct{} {
	if s.loops != nil {
		return s.loops.Shutdown(s.o.Drain)
	}
	none := make(chan struct{})
	close(none)
	return none
}

// Ready reports whether the server takes requests: nil, or why it does not.
func (s *Server) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return leat.Errorf(leat.CodeUnavailable, "the server is stopping").
			Advise("Try again in a moment.")
	}
	return nil
}

// healthz tells whether publishes are taken, and what an acknowledged one
// survives.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r, s.o.Logger) {
		return
	}
	health := map[string]any{
		"status":      "ok",
		"durability":  s.o.Store.Abilities().Class,
		"head":        s.live.Offset(s.o.Store.Head()),
		"subscribers": s.live.Readers(),
	}
	status := http.StatusOK
	if err := s.o.Store.Health(); err != nil {
		e := leat.AsError(err)
		status = http.StatusServiceUnavailable
		health["status"], health["code"], health["detail"], health["advice"] = "failed", e.Code, e.Detail, e.Advice
	}
	w.Header().Set("Cache-Control", "no-store")
	surface.WriteJSON(w, status, health)
}

// readyz tells a load balancer to send requests here; while the server stops,
// serve answers in its place.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r, s.o.Logger) {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	surface.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

func readOnly(w http.ResponseWriter, r *http.Request, log *slog.Logger) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	surface.MethodNotAllowed(w, r, log, "GET, HEAD")
	return false
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	surface.WriteError(w, r, s.o.Logger, leat.Errorf(leat.CodeNotFound, "there is nothing at %s", r.URL.Path).
		Advise("Topics are at /events: GET /events?topic=NAME reads, POST /events?topic=NAME publishes. A stream as a resource is at /streams/NAME."))
}
