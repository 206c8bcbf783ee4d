//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A load is many readers of one server, served by one goroutine with epoll. Each
// checks that the events of each publisher come in order, none twice and none left
// out.
type load struct {
	epoll  int
	mark   []byte // what stands before an event in its line of data, if anything does
	conns  []*reader
	done   chan struct{}
	stop   atomic.Bool
	thread atomic.Int64 // that reads
	before atomic.Int64 // what the thread had run when it began to

	ready     atomic.Int64 // readers whose answer has begun
	delivered atomic.Int64
	reads     atomic.Int64 // that brought at least one event
	wrong     atomic.Int64

	mu    sync.Mutex
	hist  histogram
	fault error
}

// maxPublishers bounds the number in an event.
const maxPublishers = 8

// A reader is one connection, and how far it has been parsed.
type reader struct {
	fd      int  // for who closes it
	head    bool // the head of the answer has been read
	chunked bool
	left    int    // of the chunk
	line    []byte // begun in an earlier read
	edge    []byte // the head, or the line between two chunks, begun in an earlier read
	next    [maxPublishers]int64
	events  int
}

// newLoad connects n readers with a request each and waits until all answers have
// begun.
func newLoad(s *server, n int, request func(i int) string) (*load, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &load{epoll: epoll, mark: []byte(s.mark), done: make(chan struct{})}
	l.conns = make([]*reader, n)
	for i := range l.conns {
		l.conns[i] = &reader{fd: -1}
	}
	go l.run() // ends with close
	for i, r := range l.conns {
		if r.fd, err = dial(s.addr, request(i)); err == nil {
			err = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, r.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(r.fd), Pad: int32(i)})
		}
		if err != nil {
			l.close()
			return nil, fmt.Errorf("reader %d: %w", i, err)
		}
	}
	for limit := time.Now().Add(20 * time.Second); l.ready.Load() < int64(n); time.Sleep(time.Millisecond) {
		if err := l.failure(); err != nil || time.Now().After(limit) {
			l.close()
			return nil, errors.Join(fmt.Errorf("%d of %d answers have begun", l.ready.Load(), n), err)
		}
	}
	return l, nil
}

// dial connects, sends a request and returns the descriptor, which does not block.
func dial(addr, request string) (fd int, err error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return -1, err
	}
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = syscall.Connect(fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err == nil {
		_, err = syscall.Write(fd, []byte(request))
	}
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (l *load) run() {
	defer close(l.done)
	runtime.LockOSThread()
	l.thread.Store(int64(syscall.Gettid()))
	l.before.Store(int64(l.busy()))
	events, buf := make([]syscall.EpollEvent, 512), make([]byte, 256<<10)
	for !l.stop.Load() {
		n, err := syscall.EpollWait(l.epoll, events, 20)
		if err != nil && err != syscall.EINTR {
			l.fail(err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			r := l.conns[e.Pad]
			k, err := syscall.Read(int(e.Fd), buf)
			if k <= 0 && err != syscall.EAGAIN {
				l.fail(fmt.Errorf("reader %d: the stream has ended after %d events: %v", e.Pad, r.events, err))
				_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, int(e.Fd), nil)
				continue
			}
			if k > 0 {
				l.take(r, buf[:k])
			}
		}
	}
}

// take parses what one read brought.
func (l *load) take(r *reader, b []byte) {
	if !r.head {
		if b = l.begin(r, b); b == nil {
			return
		}
	}
	now, before := time.Now().UnixNano(), r.events
	l.mu.Lock()
	for len(b) > 0 {
		if !r.chunked {
			l.lines(r, b, now)
			break
		}
		if r.left > 0 {
			n := min(r.left, len(b))
			l.lines(r, b[:n], now)
			b, r.left = b[n:], r.left-n
			continue
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			r.edge = append(r.edge, b...)
			break
		}
		edge := b[:i]
		if len(r.edge) > 0 {
			edge = append(r.edge, edge...)
			r.edge = r.edge[:0]
		}
		b = b[i+1:]
		if edge = bytes.TrimSuffix(edge, []byte("\r")); len(edge) > 0 { // else the end of a chunk
			n, err := strconv.ParseUint(string(edge), 16, 32)
			if err != nil || n == 0 {
				l.fault = errors.Join(l.fault, fmt.Errorf("a chunk of size %q", edge))
				break
			}
			r.left = int(n)
		}
	}
	l.mu.Unlock()
	if n := r.events - before; n > 0 {
		l.delivered.Add(int64(n))
		l.reads.Add(1)
	}
}

// begin takes the head of the answer and returns what is behind it, nil if there is
// nothing yet.
func (l *load) begin(r *reader, b []byte) []byte {
	r.edge = append(r.edge, b...)
	i := bytes.Index(r.edge, []byte("\r\n\r\n"))
	if i < 0 {
		return nil
	}
	if !bytes.HasPrefix(r.edge, []byte("HTTP/1.1 200")) {
		l.fail(fmt.Errorf("the answer begins with %.200q", r.edge))
		return nil
	}
	r.head, r.chunked = true, bytes.Contains(bytes.ToLower(r.edge[:i]), []byte("transfer-encoding: chunked"))
	b, r.edge = r.edge[i+4:], nil
	l.ready.Add(1)
	return b
}

// lines takes a piece of the event stream.
func (l *load) lines(r *reader, b []byte, now int64) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			r.line = append(r.line, b...)
			return
		}
		line := b[:i]
		if len(r.line) > 0 {
			r.line = append(r.line, line...)
			line = r.line
			r.line = r.line[:0]
		}
		b = b[i+1:]
		if len(line) > 5 && line[0] == 'd' && string(line[:5]) == "data:" {
			l.data(r, line[5:], now)
		}
	}
}

// data takes a line of data: an event, or some with the mark before each.
func (l *load) data(r *reader, line []byte, now int64) {
	if len(l.mark) == 0 {
		l.event(r, bytes.TrimPrefix(line, []byte(" ")), now)
		return
	}
	for {
		i := bytes.Index(line, l.mark)
		if i < 0 {
			return
		}
		line = line[i+len(l.mark):]
		l.event(r, line, now)
	}
}

// event checks "publisher number nanoseconds padding".
func (l *load) event(r *reader, data []byte, now int64) {
	publisher, data, ok := number(data)
	seq, data, ok2 := number(data)
	at, _, ok3 := number(data)
	if !ok || !ok2 || !ok3 || publisher >= maxPublishers {
		return // an event of the server's own
	}
	if seq != r.next[publisher] {
		l.wrong.Add(1)
	}
	r.next[publisher] = seq + 1
	r.events++
	l.hist.add(now - at)
}

func number(b []byte) (n int64, rest []byte, ok bool) {
	for i, c := range b {
		if c == ' ' {
			return n, b[i+1:], i > 0
		}
		if c < '0' || c > '9' {
			return 0, nil, false
		}
		n = n*10 + int64(c-'0')
	}
	return 0, nil, false
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
}

func (l *load) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// waitFor waits until so many events have come in all.
func (l *load) waitFor(n int64, limit time.Duration) {
	for end := time.Now().Add(limit); l.delivered.Load() < n && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (l *load) close() {
	l.stop.Store(true)
	<-l.done
	for _, r := range l.conns {
		if r.fd >= 0 {
			// A reset, so that no port waits for the rest of the run.
			_ = syscall.SetsockoptLinger(r.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
			_ = syscall.Close(r.fd)
		}
	}
	_ = syscall.Close(l.epoll)
}

// busy returns the processor time that reading has taken.
func (l *load) busy() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", l.thread.Load()))
	ns, _, _ := strings.Cut(string(b), " ")
	n, _ := strconv.ParseInt(ns, 10, 64)
	return time.Duration(n - l.before.Load())
}

func (l *load) resetLatency() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hist = histogram{}
}

// latency returns a quantile in milliseconds.
func (l *load) latency(q float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hist.quantile(q) / 1e6
}

// A histogram has sixteen buckets for each power of two.
type histogram struct {
	buckets [64 * 16]int64
	n       int64
}

func (h *histogram) add(v int64) {
	h.buckets[bucket(v)]++
	h.n++
}

func bucket(v int64) int {
	v = max(v, 16)
	e := bits.Len64(uint64(v)) - 5
	return e*16 + int(v>>e) - 16
}

func (h *histogram) quantile(q float64) float64 {
	rank := int64(q * float64(h.n))
	for i, n := range h.buckets {
		if rank -= n; rank < 0 {
			return float64(int64(i%16+16) << (i / 16))
		}
	}
	return 0
}
