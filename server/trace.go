package server

import (
	"context"
	"net/http"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
)

// A Tracer follows requests and calls to publish and to subscribe. Package server/otel has
// one of OpenTelemetry. Its methods are called by many goroutines at once.
type Tracer interface {
	// Begin is told what begins, in the context of the request or of the call. It returns
	// the context that the rest of it has, and what is to be told when it is over: once,
	// by any goroutine, of a reader that may be days later.
	Begin(ctx context.Context, op Operation) (context.Context, func(Outcome))
}

// An Operation is what begins.
type Operation struct {
	Name    string      // OperationPublish or OperationSubscribe
	Topics  []string    // the names and patterns that are asked for; nil if the body of the request says which
	Surface string      // where it came: "events", "streams", or "server" for a call
	Header  http.Header // of the request, nil of a call. It must not be changed
}

// The names of operations. Every GET of a stream is a subscription, whether it lasts or not.
const (
	OperationPublish   = "publish"
	OperationSubscribe = "subscribe"
)

// An Outcome is how an operation has ended.
type Outcome struct {
	// Code is that of the error that was answered or returned; empty for none.
	Code leat.Code

	// Reason is why a reader left whose answer was begun: see Metrics.Left.
	Reason string
}

// operation returns what a request is to a tracer; not ok if that is nothing.
func (s *Server) operation(r *http.Request) (op Operation, ok bool) {
	op.Header = r.Header
	name, isStream := s.streams.Name(r.URL.Path)
	switch {
	case isStream && name != "":
		op.Surface, op.Topics = "streams", []string{name}
	case r.URL.Path == "/events":
		op.Surface, op.Topics = "events", r.URL.Query()["topic"]
	default:
		return op, false
	}
	switch r.Method {
	case http.MethodGet:
		op.Name = OperationSubscribe
	case http.MethodPost, http.MethodPut:
		op.Name = OperationPublish
	default:
		return op, false
	}
	return op, true
}

// beginTraced is the rest of begin where there is a tracer.
func (s *Server) beginTraced(w http.ResponseWriter, r *http.Request) (rest socket.Rest) {
	op, ok := s.operation(r)
	if !ok {
		return s.admit(w, r)
	}
	ctx, end := s.o.Tracer.Begin(r.Context(), op)
	ctx, span := surface.WithSpan(ctx, func(span *surface.Span) { end(Outcome{span.Code, span.Reason}) })
	defer func() {
		if rest == nil { // also if there was a panic
			span.HandlerEnds()
		}
	}()
	if rest = s.admit(w, r.WithContext(ctx)); rest != nil {
		rest = tracedRest{rest, span}
	}
	return rest
}

// A tracedRest is the rest of an answer that a tracer follows.
type tracedRest struct {
	socket.Rest
	span *surface.Span
}

func (t tracedRest) Run() {
	defer t.span.HandlerEnds()
	t.Rest.Run()
}

// trace begins an operation that is a call.
func (s *Server) trace(ctx context.Context, name string, topics []string) (context.Context, func(Outcome)) {
	if s.o.Tracer == nil {
		return ctx, func(Outcome) {}
	}
	return s.o.Tracer.Begin(ctx, Operation{Name: name, Topics: topics, Surface: "server"})
}
