package socket

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leat-dev/leat/internal/epoll"
)

// Duplicate returns a second descriptor of a connection, the caller's own.
func Duplicate(c *net.TCPConn) (fd int, err error) { return epoll.Duplicate(c) }

// CloseDuplicate closes what Duplicate returned, if it was not given to a loop.
func CloseDuplicate(fd int) { _ = unix.Close(fd) }

// LimitUnacked bounds the time for which a client may leave unacknowledged what it was
// sent, or say that it has no room, before the system gives its connection up: after a
// write nothing else would tell for a quarter of an hour that it has vanished.
func LimitUnacked(c *net.TCPConn, limit time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	return errors.Join(cerr, err)
}

// timedOut reports whether the system gave a connection up by such a limit.
func timedOut(fd int) bool {
	why, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err == nil && unix.Errno(why) == unix.ETIMEDOUT
}

// unacked returns the number of bytes that the system holds for a client.
func unacked(fd int) (int32, error) {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return int32(n), err
}
