package otel_test

import (
	"context"
	"log"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/server/otel"
	"github.com/leat-dev/leat/store/memstore"
)

func ExampleTracer() {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	provider := noop.NewTracerProvider() // in a program that of the SDK
	srv, err := server.New(server.Options{Store: st, Tracer: otel.Tracer(provider.Tracer("leat"))})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	// Output:
}
