package main

import (
	"os"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall lacks.
const tcpUserTimeout = 18

// limitUnacked bounds the time that sent data may stay unacknowledged on the
// connections of a listening socket, which inherit the option.
func limitUnacked(c syscall.RawConn, limit time.Duration) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
	}); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("setsockopt", err)
}
