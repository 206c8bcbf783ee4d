package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// writes is the sink that is a descriptor, with memory that is reused for all of a
// loop.
type writes struct {
	fd  int
	iov [mostBufs + 2]unix.Iovec
}

// writev implements sink.
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
	for {
		n, _, err := unix.Syscall(unix.SYS_WRITEV, uintptr(w.fd), uintptr(unsafe.Pointer(&w.iov)), uintptr(pieces))
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
