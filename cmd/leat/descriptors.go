package main

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leat-dev/leat"
)

// A process has so many descriptors, and a store that finds none left when it
// begins a file takes no more writes. So connections may not have them all.
type descriptors struct {
	limit   int // of the process: ulimit -n; 0: there is none
	store   int // for the store, and for what else this program opens
	conns   int // connections are refused with so many in use: then the store's are free
	readers int // and readers from this one on, so that there is room to publish
}

// Shares of a limit. The most for the store is what it needs (pebblestore keeps up
// to 500 tables open), the most for publishers is a guess.
const (
	mostForStore      = 600
	mostForPublishers = 512
	fewDescriptors    = 4096 // that are worth a warning
)

// shareDescriptors divides a limit, which is 0 if there is none.
func shareDescriptors(limit int) descriptors {
	d := descriptors{limit: limit}
	if limit > 0 {
		d.store = min(mostForStore, limit/4)
		d.conns = limit - d.store
		rest := d.conns - d.store // the store may have its share already
		d.readers = rest - min(mostForPublishers, rest/8)
	}
	return d
}

// openTables is how many tables the store may keep open. 0: as many as it likes.
func (d descriptors) openTables() int { return d.store * 5 / 6 }

// maxSubscribers is the largest number of readers, if so many are wanted; 0: no
// limit.
func (d descriptors) maxSubscribers(wanted int) int {
	if wanted <= 0 || d.limit > 0 && wanted > d.readers {
		return d.readers
	}
	return wanted
}

// warn tells of a limit that is lower than it should be.
func (d descriptors) warn(std *streams, wanted int) {
	switch {
	case d.limit == 0:
	case wanted > d.readers:
		std.note("WARNING: --max-subscribers is %d, but there can be no more than %d: this process may open %d files (ulimit -n)", wanted, d.readers, d.limit)
	case wanted <= 0 && d.limit < fewDescriptors:
		std.note("WARNING: there can be no more than %d readers: this process may open %d files (ulimit -n)", d.readers, d.limit)
	}
}

// A guarded listener answers connections for which there is no descriptor with 503
// and closes them. Systems give the lowest number that is free, so a number is how
// many there are at least.
type guarded struct {
	net.Listener
	limit int // numbers from here on are refused
	log   *slog.Logger
	count *atomic.Int64 // of those that were refused
	told  atomic.Int64  // when it was logged last, in Unix seconds
}

// refusalEvery is how often refusing is logged.
const refusalEvery = time.Minute

// guard guards a listener, and counts what it refuses; without a limit there is nothing
// to do.
func (d descriptors) guard(ln net.Listener, log *slog.Logger, refused *atomic.Int64) net.Listener {
	if d.limit == 0 {
		return ln
	}
	return &guarded{Listener: ln, limit: d.conns, log: log, count: refused}
}

// Accept implements net.Listener.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil || number(c) < g.limit {
			return c, err
		}
		g.refuse(c)
	}
}

// number returns the descriptor of a connection, -1 if it has none.
func number(c net.Conn) (n int) {
	n = -1
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n = int(fd) })
		}
	}
	return n
}

// refusal answers any request.
var refusal = func() string {
	body := `{"status":503,"title":"Service Unavailable","code":"` + string(leat.CodeUnavailable) +
		`","detail":"there is no room for another connection now","advice":"Come back later."}` + "\n"
	return "HTTP/1.1 503 " + http.StatusText(http.StatusServiceUnavailable) + "\r\n" + strings.Join([]string{
		"Content-Type: application/problem+json", "Cache-Control: no-store", "Retry-After: 10",
		"Connection: close", "Content-Length: " + strconv.Itoa(len(body)), "",
	}, "\r\n") + "\r\n" + body
}()

// refuse answers c, whatever it asks for, without waiting for it.
func (g *guarded) refuse(c net.Conn) {
	// A new connection has room for so little.
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte(refusal))
	_ = c.Close()
	g.count.Add(1)
	now := time.Now().Unix()
	if last := g.told.Load(); now-last >= int64(refusalEvery/time.Second) && g.told.CompareAndSwap(last, now) {
		g.log.Warn("connections are refused: nearly all descriptors are in use; raise the limit of open files (ulimit -n), or set --max-subscribers lower",
			"remote", c.RemoteAddr(), "in use", g.limit)
	}
}
