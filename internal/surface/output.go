package surface

import (
	"errors"
	"net/http"
	"time"

	"github.com/leat-dev/leat"
)

// Output is a response as package socket writes to it.
type Output struct{ w http.ResponseWriter }

// NewOutput returns the Output of a response. If it cannot flush (see CheckFlush) all is
// sent when the http.Server has enough of it, or at the end.
func NewOutput(w http.ResponseWriter) *Output {
	return &Output{w}
}

func (o *Output) Write(p []byte) (int, error) { return o.w.Write(p) }

// Flush implements socket.Output.
func (o *Output) Flush() error {
	err := http.NewResponseController(o.w).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// SetWriteDeadline implements socket.Output.
func (o *Output) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(o.w).SetWriteDeadline(t)
}

// CheckFlush returns an error if what wraps a response has hidden how to flush it, so
// that nothing can be streamed: http.ResponseController finds no way.
func CheckFlush(w http.ResponseWriter) error {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return leat.Errorf(leat.CodeInternal, "a middleware stands before this server whose http.ResponseWriter, a %T, cannot flush: nothing can be streamed through it", w).
				Advise("Give it a method Unwrap() http.ResponseWriter that returns the one it wraps, or serve this path without that middleware.")
		}
	}
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
