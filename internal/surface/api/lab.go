package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/wire"
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

// wire sends all that is read and written from now on, or after the piece of a
// Last-Event-ID.
func (s *Surface) wire(w http.ResponseWriter, r *http.Request, _ string) error {
	number := s.o.Wire.Number()
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		var err error
		if number, err = strconv.ParseUint(text, 10, 64); err != nil {
			return leat.Errorf(leat.CodeInvalidOffset, "%q is not the id of a piece", text).Advise("Leave Last-Event-ID out.")
		}
	}
	exempt(r)
	s.send(w, r, s.o.Wire.Log, number)
	return nil
}
