package socket

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A watch waits for the events of an epoll descriptor in place of its loop.
//
// A loop that waited in epoll_wait itself would keep a thread, and what a thread needs
// to run Go, busy with waiting: the watchdog of the Go runtime then looks every 20 us,
// and to wake the loop takes a system call and a change of threads. So the runtime's own
// poller watches the descriptor, as if it were a connection; a loop sleeps and is woken
// as any goroutine. Events are rare: most of what a loop does was not caused by one.
type watch struct {
	file   *os.File
	conn   syscall.RawConn
	events chan []unix.EpollEvent // what has happened; the receiver answers on taken
	taken  chan struct{}
	over   chan struct{} // closed by close
}

// newWatch watches a descriptor, which is the watch's from now on, also if it fails.
func newWatch(epoll int) (*watch, error) {
	if err := unix.SetNonblock(epoll, true); err != nil { // else the runtime does not poll it
		_ = unix.Close(epoll)
		return nil, err
	}
	w := &watch{
		file:   os.NewFile(uintptr(epoll), "epoll"),
		events: make(chan []unix.EpollEvent), taken: make(chan struct{}), over: make(chan struct{}),
	}
	conn, err := w.file.SyscallConn()
	if err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // fails for what the runtime does not poll
	}
	if err != nil {
		_ = w.file.Close()
		return nil, err
	}
	w.conn = conn
	return w, nil
}

// close ends run, and closes the descriptor.
func (w *watch) close() {
	close(w.over)
	_ = w.file.Close()
}

// run hands events over until the watch is closed.
func (w *watch) run() {
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		err := w.conn.Read(func(fd uintptr) bool {
			var err error
			if n, err = unix.EpollWait(int(fd), events, 0); err != nil && err != unix.EINTR {
				panic(err) // of a descriptor that is our own: somebody has closed it
			}
			return n > 0
		})
		if err != nil {
			return // it is closed
		}
		select {
		case w.events <- events[:n]:
			<-w.taken
		case <-w.over:
			return
		}
	}
}
