package surface

import (
	"net/http"
	"time"
)

// Output is a response as package socket writes to it.
type Output struct{ w http.ResponseWriter }

// NewOutput returns the Output of a response. What wraps it needs an Unwrap
// method, or Flush fails with http.ErrNotSupported.
func NewOutput(w http.ResponseWriter) *Output {
	return &Output{w}
}

func (o *Output) Write(p []byte) (int, error) { return o.w.Write(p) }
func (o *Output) Flush() error                { return http.NewResponseController(o.w).Flush() }
func (o *Output) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(o.w).SetWriteDeadline(t)
}

// The media types of answers that every surface has.
const (
	EventStream = "text/event-stream"
	JSON        = "application/json"
)

// NDJSON has the media types of a JSON object on each line; none is registered.
var NDJSON = []string{"application/x-ndjson", "application/ndjson", "application/jsonl"}

// StreamHeader sets the fields of every answer that is sent piece by piece: no
// cache may keep it, nobody may transform it, and no proxy hold it back
// (Incremental: RFC 10036).
func StreamHeader(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Incremental", "?1")
}
