package server

import (
	"runtime/metrics"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Metrics are what a Server has counted since it was made, and how it stands now. Maps
// and slices are the caller's.
//
// Counting costs nothing that can be measured: each goroutine that writes to many readers
// counts for itself, and Server.Metrics adds it up.
type Metrics struct {
	// Readers is how many readers there are now, by what they are; sorted. A kind of
	// which there was one stays in the list.
	Readers []Readers

	// TakenOver is how many of them have connections that were taken over from the
	// http.Server: see Server.ConnContext.
	TakenOver int

	// Publishers is how many connections of publishers were taken over, whose requests
	// are all alike.
	Publishers int

	// Delivered counts what readers were sent, Published what was stored.
	Delivered, Published Volume

	// Left counts readers whose answer was begun, by the reason of its end: "gone" (the
	// client closed the connection, or its network did), "stalled" (it took nothing
	// for Options.StallTimeout), "slow" (it fell behind by more than Options.Slow lets
	// it), "broken" (a write failed in another way), "ended" (all was sent), "cut" (the
	// rest could not be sent), "dismissed" (by who runs the server), "shutdown". Polls, which are answered once, are not in it.
	Left map[string]int64

	// TurnedAway counts readers that were asked to come back later before their answer
	// was begun, by the reason: "full" (Options.MaxSubscribers) or "stopping". What
	// Options.TurnedAway returns is added.
	TurnedAway map[string]int64

	// Gaps counts gaps that readers were told, or refused for, by their reason. See Gap.
	Gaps map[string]int64

	// Refused counts requests to publish that were answered with an error, by its code,
	// and calls of Server.Publish that returned one.
	Refused map[string]int64

	// Waiting is how many bytes wait to be stored: see Options.MaxWaiting.
	Waiting int64

	// Commits says how long each commit to the store took, in which any number of
	// publishes have a part: with a store of class disk that is mostly the sync.
	// Syncs says how long the syncs took of the file that commits go to, those of a
	// store that does not tell excepted.
	Commits, Syncs store.Times

	// Durability is the class of the store. Failed is why it takes no publishes; nil if
	// it does. Head is where its log ends.
	Durability store.Class
	Failed     *leat.Error
	Head       leat.Offset

	// StoreBytes is the size of the store by its own count, CacheBytes what memory
	// holds of records for readers: see Options.MaxStore and Options.TailMemory.
	StoreBytes, CacheBytes int64

	// MemoryBytes is what the Go runtime of this process has from the system, of which
	// other parts of the program have their share.
	MemoryBytes int64
}

// Readers are the readers of one kind.
type Readers struct {
	Surface   string // where they came: "events", "streams", or "server" for Server.Subscribe
	Format    string // what they are sent, such as "sse", "ndjson", "json" or "bytes"
	Transport string // "http/1.1" or another version, "go" for Server.Subscribe
	Count     int64
}

// A Volume is a number of records, and of bytes: payload where it was published, and
// frames, with what a format adds, where it was delivered. The end of a stream is a
// record here.
type Volume struct{ Records, Bytes int64 }

// Metrics returns what was counted. It takes some microseconds.
func (s *Server) Metrics() Metrics {
	session, journal := s.host.Counts(), s.journal.Counts()
	m := Metrics{
		Left: session.Left, TurnedAway: session.TurnedAway, Gaps: session.Gaps, Refused: s.refused.Read(),
		Published: Volume{journal.Records, journal.Bytes}, Waiting: journal.Waiting, Commits: journal.Commits,
		Durability: s.o.Store.Abilities().Class, Head: s.live.Offset(s.o.Store.Head()),
		StoreBytes: s.o.Store.Size(), CacheBytes: s.cache.Used(), MemoryBytes: memory(),
	}
	for _, r := range session.Readers {
		m.Readers = append(m.Readers, Readers{r.Surface, r.Format, r.Transport, r.Count})
	}
	if s.o.TurnedAway != nil {
		for reason, n := range s.o.TurnedAway() {
			m.TurnedAway[reason] += n
		}
	}
	sent := s.writer.Sent()
	if s.loops != nil {
		taken := s.loops.Sent()
		sent.Records, sent.Bytes = sent.Records+taken.Records, sent.Bytes+taken.Bytes
		m.TakenOver = s.loops.Len()
	}
	m.Publishers = s.repeats.Counts().Open
	m.Delivered = Volume(sent)
	if syncer, ok := s.o.Store.(store.Syncer); ok {
		m.Syncs = syncer.SyncTimes()
	}
	if err := s.o.Store.Health(); err != nil {
		m.Failed = leat.AsError(err)
	}
	return m
}

// memory returns what the runtime has from the system and has not given back.
func memory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
