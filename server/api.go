package server

import (
	"net"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// about is what /api says of the server.
type about struct {
	Durability store.Class `json:"durability"`
	Head       leat.Offset `json:"head"`
	Readers    int         `json:"readers"`
	Lab        bool        `json:"lab"`
}

func (s *Server) about() any {
	return about{s.o.Store.Abilities().Class, s.live.Offset(s.o.Store.Head()), s.live.Readers(), s.wire != nil}
}

// Listener returns what an http.Server of s is to listen on in place of ln: with
// Options.Lab one whose connections the lab sees, else ln.
func (s *Server) Listener(ln net.Listener) net.Listener {
	if s.wire == nil {
		return ln
	}
	return s.wire.Listen(ln)
}
