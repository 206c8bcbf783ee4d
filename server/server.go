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
)

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
	s := &Server{o: o, stopped: make(chan struct{}), idle: make(chan struct{})}
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
	s.repeats = repeat.New(o.Loops, s.isPrompt)
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

// isPrompt reports whether a handler is this server's own, perhaps behind one that passes
// publishes through, and answers a publish without waiting.
func (s *Server) isPrompt(h http.Handler, r *http.Request) bool {
	if t, ok := h.(interface{ Through() http.Handler }); ok {
		h = t.Through()
	}
	return h == http.Handler(s) && s.o.Tracer == nil && events.IsPrompt(r)
}

// answer is ServeHTTP for one request, wherever it came from.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	defer repeat.WhenAnswered(w, s.requestDone)
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
// The connections of publishers are taken over too, while their requests are all alike,
// but for query and body. For each of these the Handler of the http.Server is called, so
// that it makes no difference to what stands before the server, with a context that has
// the values of ctx and ends with the connection. If that Handler is the Server itself, a
// publish of one record has no goroutine that waits for the store.
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
	if s.o.Loops < 0 {
		return ctx
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

// serve answers requests that the guard has let through, but for the rest. It is no
// http.ServeMux, which would redirect to a path that it has cleaned: a name is taken as it
// is.
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
