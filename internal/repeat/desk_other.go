//go:build !linux

package repeat

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

const haveDesks = false

// Desks are there on Linux only; elsewhere net/http serves all.
type desk struct {
	cs   *Conns
	open atomic.Int64
}

func newDesk(*Conns) (*desk, error) { return nil, errors.ErrUnsupported }

func (*desk) stop()          {}
func (*desk) close()         {}
func (*desk) finish(*answer) {}

func (*Conns) take(context.Context, *http.Server, *net.TCPConn, *http.Request, []byte) {}
