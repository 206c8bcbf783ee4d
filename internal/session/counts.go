package session

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/tally"
	"github.com/leat-dev/leat/store"
)

// A Kind is what a reader is counted as.
type Kind struct {
	Surface   string // where it came: events, streams, or server for one in this process
	Format    string // of what it is sent
	Transport string // the version of HTTP, or go for one in this process
}

// KindOf returns the Kind of who makes a request. Of versions there are so many and no
// more: r.Proto is a word of the client's.
func KindOf(surface, format string, r *http.Request) Kind {
	k := Kind{surface, format, "http/1.1"}
	switch {
	case r.ProtoMajor == 2:
		k.Transport = "http/2"
	case r.ProtoMajor == 3:
		k.Transport = "http/3"
	case !r.ProtoAtLeast(1, 1):
		k.Transport = "http/1.0"
	}
	return k
}

// counts are what a Host has seen. What readers were sent is counted by those who send.
type counts struct {
	gaps       *tally.Names // by reason, told or answered with
	left       *tally.Names // readers, by the reason
	turnedAway *tally.Names // readers, by the reason

	mu    sync.Mutex
	kinds map[Kind]*kind // those that there ever were
}

// A kind is the number of readers of one Kind at present. A reader that a tracer follows
// has one of its own, so that the others need no room for a span.
type kind struct {
	Kind
	readers atomic.Int64
	shared  *kind         // what it counts in; nil: itself
	span    *surface.Span // nil if nobody follows it
}

func (k *kind) goes() {
	if k.shared == nil {
		k.readers.Add(-1)
		return
	}
	k.shared.readers.Add(-1)
	if k.span != nil {
		k.span.End()
	}
}

// followed returns what a reader is counted as whose request has a context.
func (k *kind) followed(ctx context.Context) *kind {
	span := surface.SpanOf(ctx)
	if span == nil {
		return k
	}
	span.Take()
	return &kind{Kind: k.Kind, shared: k, span: span}
}

// leaves notes why a reader does.
func (k *kind) leaves(reason socket.Reason) {
	if k.span != nil {
		k.span.Reason = string(reason)
	}
}

// unfollow lets another reader have the span.
func (k *kind) unfollow() {
	if k.span != nil {
		k.span.Return()
		k.span = nil
	}
}

func newCounts() counts {
	reasons := make([]string, len(socket.Reasons))
	for i, r := range socket.Reasons {
		reasons[i] = string(r)
	}
	return counts{
		gaps: tally.NewNames(render.ReasonTrimmed, render.ReasonReplaced, render.ReasonSkipped, string(store.LossLost), string(store.LossForeign)),
		left: tally.NewNames(reasons...), turnedAway: tally.NewNames(TurnedAwayFull, TurnedAwayStopping),
		kinds: make(map[Kind]*kind),
	}
}

// comes counts a reader. It goes with what is returned.
func (c *counts) comes(of Kind) *kind {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.kinds[of]
	if k == nil {
		k = &kind{Kind: of}
		c.kinds[of] = k
	}
	k.readers.Add(1)
	return k
}

// Readers is how many readers there are of a Kind.
type Readers struct {
	Kind
	Count int64
}

// Counts are what a Host has seen since it was made.
type Counts struct {
	Readers    []Readers        // sorted; a kind that there was stays, with 0
	Gaps       map[string]int64 // by reason
	Left       map[string]int64 // readers whose answer was begun, by the reason of its end
	TurnedAway map[string]int64 // readers whose answer was not, by the reason
}

// The reasons why readers are turned away.
const (
	TurnedAwayFull     = "full"     // there is no room for another one
	TurnedAwayStopping = "stopping" // the server is
)

// Counts returns what was counted.
func (h *Host) Counts() Counts {
	n := Counts{Gaps: h.gaps.Read(), Left: h.left.Read(), TurnedAway: h.turnedAway.Read()}
	h.mu.Lock()
	defer h.mu.Unlock()
	byName := func(a, b Kind) int {
		return cmp.Or(cmp.Compare(a.Surface, b.Surface), cmp.Compare(a.Format, b.Format), cmp.Compare(a.Transport, b.Transport))
	}
	for _, of := range slices.SortedFunc(maps.Keys(h.kinds), byName) {
		n.Readers = append(n.Readers, Readers{of, h.kinds[of].readers.Load()})
	}
	return n
}
