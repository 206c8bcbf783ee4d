package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/wire"
	"github.com/leat-dev/leat/sse"
)

// Bounds of what is sent of a log.
const (
	patience = 30 * time.Second // for who takes nothing
	silence  = 15 * time.Second // the longest
)

// A piece is what one read or write moved.
type piece struct {
	Conn uint64         `json:"conn,omitempty"` // of many
	At   int64          `json:"at"`             // microseconds since 1970
	Dir  wire.Direction `json:"dir"`
	Data []byte         `json:"data,omitempty"` // base64
}

// send sends the pieces of a log after the one with a number, as events, until the log is
// closed, the client leaves or the server stops.
func (s *Surface) send(w http.ResponseWriter, r *http.Request, log *wire.Log, number uint64) {
	surface.StreamHeader(w.Header(), surface.EventStream)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// Ended by send, if not by the end of the server.
	go func() {
		defer cancel()
		select {
		case <-s.o.Stopping:
		case <-ctx.Done():
		}
	}()
	out := surface.NewOutput(w)
	for buf := sse.AppendComment(nil, "leat"); ; {
		_ = out.SetWriteDeadline(time.Now().Add(patience)) // without deadlines its client's patience is the bound
		if _, err := out.Write(buf); err != nil || out.Flush() != nil {
			return
		}
		var err error
		if buf, number, err = wait(ctx, log, buf[:0], number); err != nil {
			return
		}
	}
}

// wait appends the pieces after the one with a number as events, and returns the number of
// the last. After a silence it is a comment.
func wait(ctx context.Context, log *wire.Log, buf []byte, number uint64) ([]byte, uint64, error) {
	quiet, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	pieces, err := log.After(quiet, number)
	switch {
	case err != nil && quiet.Err() != nil && ctx.Err() == nil:
		return sse.AppendComment(buf, ""), number, nil
	case err != nil:
		return nil, 0, err
	}
	for _, p := range pieces {
		number = p.Number
		data, err := json.Marshal(piece{p.Conn, p.At.UnixMicro(), p.Dir, p.Data})
		if err != nil {
			return nil, 0, err
		}
		if buf, err = sse.AppendEvent(buf, strconv.AppendUint(nil, number, 10), "", data); err != nil {
			return nil, 0, err
		}
	}
	return buf, number, nil
}
