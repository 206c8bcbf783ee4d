package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/wire"
	"github.com/leat-dev/leat/sse"
)

// maxStall is the longest time for which the lab keeps a server from writing.
const maxStall = time.Minute

// cut breaks the connections of all others.
func (s *Surface) cut(w http.ResponseWriter, r *http.Request, _ string) error {
	exempt(r)
	surface.WriteJSON(w, http.StatusOK, map[string]int{"cut": s.o.Wire.Cut()})
	return nil
}

// stall keeps the server from writing to the connections of others for a time.
func (s *Surface) stall(w http.ResponseWriter, r *http.Request, _ string) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(q.Get("for"))
	if err != nil || d < 0 || d > maxStall {
		return surface.InvalidParameter("for", q.Get("for"), "It is a duration from 0s, which ends a stall, to "+maxStall.String()+".")
	}
	exempt(r)
	s.o.Wire.Stall(d)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// exempt takes the connection of a request out of what the lab sees and harms.
func exempt(r *http.Request) {
	if c, ok := surface.Conn(r).(*wire.Conn); ok {
		c.Exempt()
	}
}

// A piece is what one read or write moved, as the lab sees it.
type piece struct {
	Conn uint64         `json:"conn"`
	At   int64          `json:"at"` // microseconds since 1970
	Dir  wire.Direction `json:"dir"`
	Data []byte         `json:"data,omitempty"` // base64
}

// wire sends all that is read and written from now on, or after the piece of a
// Last-Event-ID, as events.
func (s *Surface) wire(w http.ResponseWriter, r *http.Request, _ string) error {
	number := s.o.Wire.Number()
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		var err error
		if number, err = strconv.ParseUint(text, 10, 64); err != nil {
			return leat.Errorf(leat.CodeInvalidOffset, "%q is not the id of a piece", text).Advise("Leave Last-Event-ID out.")
		}
	}
	exempt(r)
	surface.StreamHeader(w.Header(), surface.EventStream)
	out := surface.NewOutput(w)
	buf := sse.AppendComment(nil, "leat")
	for {
		_ = out.SetWriteDeadline(time.Now().Add(patience))
		if _, err := out.Write(buf); err != nil || out.Flush() != nil {
			return nil // it has left
		}
		var err error
		if buf, number, err = s.wait(r.Context(), buf[:0], number); err != nil {
			return nil // it has left, or the server stops
		}
	}
}

// Bounds of what is sent of the wire.
const (
	patience = 30 * time.Second // for who takes nothing
	silence  = 15 * time.Second // the longest
)

// wait appends the pieces after the one with a number as events, and returns the number
// of the last. After a silence it is a comment.
func (s *Surface) wait(ctx context.Context, buf []byte, number uint64) ([]byte, uint64, error) {
	quiet, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	pieces, err := s.o.Wire.After(quiet, number)
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
