// Prices is a ticker: one topic for each symbol, and a reader picks what it wants to
// see by name or pattern. The server is Leat inside a program that has pages and a
// feed of its own.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	every := flag.Duration("every", 250*time.Millisecond, "time between two prices")
	flag.Parse()
	srv := run.Leat(server.Options{
		// Enough to resume with, and to draw a line of what was before.
		Retention: []server.RetentionRule{{Pattern: "prices/*", Retention: server.Retention{Records: 1000}}},
		// Who cannot keep up wants the newest price and not all the old ones: it is
		// moved forward, and told so with a gap.
		Slow: []server.SlowRule{{Pattern: "prices/*", Records: 200, Skip: true}},
	})
	// Owned by main: it ends with the context.
	go trade(run.Context(), srv, *every)

	mux := http.NewServeMux()
	mux.Handle("GET /events", srv) // to read only: who publishes is this program
	run.Main(mux, page, srv)
}

// trade publishes a price at a time. They are made up, and always the same.
func trade(ctx context.Context, srv *server.Server, every time.Duration) {
	symbols := [...]string{"LEAT", "WEIR", "MILL"}
	cents := [...]int{10000, 4200, 730}
	chance := rand.New(rand.NewPCG(1, 2))
	for i := 0; ; i = (i + 1) % len(symbols) {
		cents[i] = max(1, cents[i]+int(chance.NormFloat64()*float64(cents[i])/200))
		price := fmt.Appendf(nil, `{"symbol":%q,"price":%d.%02d}`, symbols[i], cents[i]/100, cents[i]%100)
		_, err := srv.Publish(ctx, server.Message{Topic: "prices/" + symbols[i], ContentType: "application/json", Data: price})
		if err != nil {
			return // the server is stopping
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}
