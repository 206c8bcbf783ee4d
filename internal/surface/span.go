package surface

import (
	"context"
	"sync"

	"github.com/leat-dev/leat"
)

// A Span is a request that a tracer follows. It is in the context of the request, and who
// goes on with that after its handler has returned takes it. One goroutine at a time has
// it.
type Span struct {
	Code   leat.Code // of the error that was answered
	Reason string    // why a reader left

	over  sync.Once
	ended func(*Span)
	taken bool
}

type spanKey struct{}

// WithSpan returns a context with a Span, whose end is told to ended, once.
func WithSpan(ctx context.Context, ended func(*Span)) (context.Context, *Span) {
	s := &Span{ended: ended}
	return context.WithValue(ctx, spanKey{}, s), s
}

// SpanOf returns the Span of a context, nil if there is none.
func SpanOf(ctx context.Context) *Span {
	s, _ := ctx.Value(spanKey{}).(*Span)
	return s
}

// Take says that the Span ends with something else than the handler.
func (s *Span) Take() { s.taken = true }

// Return takes a Take back.
func (s *Span) Return() { s.taken = false }

// End ends the Span. Only the first call does something.
func (s *Span) End() { s.over.Do(func() { s.ended(s) }) }

// HandlerEnds ends the Span if nobody has taken it.
func (s *Span) HandlerEnds() {
	if !s.taken {
		s.End()
	}
}
