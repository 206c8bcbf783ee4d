package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/coder/websocket"
)

// A socket is a WebSocket as a body: each of its messages is a line. It ends as a body
// does if it was closed because there is no more, or because the server stops.
type socket struct {
	conn *websocket.Conn
	rest []byte
}

// dial opens a WebSocket. Without one the response says why.
func dial(ctx context.Context, client *http.Client, url string, header http.Header) (*socket, *http.Response, error) {
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err != nil {
		return nil, resp, err
	}
	conn.SetReadLimit(-1)
	return &socket{conn: conn}, resp, nil
}

func (s *socket) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		_, message, err := s.conn.Read(context.Background())
		switch code := websocket.CloseStatus(err); {
		case code == websocket.StatusNormalClosure, code == websocket.StatusServiceRestart:
			return 0, io.EOF
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF // it was not closed, it broke
		case err != nil:
			return 0, err
		}
		s.rest = append(message, '\n')
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *socket) Close() error { return s.conn.CloseNow() }
