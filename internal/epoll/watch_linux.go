package epoll

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch waits in place of a loop for events of the descriptors that were added.
//
// A loop that waited in epoll_wait itself would keep a thread, and what a thread needs
// to run Go, busy with waiting: the watchdog of the Go runtime then looks every 20 us,
// and to wake the loop takes a system call and a change of threads. So the runtime's own
// poller watches the descriptor, as if it were a connection; a loop sleeps and is woken
// as any goroutine. Events are rare: most of what a loop does was not caused by one.
type Watch struct {
	// Events has what has happened. The receiver sends to Taken when it has done with
	// them; until then there are no others.
	Events chan []unix.EpollEvent
	Taken  chan struct{}

	epoll int
	file  *os.File
	conn  syscall.RawConn
	over  chan struct{} // closed by Close
}

// NewWatch returns a Watch, whose Run is to be called. The error is that of a system
// that has no descriptors left.
func NewWatch() (*Watch, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // else the runtime does not poll it
		_ = unix.Close(epoll)
		return nil, err
	}
	w := &Watch{
		Events: make(chan []unix.EpollEvent), Taken: make(chan struct{}),
		epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll"), over: make(chan struct{}),
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

// Add has the Watch tell of events of a descriptor, edge-triggered: each once, when it
// happens. They have the number as Pad: what was told and is not taken yet may be about a
// descriptor that has been closed and is another's since.
func (w *Watch) Add(fd int32, number int32, events uint32) error {
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{
		Events: events | unix.EPOLLET, Fd: fd, Pad: number,
	})
}

// Remove undoes Add. Closing the descriptor does it too, but only once no process that
// was forked meanwhile has it.
func (w *Watch) Remove(fd int32) { _ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, int(fd), nil) }

// Close ends Run.
func (w *Watch) Close() {
	close(w.over)
	_ = w.file.Close()
}

// Run hands events over until the Watch is closed.
func (w *Watch) Run() {
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
		case w.Events <- events[:n]:
			<-w.Taken
		case <-w.over:
			return
		}
	}
}

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

// Discard takes what a client has sent behind its request, such as another request.
// If it were still there, closing would be a reset, which also takes from the client
// what it was sent last.
func Discard(fd int) {
	var junk [4096]byte
	for range 64 {
		if n, err := unix.Read(fd, junk[:]); n <= 0 && err != unix.EINTR {
			return
		}
	}
}
