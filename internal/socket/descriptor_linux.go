package socket

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// Duplicate returns a second descriptor of a connection, the caller's own.
func Duplicate(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(own uintptr) {
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(cerr, err); err != nil {
		return -1, err
	}
	return fd, nil
}

// CloseDuplicate closes what Duplicate returned, if it was not given to a loop.
func CloseDuplicate(fd int) { _ = unix.Close(fd) }

// discard takes what a client has sent behind its request, such as another request.
// If it were still there, closing would be a reset, which also takes from the client
// what it was sent last.
func discard(fd int) {
	var junk [4096]byte
	for range 64 {
		if n, err := unix.Read(fd, junk[:]); n <= 0 && err != unix.EINTR {
			return
		}
	}
}
