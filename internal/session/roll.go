package session

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/wire"
)

// A roll is the list of readers with connections, in the order in which they came, for
// who wants to know who they are.
type roll struct {
	mu          sync.Mutex
	first, last *session
	number      uint64 // of the newest
}

// An entry is what of a session others than who serves it may look at.
type entry struct {
	// Guarded by the roll's mu.
	number     uint64 // from 1 on; 0 if it is not on the roll
	prev, next *session

	// Static while it is on the roll.
	of    *kind
	since int64        // microseconds since 1970
	whole *live.Reader // the one it began with

	// Set by who serves it.
	at   atomic.Uint64 // the position it has come to
	sent atomic.Int64  // bytes

	// Set under the roll's mu; what is in it does not change.
	touch atomic.Pointer[touch]
}

// A touch is what somebody does to a reader.
type touch struct {
	dismissed bool
	reason    string    // of that
	tap       *wire.Log // gets what it is sent; nil if nobody looks
	taps      int       // who do
}

// Bounds of what is kept of a reader for who looks at what it is sent.
const (
	tapBytes  = 1 << 20
	tapPieces = 1 << 10
)

func (l *roll) enter(s *session, r *http.Request, rd *Reading) {
	s.of, s.since, s.whole = s.kind, time.Now().UnixMicro(), s.Reader
	s.remote = strings.Clone(r.RemoteAddr) // nothing of the request is kept
	s.at.Store(rd.Start.After)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	s.number, s.prev = l.number, l.last
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

// leave takes a session off the roll, if it is there.
func (l *roll) leave(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.number == 0 {
		return
	}
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.number, s.prev, s.next = 0, nil, nil
	if t := s.touch.Load(); t != nil && t.tap != nil {
		t.tap.Close()
	}
}

// find returns the session with a number, nil if it has left. The caller holds mu.
func (l *roll) find(number uint64) *session {
	s := l.last
	for s != nil && s.number > number {
		s = s.prev
	}
	if s == nil || s.number < number {
		return nil
	}
	return s
}

// with calls do with the touch of the session with a number, which becomes what do makes
// of it. It returns the session, nil if it has left.
func (l *roll) with(number uint64, do func(t *touch)) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.find(number)
	if s == nil {
		return nil
	}
	var t touch
	if old := s.touch.Load(); old != nil {
		t = *old
	}
	do(&t)
	if t == (touch{}) {
		s.touch.Store(nil)
	} else {
		s.touch.Store(&t)
	}
	return s
}

// A Subscriber is a reader with a connection, as it is at a moment.
type Subscriber struct {
	Number uint64 // from 1 on, never given twice
	Remote string // its address
	Kind   Kind
	Filter *leat.Filter
	Since  time.Time
	Cursor leat.Offset // how far it has come

	// Lag is how many records it is due. More says that there may be further ones, of
	// history that is not in memory.
	Lag  int
	More bool

	Bytes int64 // that it was sent, of frames and blocks
}

// Subscribers returns up to limit subscribers whose numbers are greater than after, in
// order.
func (h *Host) Subscribers(after uint64, limit int) []Subscriber {
	list := make([]Subscriber, 0, limit)
	h.roll.mu.Lock()
	defer h.roll.mu.Unlock()
	for s := h.roll.first; s != nil && len(list) < limit; s = s.next {
		if s.number <= after {
			continue
		}
		at := s.at.Load()
		sub := Subscriber{
			Number: s.number, Remote: s.remote, Kind: s.of.Kind, Filter: s.whole.Filter(),
			Since: time.UnixMicro(s.since).UTC(), Cursor: h.o.Live.Offset(at), Bytes: s.sent.Load(),
		}
		sub.Lag, sub.More = s.whole.Lag(at)
		list = append(list, sub)
	}
	return list
}

// Dismiss has a subscriber go: it is sent why, and asked to come back later, where its
// form can say so. It reports whether there is one with that number.
func (h *Host) Dismiss(number uint64, reason string) bool {
	s := h.roll.with(number, func(t *touch) { t.dismissed, t.reason = true, reason })
	if s == nil {
		return false
	}
	s.whole.Wake()
	return true
}

// Tap returns a log of what a subscriber is sent from now on, each piece as it goes to its
// connection, and what ends that for the caller; nil if there is no subscriber with that
// number. The log is closed when it leaves.
func (h *Host) Tap(number uint64) (log *wire.Log, untap func()) {
	s := h.roll.with(number, func(t *touch) {
		if t.tap == nil {
			t.tap = wire.NewLog(time.Now, tapBytes, tapPieces)
		}
		t.taps++
		log = t.tap
	})
	if s == nil {
		return nil, nil
	}
	return log, func() {
		h.roll.with(number, func(t *touch) {
			if t.taps--; t.taps == 0 {
				t.tap = nil
			}
		})
	}
}

// dismissed reports whether the reader is to go.
func (s *session) dismissed() bool {
	t := s.touch.Load()
	return t != nil && t.dismissed
}

// goNow is the state of a reader that is to go. What it was begun to be sent is broken
// off: it may be because it takes nothing that it is to go.
func (s *session) goNow() socket.State {
	if s.form.Tells() && s.Reader.Between() {
		return socket.Notice
	}
	return socket.Cut
}

// dismissal is the last block of a reader that is to go.
func (s *session) dismissal() []byte {
	s.ended = true
	return s.form.AppendDismissal(nil, s.touch.Load().reason, between(minBusyRetry, maxBusyRetry), s.host.o.Live.Offset(s.After()))
}

// sends takes notice of a block that goes to the connection.
func (s *session) sends(block []byte) []byte {
	s.sent.Store(s.sent.Load() + int64(len(block)))
	if t := s.touch.Load(); t != nil && t.tap != nil && len(block) > 0 {
		t.tap.Add(0, wire.Out, block)
	}
	return block
}

// moves takes notice of n bytes of frames that have gone there.
func (s *session) moves(frames [][]byte, n int) {
	s.sent.Store(s.sent.Load() + int64(n))
	t := s.touch.Load()
	if t == nil || t.tap == nil || n == 0 {
		return
	}
	var pieces [][]byte
	for _, b := range frames {
		pieces = append(pieces, b[:min(n, len(b))])
		if n -= len(b); n <= 0 {
			break
		}
	}
	t.tap.Add(0, wire.Out, pieces...)
}
