package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// writes is the sink that is a descriptor, with memory that is reused for all of a
// loop.
type writes struct {
	fd  int
	msg unix.Msghdr
	iov [mostBufs + 2]unix.Iovec
}

// writev implements sink. It is sendmsg, which goes to the socket past what files have in
// common: for an event to one reader that is 8 % less than the writev of the system.
func (w *writes) writev(bufs [][]byte) (int, error) {
	size, pieces := 0, 0
	for _, b := range bufs {
		if len(b) > 0 {
			w.iov[pieces].Base = unsafe.SliceData(b)
			w.iov[pieces].SetLen(len(b))
			pieces++
			size += len(b)
		}
	}
	// The pieces are kept by bufs, and by iov until they are cleared.
	defer clear(w.iov[:pieces])
	w.msg.Iov = &w.iov[0]
	w.msg.SetIovlen(pieces)
	for {
		n, _, err := unix.Syscall(unix.SYS_SENDMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err != 0:
			return 0, err
		case int(n) < size:
			return int(n), errWouldBlock
		}
		return int(n), nil
	}
}
