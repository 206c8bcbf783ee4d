package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// flatSize bounds what is gathered before it is sent: for a few pieces that costs less than
// to have the system read where they are, by 5 % of a send over loopback or so.
const flatSize = 4 << 10

// writes is the sink that is a descriptor, with memory that is reused for all of a
// loop.
type writes struct {
	fd   int
	msg  unix.Msghdr
	iov  [mostBufs + 2]unix.Iovec
	flat [flatSize]byte
}

// writev implements sink. It is sendto and sendmsg, which go to the socket past what files
// have in common: for an event to one reader that is 8 % less than the writev of the system.
func (w *writes) writev(bufs [][]byte) (int, error) {
	size := 0
	for _, b := range bufs {
		size += len(b)
	}
	if size <= flatSize {
		flat := w.flat[:0]
		for _, b := range bufs {
			flat = append(flat, b...)
		}
		return w.send(size, unix.SYS_SENDTO, unsafe.Pointer(&w.flat), uintptr(size), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
	pieces := 0
	for _, b := range bufs {
		if len(b) > 0 {
			w.iov[pieces].Base = unsafe.SliceData(b)
			w.iov[pieces].SetLen(len(b))
			pieces++
		}
	}
	// The pieces are kept by bufs, and by iov until they are cleared.
	defer clear(w.iov[:pieces])
	w.msg.Iov = &w.iov[0]
	w.msg.SetIovlen(pieces)
	return w.send(size, unix.SYS_SENDMSG, unsafe.Pointer(&w.msg), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0)
}

// send makes a system call that sends size bytes and has these arguments behind the
// descriptor.
func (w *writes) send(size int, call uintptr, what unsafe.Pointer, a, b uintptr) (int, error) {
	for {
		n, _, err := unix.Syscall6(call, uintptr(w.fd), uintptr(what), a, b, 0, 0)
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
