package repeat

import (
	"bytes"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// giveBack gives a connection back to its http.Server, with what was read of it.
func (d *desk) giveBack(c *conn, rest []byte) {
	rest = bytes.Clone(rest)
	fd := d.leave(c)
	// Ends when the http.Server has taken it, or is closed.
	d.cs.running.Go(func() {
		f := os.NewFile(uintptr(fd), "publisher")
		alive := keepAlive(fd)
		d.cs.returning.Lock() // one descriptor more is enough for all
		nc, err := net.FileConn(f)
		_ = f.Close()
		d.cs.returning.Unlock()
		if err != nil {
			return // there is none left
		}
		tcp := nc.(*net.TCPConn)
		_ = tcp.SetKeepAliveConfig(alive) // net has set its own
		d.cs.giveBack(c.hs, tcp, rest)
	})
}

// keepAlive returns how the system probes a connection.
func keepAlive(fd int) net.KeepAliveConfig {
	get := func(level, option int) int {
		n, _ := unix.GetsockoptInt(fd, level, option)
		return n
	}
	return net.KeepAliveConfig{
		Enable:   get(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0,
		Idle:     time.Duration(get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)) * time.Second,
		Interval: time.Duration(get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)) * time.Second,
		Count:    get(unix.IPPROTO_TCP, unix.TCP_KEEPCNT),
	}
}
