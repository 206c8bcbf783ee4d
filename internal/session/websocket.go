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
func (h *Host) Socket(w http.ResponseWriter, r *http.Request, rd *Reading) socket.Rest {
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
	h.roll.enter(ses, r, rd)
	return h.o.Writer.Begin(ctx, socket.Conn{
		Output:    ws,
		Source:    ses,
		Bell:      bell,
		Head:      h.opening(rd),
		Heartbeat: rd.Heartbeat,
		Done: func(reason socket.Reason) {
			defer ses.Close()
			if reason == "" {
				reason = socket.ReasonBroken // it panicked
			}
			h.log(ses, reason)
			ws.Close(closing(ses, reason))
		},
	})
}

// closing returns the code and the reason with which a WebSocket is closed; the code is 0
// for one whose client is not there to hear it.
func closing(ses *session, reason socket.Reason) (code int, text string) {
	text = string(reason)
	switch {
	case ses.dismissed():
		return surface.ClosePolicy, string(socket.ReasonDismissed)
	case reason == socket.ReasonEnded:
		return surface.CloseNormal, text
	case reason == socket.ReasonShutdown:
		return surface.CloseRestart, text
	case reason == socket.ReasonSlow:
		return surface.ClosePolicy, text
	case reason == socket.ReasonGone, reason == socket.ReasonBroken, reason == socket.ReasonStalled:
		return 0, text
	}
	if e := (*leat.Error)(nil); errors.As(ses.Err(), &e) && e.Code == leat.CodeUnavailable {
		return surface.CloseRestart, text
	}
	return surface.CloseInternal, text
}
