package journal

import (
	"context"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A stream is what the journal remembers of a stream: hints, each proved by
// the version of the Tx that was computed from them, or read again before
// something is refused because of them. All fields are guarded by the
// journal's mu, except name.
type stream struct {
	name string

	// users counts the callers and the groups that hold it. With none it is
	// in the ring of the idle, from which it may be evicted.
	users        int
	older, newer *stream // neighbours in that ring, nil outside
	cost         int64   // counted in Journal.used

	// What an Info said and own commits have added to it, if known. gen
	// tells one such chain from the next.
	known bool
	gen   uint64
	state

	// Since commits of this journal the stream exists and its last record is at
	// least seen, if ours is set: an Info that says less is not of now. born says
	// that it is a fork which one of them brought to life.
	ours, born bool
	seen       uint64

	// What is remembered of those who count their requests, by key; nil if
	// there are none.
	producers map[string]*producer

	// What is retained, as far as it is known: exact after an Info, and too
	// much once something was removed.
	records, bytes int64

	// keys is nil if they were not read, and while somebody reads them. Up to
	// unread there are records of this journal with keys that are not in it.
	keys   *keys
	unread uint64

	// loading is closed when the caller that reads from the store is done.
	// It is nil if nobody does.
	loading chan struct{}

	queue   []*submission // not yet in a group, oldest first
	waiting bool          // in Journal.waiting
}

// streamOverhead is about what a stream costs in memory beside its name, type
// and keys.
const streamOverhead = 512

// A state is what decides over an append: all that an Info says of it.
type state struct {
	version uint64 // 0: the stream does not exist
	id      uint64
	typ     contentType
	last    uint64
	end     int64         // of the content
	over    leat.EndState // empty while it is open
	tail    string        // the unfinished character that its text ends with
	config  *Config       // nil if a publish made it; immutable
	fork    *Origin       // nil if it is no fork; immutable
	pins    pins          // of its own forks
	due     time.Time     // zero: never
	order   string        // the last Write.Order
	closer  string        // the request of a producer that ended it, empty if none did
	census  census
	lives
}

// A view is what a caller sees of a stream at one moment.
type view struct {
	state
	gen uint64

	// Of the producer of a task: what was accepted, and what will have been.
	accepted accepted
	hope     accepted
	hoping   bool
}

// exists reports whether there is a stream: not even what is left of one that
// has gone.
func (v *view) exists() bool { return v.version != 0 && !v.over.Gone() }

// readBytes is how much of a stream is read at once when its keys are wanted,
// and maxLoads how many callers do so at a time: together they bound the
// memory that this takes.
const (
	readBytes = 256 << 10
	maxLoads  = 16
)

// hold returns the stream of that name, which stays in memory until release. It
// refuses what is no name.
func (j *Journal) hold(name string) (*stream, error) {
	if err := leat.CheckName(name); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, errClosed
	}
	s := j.streams[name]
	if s == nil {
		s = &stream{name: name}
		j.streams[name] = s
	}
	j.pin(s)
	return s, nil
}

// pin keeps s from being evicted. mu is held.
func (j *Journal) pin(s *stream) {
	s.users++
	if s.older != nil {
		s.leaveIdle()
	}
}

// release undoes hold.
func (j *Journal) release(s *stream) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unpin(s)
}

// unpin undoes pin, and evicts the streams that were used longest ago if
// together they take too much memory. mu is held.
func (j *Journal) unpin(s *stream) {
	s.users--
	if s.users > 0 {
		return
	}
	cost := streamOverhead + int64(2*len(s.name)+len(s.typ.text))
	if s.keys != nil {
		cost += s.keys.bytes
	}
	cost += int64(len(s.producers)) * producerBytes
	j.used += cost - s.cost
	s.cost = cost
	s.joinIdle(&j.idle)
	for j.used > j.memory && j.idle.newer != &j.idle {
		oldest := j.idle.newer
		oldest.leaveIdle()
		j.used -= oldest.cost
		delete(j.streams, oldest.name)
	}
}

// joinIdle makes s the newest in a ring, the one that is older than its root.
func (s *stream) joinIdle(root *stream) {
	s.older, s.newer = root.older, root
	s.older.newer, s.newer.older = s, s
}

func (s *stream) leaveIdle() {
	s.older.newer, s.newer.older = s.newer, s.older
	s.older, s.newer = nil, nil
}

// forget drops what was known of s, if it still is what generation gen knew.
// Keys stay: they are true up to the sequence they go to.
func (j *Journal) forget(s *stream, gen uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.gen == gen {
		s.forget()
	}
}

// forget drops what was known of s. mu is held.
func (s *stream) forget() {
	s.known = false
	s.gen++
	s.forgetProducers()
}

// keysCurrent reports whether the keys of all records are known that the
// current version has. mu is held.
func (s *stream) keysCurrent() bool {
	return s.keys != nil && s.keys.through >= s.last
}

// know makes s known, and its keys too if they are asked for, and returns what
// is known. Reading is done here, on the goroutine of the caller who needs it
// and for no longer than its ctx: nobody waits for it but those who append to
// the same stream, and for the keys only those who append with a key.
func (j *Journal) know(ctx context.Context, s *stream, keys bool) (view, error) {
	for {
		j.mu.Lock()
		if s.known && (!keys || s.keysCurrent()) {
			v := view{state: s.state, gen: s.gen}
			j.mu.Unlock()
			return v, nil
		}
		if other := s.loading; other != nil {
			j.mu.Unlock()
			select {
			case <-other:
			case <-ctx.Done():
				return view{}, ctx.Err()
			}
			continue
		}
		s.loading = make(chan struct{})
		known := s.known
		j.mu.Unlock()

		var err error
		if known {
			err = j.loadKeys(ctx, s)
		} else {
			err = j.loadInfo(ctx, s)
		}
		j.mu.Lock()
		close(s.loading)
		s.loading = nil
		j.mu.Unlock()
		if err != nil {
			return view{}, err
		}
	}
}

// maxLag is how often in a row a store may answer with what was before a commit of
// this journal. Then it is taken at its word: others may have removed the stream.
const maxLag = 16

// info reads what the store knows of s, with the values of more keys.
func (j *Journal) info(ctx context.Context, s *stream, more ...string) (store.Info, error) {
	keys := stateKeys
	if len(more) > 0 {
		keys = slices.Concat(keys, more)
	}
	for tries := 1; ; tries++ {
		info, err := j.st.Stream(ctx, s.name, keys...)
		if err != nil || j.alone {
			return info, err
		}
		j.mu.Lock()
		behind := s.ours && (info.Version == 0 || info.Last < s.seen || s.born && info.Last == 0 && info.State[stateEnd] != nil)
		if tries == maxLag {
			s.ours = s.ours && !behind
			behind = false
		}
		j.mu.Unlock()
		if !behind {
			return info, nil
		}
	}
}

// loadInfo reads what the store knows of s and remembers it.
func (j *Journal) loadInfo(ctx context.Context, s *stream) error {
	info, err := j.info(ctx, s)
	if err != nil {
		return err
	}
	st, err := stateOf(&info)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.known = true
	if st.version != 0 && (s.id == 0 || s.id == st.id) {
		st.access = s.access
	}
	s.state, s.records, s.bytes = st, info.Records, info.Bytes
	switch {
	case info.Last == 0:
		s.keys = newKeys(0) // no record, no key
	case s.keys != nil && info.ID > s.keys.through:
		s.keys = nil // they are those of an earlier stream of that name
	}
	return nil
}

// stateOf returns what an Info with the values of stateKeys says.
func stateOf(info *store.Info) (state, error) {
	st := state{version: info.Version, id: info.ID, last: info.Last, end: info.End, due: info.Due}
	if info.Version == 0 {
		return st, nil
	}
	st.typ = storedType(info.ContentType)
	st.over = leat.EndState(info.State[stateEnd])
	st.tail = string(info.State[stateTail])
	st.order = string(info.State[stateOrder])
	st.closer = string(info.State[stateCloser])
	st.census = decodeCensus(info.State[stateCensus])
	kept, err := decodeKept(info.Name, info.State[stateConfig], info.ContentType)
	if err != nil {
		return st, err
	}
	st.fork, st.pins = kept.Fork, kept.Forks
	if st.fork != nil && st.end < st.fork.Base {
		st.end = st.fork.Base
	}
	if st.config = kept.Config; st.config != nil {
		st.ttl, st.expires = st.config.TTL, st.config.Expires
		st.expiry = decodeTime(info.State[stateExpiry])
	}
	return st, nil
}

// loadKeys reads the keys of the records that s.keys does not go to. While it
// does, appends without a key go on.
func (j *Journal) loadKeys(ctx context.Context, s *stream) error {
	select {
	case j.loads <- struct{}{}:
		defer func() { <-j.loads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	j.mu.Lock()
	k, upTo := s.keys, s.last
	s.keys = nil // ours alone until they are complete
	j.mu.Unlock()

	since := j.since()
	if k == nil {
		after, err := j.st.At(ctx, since)
		if err != nil {
			return err
		}
		k = newKeys(after)
	}
	err := j.readKeys(ctx, s.name, k, upTo, since)

	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		// If s.last has moved on, records of this journal did it, and they
		// have no keys: appends with one wait for us, and so do those who
		// would read what others have appended. But a Write does not wait.
		if k.through = max(k.through, upTo); s.unread <= k.through {
			k.through = max(k.through, s.last)
		}
	}
	s.keys = k
	return err
}

// readKeys adds to k the records of a stream up to a sequence. What it has
// read counts even if it fails.
func (j *Journal) readKeys(ctx context.Context, name string, k *keys, upTo uint64, since time.Time) error {
	for k.through < upTo {
		b, err := j.st.ReadStream(ctx, name, k.through, upTo, readBytes)
		if err != nil {
			return err
		}
		for i := range b.Records {
			if r := &b.Records[i]; r.Key != "" {
				k.add(r, since)
			}
		}
		if b.Next <= k.through {
			return lagging(name, upTo)
		}
		k.through = b.Next
	}
	return nil
}

// lagging is the error for a store that tells of a record and then does not
// have it. See store.Abilities.ReadAfterWrite.
func lagging(name string, upTo uint64) error {
	return leat.Errorf(leat.CodeUnavailable, "the store has not yet caught up with the topic %q at %d", name, upTo).
		Advise("Repeat the request.")
}

// since returns the time from which on keys count.
func (j *Journal) since() time.Time { return j.now().Add(-j.window) }
