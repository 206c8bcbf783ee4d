package server

import (
	"log/slog"
	"net/http"
	"time"

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
	// connections are taken over from the http.Server, and of those that serve
	// publishers: see ConnContext. 0: one of each for every two processors.
	// Negative: none are taken over.
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
