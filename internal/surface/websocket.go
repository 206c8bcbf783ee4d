package surface

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/leat-dev/leat"
)

// AsksWebSocket reports whether a request is the opening handshake of a WebSocket (RFC
// 6455, section 4.1).
func AsksWebSocket(r *http.Request) bool {
	return r.Method == http.MethodGet && headerHas(r.Header, "Connection", "upgrade") && headerHas(r.Header, "Upgrade", "websocket")
}

// headerHas reports whether a field, which is a list, has a token in it.
func headerHas(h http.Header, field, token string) bool {
	for _, value := range h.Values(field) {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// The ways in which we close a WebSocket (RFC 6455, section 7.4.1, and IANA's registry).
const (
	CloseNormal   = int(websocket.StatusNormalClosure)
	ClosePolicy   = int(websocket.StatusPolicyViolation)
	CloseInternal = int(websocket.StatusInternalError)
	CloseRestart  = int(websocket.StatusServiceRestart)
)

// A WebSocket is an Output whose lines are text messages. A line is written without its
// line feed; an empty one is none. One goroutine may write at a time.
type WebSocket struct {
	conn    *websocket.Conn
	raw     net.Conn       // under conn, for the deadlines
	message io.WriteCloser // that was begun with a part of a line
}

// Upgrade makes a WebSocket of the connection of a request. The context ends with the
// connection: when the client closes it, and also when it sends a message, since there is
// nothing that it could say. A request that cannot be upgraded is answered; then the
// WebSocket is nil.
func Upgrade(w http.ResponseWriter, r *http.Request, log *slog.Logger) (*WebSocket, context.Context) {
	hijacker := findHijacker(w)
	if hijacker == nil {
		WriteError(w, r, log, leat.Errorf(leat.CodeInvalidParameter, "this connection cannot become a WebSocket: something between does not hand it over").
			Advise("Read the stream without an upgrade, as text/event-stream or application/x-ndjson."))
		return nil, nil
	}
	u := &upgrade{ResponseWriter: w, hijacker: hijacker}
	// Whose page may do so was asked by the Guard.
	conn, err := websocket.Accept(u, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	switch {
	case err != nil && u.conn != nil:
		log.Warn("a connection broke off while it was to become a WebSocket", "remote", r.RemoteAddr, "err", err)
		return nil, nil
	case err != nil:
		WriteError(w, r, log, leat.Errorf(leat.CodeInvalidParameter, "this is not the handshake of a WebSocket: %w", err).
			Advise("It takes Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key (RFC 6455, section 4.1); any WebSocket client sends both."))
		return nil, nil
	}
	ctx, left := context.WithCancel(r.Context())
	// Ended by the end of the connection. The library's own CloseRead waits for itself when
	// a client speaks.
	go func() {
		defer left()
		if _, _, err := conn.Reader(ctx); err == nil {
			_ = conn.Close(websocket.StatusPolicyViolation, "nothing is read here: publish with POST")
		}
	}()
	return &WebSocket{conn: conn, raw: u.conn}, ctx
}

// findHijacker returns what can hand the connection of an answer over, nil if there is
// nothing.
func findHijacker(w http.ResponseWriter) http.Hijacker {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// Write implements socket.Output.
func (s *WebSocket) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		line := rest[:max(i, 0)]
		if i < 0 {
			line = rest
		}
		if err := s.write(line, i >= 0); err != nil {
			return 0, err
		}
		rest = rest[len(line):]
		if i >= 0 {
			rest = rest[1:]
		}
	}
	return len(p), nil
}

// write writes a part of a line, or its end. The deadline is that of the connection: a
// context of its own for each message would be made for each.
func (s *WebSocket) write(part []byte, last bool) (err error) {
	ctx := context.Background()
	if s.message == nil {
		switch {
		case last && len(part) == 0:
			return nil
		case last:
			return s.conn.Write(ctx, websocket.MessageText, part)
		}
		if s.message, err = s.conn.Writer(ctx, websocket.MessageText); err != nil {
			return err
		}
	}
	if _, err := s.message.Write(part); err != nil || !last {
		return err
	}
	err = s.message.Close()
	s.message = nil
	return err
}

// Flush implements socket.Output: no message is held back.
func (s *WebSocket) Flush() error { return nil }

// SetWriteDeadline implements socket.Output.
func (s *WebSocket) SetWriteDeadline(t time.Time) error { return s.raw.SetWriteDeadline(t) }

// Close closes the connection with a code and a reason of at most 123 bytes, and waits a
// few seconds for the client to do the same. In the middle of a message, and without a
// code, it is cut.
func (s *WebSocket) Close(code int, reason string) {
	if s.message != nil || code == 0 {
		_ = s.conn.CloseNow()
		return
	}
	_ = s.conn.Close(websocket.StatusCode(code), reason) // the client may be gone
}

// An upgrade keeps the connection as it is handed over, and from the client what the
// library says when it refuses to upgrade: that is no problem document.
type upgrade struct {
	http.ResponseWriter
	hijacker http.Hijacker
	conn     net.Conn
}

func (u *upgrade) Write(p []byte) (int, error) { return len(p), nil }

func (u *upgrade) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
	}
}

func (u *upgrade) Hijack() (conn net.Conn, rw *bufio.ReadWriter, err error) {
	conn, rw, err = u.hijacker.Hijack()
	u.conn = conn
	return conn, rw, err
}
