package surface

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/leat-dev/leat/internal/socket"
)

type connKey struct{}

// WithConn returns a context for the requests of a connection, which may be taken over
// if it is TCP without TLS. It is for http.Server.ConnContext.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Conn returns the connection that a request came by, nil if it is not known.
func Conn(r *http.Request) net.Conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return c
}

// CanTakeOver reports whether the connection of a request can be taken from the
// HTTP server: nothing but the answer to this request is to come of it.
func CanTakeOver(r *http.Request) bool {
	_, ok := Conn(r).(*net.TCPConn)
	return ok && r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.TLS == nil && r.Body == http.NoBody
}

// IsShared reports whether the connection of a request is one that many have at a time,
// as HTTP/2 does: then the goroutine of the request is all that its answer has of its own.
func IsShared(r *http.Request) bool { return r.ProtoMajor >= 2 }

// TakeOver takes the connection of a request for which CanTakeOver. It returns a
// descriptor, the caller's own, and the head of the answer, which has the fields of
// w, says that the body comes in chunks unless they tell its length, and that the
// connection ends with it. Another request that the client may have sent already is
// for the client to send again (RFC 9112, section 9.3.2). With an error nothing has
// happened.
func TakeOver(w http.ResponseWriter, r *http.Request, status int) (fd int, head []byte, err error) {
	fd, err = socket.Duplicate(Conn(r).(*net.TCPConn))
	if err != nil {
		return -1, nil, err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		socket.CloseDuplicate(fd)
		return -1, nil, err
	}
	_ = conn.Close() // the duplicate keeps the connection
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	h := w.Header()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	if h.Get("Content-Length") == "" {
		h.Set("Transfer-Encoding", "chunked")
	}
	_ = h.Write(&b) // to memory
	b.WriteString("\r\n")
	return fd, b.Bytes(), nil
}
