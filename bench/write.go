//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// The write side: how many appends a second are answered, each after it is durable,
// beside what the disk, the storage engine and net/http can do by themselves in the
// same run.

var writeScenarios = []scenario{
	{name: "append over 1 connection", servers: []string{"leat", "net/http", "http+disk", "disk", "disk, growing", "pebble 1"}, run: toEvents(1)},
	{name: "append over 64 connections", servers: []string{"leat", "net/http", "http+disk", "pebble 64"}, run: toEvents(64)},
	{name: "stream over 1 connection", servers: []string{"leat"}, run: toStreams(1, 1)},
	{name: "stream over 64 connections", servers: []string{"leat"}, run: toStreams(64, 64)},
	{name: "one stream over 64 connections", servers: []string{"leat"}, run: toStreams(64, 1)},
	{name: "100 lines over 1 connection", servers: []string{"leat"}, run: lines(1)},
	{name: "100 lines over 64 connections", servers: []string{"leat"}, run: lines(64)},
}

var writeTargets = []target{
	{name: "5: durable appends/s, 64 connections", unit: "/s", limit: 40_000,
		value: func(rs results) float64 { return rs.of("append over 64 connections", "leat", "deliveries/s") }},
	{name: "5: durable appends/s, 1 connection, as a multiple of one write and fdatasync each", unit: "x", limit: 0.8,
		value: ratio("append over 1 connection", "deliveries/s", "disk, growing")},
}

// writePeers are the ceilings. Those without a process are this one.
var writePeers = []*peer{
	{name: "http+disk", start: startSelf, publish: postEvents},
	{name: "disk", alone: func() (result, error) { return syncs(false) }},
	{name: "disk, growing", alone: func() (result, error) { return syncs(true) }},
	{name: "pebble 1", alone: func() (result, error) { return engine(1) }},
	{name: "pebble 64", alone: func() (result, error) { return engine(64) }},
}

// syncHandler answers a POST once its body is in a file, with a write and an fdatasync
// of its own: what a handler that knows no group commit does.
type syncHandler struct {
	mu   sync.Mutex
	file *os.File
}

func newSyncHandler() http.Handler {
	f, err := os.Create("log")
	if err != nil {
		panic(err) // the command line of a benchmark
	}
	return &syncHandler{file: f}
}

func (h *syncHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	_, err = h.file.Write(body)
	if err == nil {
		err = syscall.Fdatasync(int(h.file.Fd()))
	}
	h.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// appenders are connections that post one request after the other, each as soon as
// the one before is answered, all served by one thread with epoll: what it costs is
// a small part of what the server costs.
type appenders struct {
	epoll    int
	conns    []appender
	answered int64
	hist     histogram
	counting atomic.Bool
	stop     atomic.Bool
	done     chan struct{}
	err      error // once done is closed
}

// An appender is one connection.
type appender struct {
	fd      int
	request []byte
	turn    [][]byte // what it posts in turn, from at on; nil: always request
	at      int
	sent    int64 // nanoseconds
	answer  []byte
}

// newAppenders connects n of them. request returns what the i-th posts.
func newAppenders(addr string, n int, request func(i int) []byte) (*appenders, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	a := &appenders{epoll: epoll, conns: make([]appender, n), done: make(chan struct{})}
	for i := range a.conns {
		a.conns[i] = appender{fd: -1, request: request(i)}
	}
	for i := range a.conns {
		c := &a.conns[i]
		if c.fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err == nil {
			err = syscall.Connect(c.fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		}
		if err == nil {
			err = syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		}
		if err == nil {
			err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
		}
		if err != nil {
			a.close()
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return a, nil
}

func (a *appenders) close() {
	for _, c := range a.conns {
		if c.fd >= 0 {
			_ = syscall.SetsockoptLinger(c.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
			_ = syscall.Close(c.fd)
		}
	}
	_ = syscall.Close(a.epoll)
}

// post sends the next request of a connection. It is small and there is room: the
// one before has been answered.
func (c *appender) post() error {
	if c.turn != nil {
		c.request = c.turn[c.at%len(c.turn)]
		c.at++
	}
	c.sent = time.Now().UnixNano()
	n, err := syscall.Write(c.fd, c.request)
	if err == nil && n < len(c.request) {
		err = errors.New("a request was not taken whole")
	}
	return err
}

// run posts until stop.
func (a *appenders) run() error {
	runtime.LockOSThread()
	for i := range a.conns {
		if err := a.conns[i].post(); err != nil {
			return err
		}
	}
	events, buf := make([]syscall.EpollEvent, len(a.conns)), make([]byte, 64<<10)
	for !a.stop.Load() {
		n, err := syscall.EpollWait(a.epoll, events, 20)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if err := a.take(&a.conns[e.Fd], buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// take reads from a connection that has something, and posts again if that is all
// of an answer.
func (a *appenders) take(c *appender, buf []byte) error {
	n, err := syscall.Read(c.fd, buf)
	if n <= 0 {
		return errors.Join(errors.New("the server has closed a connection"), err)
	}
	answer := buf[:n]
	if len(c.answer) > 0 {
		answer = append(c.answer, answer...)
	}
	whole, err := wholeAnswer(answer)
	if err != nil {
		return err
	}
	if !whole {
		c.answer = append([]byte(nil), answer...)
		return nil
	}
	c.answer = c.answer[:0]
	if a.counting.Load() {
		a.hist.add(time.Now().UnixNano() - c.sent)
		a.answered++
	}
	return c.post()
}

var headEnd, lengthField = []byte("\r\n\r\n"), []byte("\r\nContent-Length: ")

// wholeAnswer reports whether b is all of an answer, which must be a success.
func wholeAnswer(b []byte) (bool, error) {
	i := bytes.Index(b, headEnd)
	if i < 0 {
		return false, nil
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 2")) {
		return false, fmt.Errorf("an append was answered %.300q", b)
	}
	length := 0
	if at := bytes.Index(b[:i+2], lengthField); at >= 0 {
		text, _, _ := bytes.Cut(b[at+len(lengthField):], []byte("\r"))
		var err error
		if length, err = strconv.Atoi(string(text)); err != nil {
			return false, err
		}
	}
	switch rest := len(b) - i - len(headEnd) - length; {
	case rest > 0:
		return false, fmt.Errorf("%d bytes follow an answer: %.300q", rest, b)
	default:
		return rest == 0, nil
	}
}

// appendFor posts over n connections for a while. Each request has so many records.
func appendFor(s *server, n, records int, request func(i int) []byte) (r result, err error) {
	a, err := newAppenders(s.addr, n, request)
	if err != nil {
		return r, err
	}
	defer a.close()
	return a.measure(s, records)
}

// measure posts for a while after a second that does not count. Each request has so
// many records.
func (a *appenders) measure(s *server, records int) (r result, err error) {
	go func() { // ends with stop, or an error
		defer close(a.done)
		a.err = a.run()
	}()
	sleep(time.Second, a.done)
	cpu, own, began := s.cpu(), ownCPU(), time.Now()
	a.counting.Store(true)
	sleep(appendTime, a.done)
	a.counting.Store(false)
	took := time.Since(began).Seconds()
	cpu, own = s.cpu()-cpu, ownCPU()-own
	a.stop.Store(true)
	<-a.done
	appends := float64(a.answered) * float64(records)
	r.PerSecond = appends / took
	r.CPUPerMillion = cpu / appends * 1e6
	r.GeneratorBusy = own / took
	r.P50Ms, r.P99Ms = a.hist.quantile(0.5)/1e6, a.hist.quantile(0.99)/1e6
	return r, a.err
}

// sleep returns after d, or when done is closed.
func sleep(d time.Duration, done <-chan struct{}) {
	select {
	case <-time.After(d):
	case <-done:
	}
}

// ownCPU returns the seconds of processor time that this process has used.
func ownCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// record100 is a payload of 100 bytes.
var record100 = []byte(strings.Repeat("leat", 25))

// appendTime is how long appends are counted.
const appendTime = 3 * time.Second

// toEvents has each connection publish to a topic of its own.
func toEvents(n int) func(*server) (result, error) {
	return func(s *server) (result, error) {
		return appendFor(s, n, 1, func(i int) []byte { return s.publish(nil, nameOf(i), record100) })
	}
}

// toStreams has n connections append to streams that are made before.
func toStreams(n, streams int) func(*server) (result, error) {
	return func(s *server) (result, error) {
		for i := range streams {
			if err := s.makeStream(nameOf(i)); err != nil {
				return result{}, err
			}
		}
		return appendFor(s, n, 1, func(i int) []byte {
			return post(nil, "/streams/"+nameOf(i%streams), "Content-Type: text/plain\r\n", record100)
		})
	}
}

// lines has each request publish a hundred envelopes.
func lines(n int) func(*server) (result, error) {
	const batch = 100
	return func(s *server) (result, error) {
		return appendFor(s, n, batch, func(i int) []byte {
			line := fmt.Sprintf(`{"topic":%q,"data":%q}`+"\n", nameOf(i), record100)
			return post(nil, "/events", "Content-Type: application/x-ndjson\r\n", []byte(strings.Repeat(line, batch)))
		})
	}
}

func nameOf(i int) string { return "sensors/" + strconv.Itoa(i) }

// makeStream makes a stream of Leat's.
func (s *server) makeStream(name string) error {
	req, err := http.NewRequest(http.MethodPut, "http://"+s.addr+"/streams/"+name, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("PUT %s was answered %s", name, resp.Status)
	}
	return nil
}

// syncs is the least that a durable append costs on a disk: one write of a record
// and one fdatasync, one after the other. In a file that grows each is also a
// change of its length; in one that has its length already, as a log that is used
// again has, it is not.
func syncs(grows bool) (r result, err error) {
	dir, err := os.MkdirTemp(*flagData, "leat-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return r, err
	}
	defer f.Close()
	if !grows {
		if _, err := f.Write(make([]byte, 8<<20)); err != nil {
			return r, err
		}
		if err := f.Sync(); err != nil {
			return r, err
		}
	}
	record, at := []byte(record100), int64(0)
	return repeat(1, func(int) error {
		if _, err := f.WriteAt(record, at); err != nil {
			return err
		}
		if at += int64(len(record)); at > 7<<20 && !grows {
			at = 0
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
}

// engine is Pebble alone: n goroutines that each set a key of 16 bytes to 100 and
// wait until it is durable.
func engine(n int) (r result, err error) {
	dir, err := os.MkdirTemp(*flagData, "leat-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		return r, err
	}
	var next atomic.Uint64
	r, err = repeat(n, func(int) error {
		var key [16]byte
		binary.BigEndian.PutUint64(key[8:], next.Add(1))
		return db.Set(key[:], []byte(record100), pebble.Sync)
	})
	return r, errors.Join(err, db.Close())
}

// quiet is a logger of Pebble that says nothing.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// repeat does something on n goroutines for a while.
func repeat(n int, do func(i int) error) (r result, err error) {
	var (
		wg    sync.WaitGroup
		errs  = make([]error, n)
		hists = make([]histogram, n)
		cpu   = ownCPU()
		began = time.Now()
	)
	for i := range n {
		wg.Go(func() {
			for now := time.Now(); now.Sub(began) < appendTime && errs[i] == nil; {
				errs[i] = do(i)
				was := now
				now = time.Now()
				hists[i].add(int64(now.Sub(was)))
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	var all histogram
	for _, h := range hists {
		all.n += h.n
		for i, n := range h.buckets {
			all.buckets[i] += n
		}
	}
	r.PerSecond = float64(all.n) / took
	r.CPUPerMillion = (ownCPU() - cpu) / float64(all.n) * 1e6
	r.P50Ms, r.P99Ms = all.quantile(0.5)/1e6, all.quantile(0.99)/1e6
	return r, errors.Join(errs...)
}
