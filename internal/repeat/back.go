package repeat

import (
	"net"
	"net/http"
	"sync"
)

// Returns are connections that are given back to an http.Server, which takes them as
// those of a listener.
type returns struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
	addr  net.Addr
}

// giveBack has the http.Server serve a connection from what it has sent and nobody has
// taken yet.
func (cs *Conns) giveBack(hs *http.Server, nc *net.TCPConn, first []byte) {
	cs.givenBack.Add(1)
	cs.mu.Lock()
	b := cs.returns[hs]
	if b == nil && !cs.stopping {
		b = &returns{conns: make(chan net.Conn), over: make(chan struct{}), addr: nc.LocalAddr()}
		cs.returns[hs] = b
		// Owned by cs: ends with Close of cs, or that or the Shutdown of hs.
		cs.running.Go(func() { _ = hs.Serve(b) })
	}
	cs.mu.Unlock()
	if b != nil {
		select {
		case b.conns <- &back{TCPConn: nc, first: first}:
			return
		case <-b.over:
		}
	}
	_ = nc.Close()
}

// Accept implements net.Listener.
func (b *returns) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (b *returns) Close() error {
	b.once.Do(func() { close(b.over) })
	return nil
}

// Addr implements net.Listener: the address that the first of them came to.
func (b *returns) Addr() net.Addr { return b.addr }

// A back is a connection that was given back.
type back struct {
	*net.TCPConn
	first []byte // is to be read before the rest
}

// Read implements net.Conn.
func (b *back) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.first)
	if b.first = b.first[n:]; len(b.first) == 0 {
		b.first = nil // let the memory go
	}
	return n, nil
}

// Under returns the connection that was taken over before it was given back, for one
// that was, and else c.
func Under(c net.Conn) net.Conn {
	if b, ok := c.(*back); ok {
		return b.TCPConn
	}
	return c
}
