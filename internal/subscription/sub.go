package subscription

import (
	"encoding/json"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// reserved begins the names of streams that hold what subscriptions are: their state
// alone, never a record. No request can name them.
const (
	reserved   = "__ds/"
	subStreams = reserved + "subscriptions/"
)

// The keys of that state. That of a link is linkKey and the name of the stream.
const (
	docKey  = "doc"
	wakeKey = "wake"
	linkKey = "l/"
)

// A sub is a subscription. Its fields are guarded by the Manager's mu, but for those
// above turn, which are static, and the two below it, which are for the holder of turn.
type sub struct {
	id     string
	stream string // where the store keeps it

	turn    turn // taken to change and store it
	version uint64
	stale   bool // it is not known whether the last change was stored

	made uint64 // the ID of stream, for tokens
	doc  document
	glob glob
	wake wake

	links   map[string]*link
	pending map[string]struct{} // the links with something to do
	dirty   map[string]struct{} // the links that the store does not have as they are
	dropped map[string]struct{} // links that the store has and must not

	hidden  bool // it is being made
	gone    bool
	full    bool // a stream was not linked because there were too many
	queued  bool // in Manager.ready
	posted  bool // in Manager.outbox
	sending bool // its wake is being delivered

	again time.Time // not before this is it tried to store it once more
	at    time.Time // in the index of what is due
	place int       // there; -1 if it is not
}

func newSub(id string) *sub {
	return &sub{
		id: id, stream: subStreams + id, turn: newTurn(), place: -1,
		links:   make(map[string]*link),
		pending: make(map[string]struct{}), dirty: make(map[string]struct{}), dropped: make(map[string]struct{}),
	}
}

// A link is a stream that a subscription is about. Its fields in the store have tags.
type link struct {
	Explicit bool   `json:"e,omitempty"`
	Glob     bool   `json:"g,omitempty"`
	Acked    uint64 `json:"a,omitempty"` // the sequence of the last record that was done, or one behind it

	tail    uint64 // the sequence of the newest entry, 0 if there is none
	missing bool   // the stream did not exist when the link was read
}

func (l *link) typ() string {
	if l.Explicit {
		return "explicit"
	}
	return "glob"
}

// A wake is the last one of a subscription. It is in flight if it has an ID. Times are
// in milliseconds.
type wake struct {
	Generation uint64 `json:"gen"`
	ID         string `json:"id,omitempty"`
	Stream     string `json:"stream,omitempty"` // one that there is work in
	Holder     string `json:"holder,omitempty"` // the worker that has claimed it
	LeaseEnd   int64  `json:"lease,omitempty"`  // 0: there is no lease
	Next       int64  `json:"next,omitempty"`   // when it is delivered; 0: it was
	Failures   int    `json:"failures,omitempty"`
}

// clear ends the wake. How often the last delivery failed stays.
func (w *wake) clear() { *w = wake{Generation: w.Generation, Failures: w.Failures} }

// expire ends a wake whose lease is over.
func (w *wake) expire(now time.Time) {
	if w.LeaseEnd != 0 && now.UnixMilli() >= w.LeaseEnd {
		w.clear()
	}
}

// delivered notes that a worker has got it, and has until the end of its lease.
func (w *wake) delivered(end time.Time) {
	w.LeaseEnd, w.Next, w.Failures = max(w.LeaseEnd, end.UnixMilli()), 0, 0
}

// setTail notes where a linked stream ends.
func (s *sub) setTail(name string, tail uint64) {
	if l := s.links[name]; l != nil {
		l.tail = tail
		s.look(name, l)
	}
}

// ack notes how far a stream is done.
func (s *sub) ack(name string, seq uint64) {
	if l := s.links[name]; l != nil && seq > l.Acked {
		l.Acked = seq
		s.look(name, l)
	}
}

// look finds out whether there is something to do in a stream.
func (s *sub) look(name string, l *link) {
	if l.tail > l.Acked {
		s.pending[name] = struct{}{}
	} else {
		delete(s.pending, name)
	}
}

// due returns when something is to be done that time alone brings about; zero if
// nothing is.
func (s *sub) due() time.Time {
	w := &s.wake
	switch {
	case s.gone || s.hidden || s.queued || s.posted:
	case !s.again.IsZero():
		return s.again
	case w.ID == "":
	case w.Next != 0 && !s.sending:
		return time.UnixMilli(w.Next)
	case w.Next == 0 && w.LeaseEnd != 0:
		return time.UnixMilli(w.LeaseEnd)
	}
	return time.Time{}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in this program
	}
	return b
}

// decode reads what encode has written.
func decode(info *store.Info, key string, v any) error {
	text, ok := info.State[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return leat.Errorf(leat.CodeInternal, "the state %q of %s cannot be read: %w", key, info.Name, err)
	}
	return nil
}
