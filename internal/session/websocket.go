package session

import (
	"errors"
	"net/http"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
)

// Socket is Stream for a reader that asks for a WebSocket. One that has seen the end of
// all it asks for is told so by the way in which the connection is closed.
func (h *Host) Socket(w http.ResponseWriter, r *http.Request, rd *Reading) *socket.Serving {
	bell := socket.NewBell()
	ses, err := h.join(r.Context(), rd, bell)
	if err != nil {
		surface.WriteError(w, r, h.o.Logger, err)
		return nil
	}
	ws, ctx := surface.Upgrade(w, r, h.o.Logger)
	switch {
	case ws == nil:
		if ses != nil {
			ses.Close()
		}
		return nil
	case ses == nil:
		ws.Close(surface.CloseNormal, string(socket.ReasonEnded))
		return nil
	}
	ses.remote = r.RemoteAddr
	return h.o.Writer.Begin(ctx, socket.Conn{
		Output:    ws,
		Source:    ses,
		Bell:      bell,
		Head:      rd.Form.AppendOpening(nil, rd.retry(), h.o.Live.Offset(rd.Start.After)),
		Heartbeat: rd.Heartbeat,
		Done: func(reason socket.Reason) {
			defer ses.Close()
			if reason == "" {
				reason = socket.ReasonBroken // it panicked
			}
			h.log(ses, reason)
			ws.Close(closing(ses, reason), string(reason))
		},
	})
}

// closing returns the code with which a WebSocket is closed, 0 for one whose client is not
// there to hear it.
func closing(ses *session, reason socket.Reason) int {
	switch reason {
	case socket.ReasonEnded:
		return surface.CloseNormal
	case socket.ReasonShutdown:
		return surface.CloseRestart
	case socket.ReasonSlow:
		return surface.ClosePolicy
	case socket.ReasonGone, socket.ReasonBroken, socket.ReasonStalled:
		return 0
	}
	if e := (*leat.Error)(nil); errors.As(ses.Err(), &e) && e.Code == leat.CodeUnavailable {
		return surface.CloseRestart
	}
	return surface.CloseInternal
}
