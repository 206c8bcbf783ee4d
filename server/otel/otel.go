// Package otel lets OpenTelemetry follow what is published to a server, and who subscribes:
//
//	srv, err := server.New(server.Options{Store: st, Tracer: otel.Tracer(provider.Tracer("leat"))})
//
// There is one span for each request or call to publish, and one for each reader, from its
// request to its end, also when its connection has long been taken from net/http. They are
// named "publish" and "subscribe", with these attributes:
//
//	messaging.system            leat
//	messaging.operation.name    publish or subscribe
//	messaging.destination.name  the topic, if one was asked for by its name
//	leat.topics                 the topics, otherwise, if the request says which
//	leat.surface                events, streams, or server for a call
//	leat.reason                 why a reader left
//	error.type                  the code of the error
//
// The parent is the span in the context, which middleware such as otelhttp has put there,
// or else the one that the field traceparent of the request names.
package otel

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/leat-dev/leat/server"
)

// Tracer returns a tracer for server.Options that makes spans with t.
func Tracer(t trace.Tracer) server.Tracer { return tracer{t} }

type tracer struct{ t trace.Tracer }

// Begin implements server.Tracer.
func (t tracer) Begin(ctx context.Context, op server.Operation) (context.Context, func(server.Outcome)) {
	if op.Header != nil && !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(op.Header))
	}
	attributes := []attribute.KeyValue{
		attribute.String("messaging.system", "leat"),
		attribute.String("messaging.operation.name", op.Name),
		attribute.String("leat.surface", op.Surface),
	}
	switch {
	case len(op.Topics) == 1 && !strings.Contains(op.Topics[0], "*"):
		attributes = append(attributes, attribute.String("messaging.destination.name", op.Topics[0]))
	case len(op.Topics) > 0:
		attributes = append(attributes, attribute.StringSlice("leat.topics", op.Topics))
	}
	kind := trace.SpanKindProducer
	if op.Name == server.OperationSubscribe {
		kind = trace.SpanKindConsumer
	}
	ctx, span := t.t.Start(ctx, op.Name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return ctx, func(out server.Outcome) {
		if out.Reason != "" {
			span.SetAttributes(attribute.String("leat.reason", out.Reason))
		}
		if out.Code != "" {
			span.SetAttributes(attribute.String("error.type", string(out.Code)))
			span.SetStatus(codes.Error, string(out.Code))
		}
		span.End()
	}
}
