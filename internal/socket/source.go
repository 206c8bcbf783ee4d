// Package socket writes to connections what their readers are due. It knows
// where the bytes come from only as a Source, and nothing of records or
// protocols: it keeps time (heartbeats, deadlines), keeps a slow reader from
// holding anything but its own connection, and names the reason of every end.
package socket

import (
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// A State is what a Source has for its connection.
type State int

// The states.
const (
	// Idle: nothing is due. The connection's Wake is called when that
	// changes.
	Idle State = iota

	// Due: there are bytes of frames.
	Due

	// Notice: a private block has to be sent before anything else.
	Notice

	// End: everything has been sent, the connection is to be closed.
	End

	// Cut: the reader cannot go on. The connection is to be closed in a way
	// that does not look like an end, where the protocol has one.
	Cut
)

// A Source is one reader. Its methods are called by one goroutine at a time
// and never wait.
type Source interface {
	// Peek fills out with bytes that are due, about size of them, and says
	// what there is. It never answers Notice, End or Cut in the middle of a
	// frame, except Cut when the rest of the frame is gone.
	Peek(out *frame.Ranges, size int) State

	// TooSlow is called before a Peek after which anything may be sent, rather
	// than the rest of what was begun. It reports whether the reader has fallen too
	// far behind: then its connection is closed with the farewell.
	TooSlow() bool

	// Advance says that n bytes of what Peek put into out were taken.
	Advance(out *frame.Ranges, n int)

	// Between reports whether all frames that were begun are sent, so that
	// a private block can follow.
	Between() bool

	// Notice returns the private block to send after Peek answered Notice. It may
	// be followed by any number of line feeds, which mean nothing.
	Notice() []byte

	// Heartbeat returns the private block to send after a silence.
	Heartbeat() []byte

	// Farewell returns the private block to send last when the server
	// stops, or the reader is too slow, and the client is to come back after a
	// delay.
	Farewell(delay time.Duration) []byte
}

// Sent counts what readers were sent of frames.
type Sent struct {
	Records int64 // frames, counted when their last byte was taken
	Bytes   int64 // of frames, without what stands between them
}

// A sum is a Sent that one goroutine writes and any reads.
type sum struct{ records, bytes atomic.Int64 }

func (s *sum) store(n Sent) {
	s.records.Store(n.Records)
	s.bytes.Store(n.Bytes)
}

func (s *sum) add(n Sent) {
	s.records.Add(n.Records)
	s.bytes.Add(n.Bytes)
}

func (s *sum) load() Sent { return Sent{s.records.Load(), s.bytes.Load()} }

// A Reason is why a connection ended. It is a label: in logs, in metrics, in
// tests.
type Reason string

// The reasons.
const (
	ReasonGone     Reason = "gone"     // the client closed the connection, or its network did
	ReasonStalled  Reason = "stalled"  // the client took nothing for the stall timeout
	ReasonSlow     Reason = "slow"     // the reader fell behind by more than it may
	ReasonBroken   Reason = "broken"   // a write failed in another way
	ReasonEnded    Reason = "ended"    // all was sent
	ReasonCut      Reason = "cut"      // the Source could not go on
	ReasonShutdown Reason = "shutdown" // the server stops

	// ReasonDismissed is the reason of who ends that way: the socket sees an end like
	// others.
	ReasonDismissed Reason = "dismissed" // somebody had the reader go
)

// Reasons are all of them.
var Reasons = []Reason{ReasonGone, ReasonStalled, ReasonSlow, ReasonBroken, ReasonEnded, ReasonCut, ReasonShutdown, ReasonDismissed}
