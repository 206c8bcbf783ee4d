package server

import (
	"context"
	"time"
)

// WithClock returns o with the clock that keys and streams age by.
func WithClock(o Options, now func() time.Time) Options {
	o.now = now
	return o
}

// Sweep removes now what is to go.
func (s *Server) Sweep(ctx context.Context) error { return s.journal.Sweep(ctx) }
