package otel_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/server/otel"
)

// A kept span is what was said of it.
type kept struct {
	noop.Span
	name       string
	kind       trace.SpanKind
	parent     trace.SpanContext
	attributes map[string]string
	status     codes.Code
	ended      int
}

func (s *kept) SetAttributes(as ...attribute.KeyValue) {
	for _, a := range as {
		s.attributes[string(a.Key)] = a.Value.String()
	}
}
func (s *kept) SetStatus(c codes.Code, _ string) { s.status = c }
func (s *kept) End(...trace.SpanEndOption)       { s.ended++ }

// A keeper is a tracer without an SDK.
type keeper struct {
	noop.Tracer
	spans []*kept
}

func (k *keeper) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(o...)
	s := &kept{name: name, kind: config.SpanKind(), parent: trace.SpanContextFromContext(ctx), attributes: map[string]string{}}
	s.SetAttributes(config.Attributes()...)
	k.spans = append(k.spans, s)
	return trace.ContextWithSpan(ctx, s), s
}

func TestSpans(t *testing.T) {
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	header := http.Header{"Traceparent": {traceparent}}
	inside := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	for _, test := range []struct {
		ctx    context.Context
		op     server.Operation
		out    server.Outcome
		kind   trace.SpanKind
		parent string
		status codes.Code
		want   map[string]string
	}{
		{
			context.Background(), server.Operation{Name: "publish", Topics: []string{"a"}, Surface: "events", Header: header}, server.Outcome{Code: "too_large"},
			trace.SpanKindProducer, "4bf92f3577b34da6a3ce929d0e0e4736", codes.Error,
			map[string]string{"messaging.system": "leat", "messaging.operation.name": "publish", "leat.surface": "events", "messaging.destination.name": "a", "error.type": "too_large"},
		},
		{
			inside, server.Operation{Name: "subscribe", Topics: []string{"a", "b/*"}, Surface: "streams", Header: header}, server.Outcome{Reason: "gone"},
			trace.SpanKindConsumer, "01000000000000000000000000000000", codes.Unset,
			map[string]string{"messaging.system": "leat", "messaging.operation.name": "subscribe", "leat.surface": "streams", "leat.topics": `["a","b/*"]`, "leat.reason": "gone"},
		},
		{
			context.Background(), server.Operation{Name: "subscribe", Surface: "server"}, server.Outcome{},
			trace.SpanKindConsumer, "00000000000000000000000000000000", codes.Unset,
			map[string]string{"messaging.system": "leat", "messaging.operation.name": "subscribe", "leat.surface": "server"},
		},
	} {
		k := &keeper{}
		ctx, end := otel.Tracer(k).Begin(test.ctx, test.op)
		s := k.spans[0]
		if trace.SpanFromContext(ctx) != trace.Span(s) || s.ended != 0 {
			t.Errorf("%+v: the context has another span, or it has ended", test.op)
		}
		end(test.out)
		if s.ended != 1 || s.name != test.op.Name || s.kind != test.kind || s.status != test.status || s.parent.TraceID().String() != test.parent {
			t.Errorf("%+v: %+v", test.op, s)
		}
		if got, want := fmt.Sprint(s.attributes), fmt.Sprint(test.want); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
