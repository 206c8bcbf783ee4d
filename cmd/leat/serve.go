package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/console"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/server/metrics"
	"github.com/leat-dev/leat/store"
)

type serveCmd struct {
	settings settings      `kong:"-"`
	refused  *atomic.Int64 `kong:"-"` // connections, for want of descriptors

	Listen     string        `help:"Address and port. Port 0 is any free one, and :8080 is all addresses." default:"127.0.0.1:8080" group:"Basics"`
	Store      string        `help:"Where records are kept: pebble (on disk) or memory." enum:"pebble,memory" default:"pebble" group:"Basics"`
	Data       string        `help:"Directory of the pebble store. It is made if it does not exist." default:"./leat-data" group:"Basics"`
	Durability string        `help:"What an answered record survives with the pebble store: disk (a power cut) or os (the end of this process only, but publishing is faster)." enum:"disk,os" default:"disk" group:"Basics"`
	TimerSlack time.Duration `help:"How much later than it asks for Linux may wake this process, which saves much of the work of waiting for a disk. 0 leaves it to the system; so does a slack that somebody has given it, such as TimerSlackNSec= of systemd." default:"1ms" group:"Basics"`

	Config      string `help:"File in YAML that has the names of these flags as keys." placeholder:"FILE" group:"Basics"`
	PrintConfig bool   `help:"Print what is in force, as such a file, with where each value is from, and end." group:"Basics"`

	CORSOrigin []string `name:"cors-origin" help:"Origin whose web pages may read and publish, such as https://example.com, or * for all, without credentials. May be repeated." placeholder:"ORIGIN" sep:"none" group:"Who may use it"`
	AllowHost  []string `help:"Host name to serve on a loopback address, beside localhost and its like. May be repeated." placeholder:"NAME" sep:"none" group:"Who may use it"`

	APIToken string `name:"api-token" help:"Token that requests to /api have to have, which is for who runs the server. Without one they have to come from this machine." placeholder:"TOKEN" group:"Who may use it"`
	Lab      bool   `help:"Let the page at / show each byte on the wire, cut connections and stall them. Every reader costs more then: it is for learning." group:"Who may use it"`

	TopicAge age             `help:"How long records of topics are kept, such as 12h or 7d. 0: for ever." default:"7d" group:"What is kept"`
	Retain   []retentionRule `help:"What is kept of the streams that match a pattern, such as 'logs/**=records:1000,bytes:10MiB,age:1d'. May be repeated; the first that matches counts." placeholder:"PATTERN=BOUNDS" sep:"none" group:"What is kept"`
	MaxStore *byteSize       `help:"Most that the store is to hold: above, the oldest records of topics are removed. 0: no bound. [default: 10GiB on disk, 1GiB in memory]" placeholder:"SIZE" group:"What is kept"`
	MinFree  byteSize        `help:"Space to leave free on the disk: below, publishes are refused with 507." default:"256MiB" group:"What is kept"`

	Heartbeat      time.Duration `help:"Longest silence of a stream whose reader does not choose." default:"15s" group:"Readers"`
	StallTimeout   time.Duration `help:"How long a reader may take nothing before it is cut. Below 0: for ever." default:"60s" group:"Readers"`
	Slow           []slowRule    `help:"What becomes of readers that fall behind, by the pattern of their topics: 'prices/*=skip:1000' goes on with what is new beyond 1000 records and tells, 'logs/**=disconnect:64MiB' has them come back, and 'a=never' nothing. May be repeated; the first that matches a topic counts. Without a rule none is too slow." placeholder:"PATTERN=WHAT" sep:"none" group:"Readers"`
	MaxSubscribers int           `help:"Most readers at a time. 0: as many as there are descriptors for." default:"0" placeholder:"N" group:"Readers"`
	TailMemory     byteSize      `help:"Memory for records that are being sent." default:"64MiB" group:"Readers"`

	MaxRecord      byteSize      `help:"Size of the largest record." default:"1MiB" group:"Publishers"`
	BodyTimeout    time.Duration `help:"How long a record may take to arrive. Below 0: for ever." default:"30s" group:"Publishers"`
	KeyWindow      time.Duration `help:"How long the key of a record is remembered. Below 0: not at all." default:"5m" group:"Publishers"`
	ProducerWindow age           `help:"How long a stream remembers a producer that sends nothing, such as 12h or 7d. 0: for as long as the stream is there." default:"7d" group:"Publishers"`
	MaxProducers   int           `help:"Most producers that a stream remembers. 0: no limit." default:"100000" group:"Publishers"`
	MaxWaiting     byteSize      `help:"Most that may wait to be stored: above, publishes are refused with 429. 0: no bound." default:"64MiB" group:"Publishers"`
	SyncPause      time.Duration `help:"How long a record may wait for others to share a sync of the disk with, while several publishers send at their own pace. 0: not at all." default:"1ms" group:"Publishers"`

	Drain time.Duration `help:"Time over which readers are asked to come back when the server stops." default:"5s" group:"Stopping"`

	LongPollTimeout time.Duration `help:"How long a long poll of the Durable Streams protocol waits. Below 0: not at all." default:"30s" group:"Durable Streams protocol"`
	SSECloseAfter   time.Duration `name:"sse-close-after" help:"How long an event stream of that protocol lasts, about, for caches before the server: 60s. 0: to the end of its stream." default:"0s" group:"Durable Streams protocol"`
	ReadChunk       byteSize      `help:"How much one answer to an offset= has, about; at most 16MiB, 0: all there is. Caches like a bound, but there are clients that take the first answer for all." default:"0" placeholder:"SIZE" group:"Durable Streams protocol"`
	NoV1            bool          `name:"no-v1" help:"Serve streams at /streams/ only, and not at /v1/stream/, where tools of the Durable Streams protocol look for them." group:"Durable Streams protocol"`
	MaxForkDepth    int           `help:"How many sources a fork may have behind each other. Below 0: no limit." default:"64" group:"Durable Streams protocol"`

	Subscriptions          bool          `help:"Serve subscriptions of that protocol, with webhooks: whoever may make one can have this server send requests, to public hosts and to this machine." group:"Webhooks and workers"`
	WebhookHost            []string      `help:"Host, without port, to which webhooks may go whatever its address, with or without TLS. May be repeated." placeholder:"HOST" sep:"none" group:"Webhooks and workers"`
	WebhookTimeout         time.Duration `help:"How long a receiver of webhooks may take to answer." default:"30s" group:"Webhooks and workers"`
	MaxSubscriptions       int           `help:"Most subscriptions. 0: no limit." default:"10000" group:"Webhooks and workers"`
	MaxSubscriptionStreams int           `help:"Most streams that a subscription may be linked to. 0: no limit." default:"10000" group:"Webhooks and workers"`
}

// Help is shown below the flags.
func (serveCmd) Help() string {
	return `Needs no configuration. The first line on stdout is the URL, once requests are taken, so that scripts can wait for it and use --listen 127.0.0.1:0. What else there is to know goes to stderr.

SIGINT and SIGTERM stop it gracefully: readers are asked to come back later, spread over --drain, and publishes under way are finished. A second signal stops it at once.

What is not on the command line may be in the environment (--max-record is LEAT_MAX_RECORD; several values of a flag that may be repeated are lines) or in the file that --config names.`
}

// stopLimit bounds a graceful stop: publishes that are still under way then
// fail, and their publishers repeat them.
const stopLimit = 15 * time.Second

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, std *streams) error {
	if err := c.check(); err != nil {
		return err
	}
	for _, odd := range c.settings.odd {
		std.note("%s", odd)
	}
	if c.PrintConfig {
		most := byteSize(c.maxStore())
		c.MaxStore = &most
		return c.settings.print(std.out)
	}
	logger := slog.New(slog.NewTextHandler(std.err, nil))
	// The address comes first: if it is taken, nothing has been made on disk.
	ln, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	c.refused = new(atomic.Int64)
	d := shareDescriptors(descriptorLimit())
	d.warn(std, c.MaxSubscribers)
	c.MaxSubscribers = d.maxSubscribers(c.MaxSubscribers)
	st, err := c.openStore(logger, d)
	if err != nil {
		return err
	}
	err = c.serve(ctx, std, d.guard(ln, logger, c.refused), st, logger)
	if cerr := st.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("closing the store failed: %w", cerr))
	}
	return err
}

// check finds flags that do not go together.
func (c *serveCmd) check() error {
	if c.Store == "memory" && c.Durability != "disk" {
		return usageError("--durability is for the pebble store: the memory store keeps nothing")
	}
	return nil
}

// serve runs until ctx ends, or the listener fails.
func (c *serveCmd) serve(ctx context.Context, std *streams, ln net.Listener, st store.Store, logger *slog.Logger) error {
	srv, err := server.New(c.options(st, logger))
	if err != nil {
		return err
	}
	hs := newHTTPServer(console.Wrap(srv, console.Options{Lab: c.Lab}), logger)
	hs.ConnContext = srv.ConnContext
	failed := make(chan error, 1)
	// Owned by serve, which waits for it in stop; Shutdown ends it.
	go func() { failed <- hs.Serve(srv.Listener(ln)) }()
	tidying, stopTidying := context.WithCancel(ctx)
	var tidy sync.WaitGroup
	// Owned by serve, which ends and joins it.
	tidy.Go(func() { giveBackMemory(tidying) })
	defer tidy.Wait()
	defer stopTidying()
	c.announce(std, ln.Addr(), st.Abilities().Class)
	select {
	case err = <-failed:
		err = leat.Errorf(leat.CodeInternal, "serving on %s failed: %w", ln.Addr(), err)
	case <-ctx.Done():
		std.note("stopping; a second signal stops at once")
	}
	return errors.Join(err, stop(std, srv, hs))
}

// stop ends both servers together: the one waits for the answers that the
// other ends. Publishes that do not come to an end are no failure of it.
func stop(std *streams, srv *server.Server, hs *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	ended := make(chan error, 1)
	// Owned by stop, which waits for it. It ends with the last connection or
	// with ctx.
	go func() { ended <- hs.Shutdown(ctx) }()
	err := srv.Shutdown(ctx)
	err = errors.Join(err, <-ended)
	if errors.Is(err, context.DeadlineExceeded) {
		std.note("some requests did not end within %v and were cut; their publishers got no answer", stopLimit)
		return hs.Close()
	}
	return err
}

// options are those of the server.
func (c *serveCmd) options(st store.Store, logger *slog.Logger) server.Options {
	return server.Options{
		Store: st, Logger: logger, Metrics: metrics.Handler, TurnedAway: c.turnedAway,
		Heartbeat: c.Heartbeat, KeyWindow: c.KeyWindow, MaxForkDepth: c.MaxForkDepth, BodyTimeout: c.BodyTimeout, StallTimeout: c.StallTimeout, Drain: c.Drain,
		TopicAge: c.TopicAge.option(), Retention: c.rules(), MaxStore: c.maxStore(),
		MaxRecord: int(c.MaxRecord), MaxSubscribers: c.MaxSubscribers, TailMemory: int64(c.TailMemory),
		Slow: c.slowRules(), CORSOrigins: c.CORSOrigin, AllowHosts: c.AllowHost, Version: version(), APIToken: c.APIToken, Lab: c.Lab,
		LongPollTimeout: c.LongPollTimeout, SSECloseAfter: c.SSECloseAfter, ReadChunk: int(c.ReadChunk), NoV1: c.NoV1,
		Subscriptions: c.Subscriptions, WebhookHosts: c.WebhookHost, WebhookTimeout: c.WebhookTimeout,
		MaxSubscriptions: orNone(c.MaxSubscriptions), MaxSubscriptionStreams: orNone(c.MaxSubscriptionStreams),
		ProducerWindow: c.ProducerWindow.option(), MaxProducers: orNone(c.MaxProducers), MaxWaiting: int64(orNone(c.MaxWaiting)), SyncPause: orNone(c.SyncPause),
	}
}

// turnedAway is what the metrics have beside what the server itself turns away.
func (c *serveCmd) turnedAway() map[string]int64 {
	return map[string]int64{"descriptors": c.refused.Load()}
}

// orNone returns what means no limit to an option, for 0.
func orNone[T int | byteSize | time.Duration](n T) T {
	if n <= 0 {
		return -1
	}
	return n
}

// durability says what a class means, for people.
var durability = map[store.Class]string{
	store.ClassMemory:     "a record is gone when this process ends",
	store.ClassOS:         "a record survives the end of this process once its publisher is answered, but not a power cut",
	store.ClassDisk:       "a record is on the disk before its publisher is answered",
	store.ClassReplicated: "a record is on several machines before its publisher is answered",
}

// announce says where the server is and what to try.
func (c *serveCmd) announce(std *streams, addr net.Addr, class store.Class) {
	url := baseURL(addr)
	kept := "memory"
	if c.Store == "pebble" {
		kept = "pebble, in " + c.Data
	}
	fmt.Fprintf(std.err, `leat %s is serving at %s
  store       %s
  durability  %s: %s
  retention   %s
  open        %s in a browser
  watch       curl -N '%s/events?topic=hello'
  publish     curl -d 'it works' '%s/events?topic=hello'
`, version(), url, kept, class, durability[class], c.retention(), url, url, url)
	if c.Lab {
		std.note("the lab is open: whoever may use /api sees all that goes over connections, and cuts them")
	}
	if !isLoopback(addr) {
		std.note("WARNING: %s can be reached from other machines and there is no authentication yet: whoever reaches it can read and publish everything", addr)
	}
	fmt.Fprintln(std.out, url)
}
