//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// slowScenarios are readers that never read beside readers that do. What they cost the
// others is a ratio within the run of one server; what they cost in memory is that of
// the server and of the kernel for each.
var slowScenarios = []scenario{
	{name: "1000 stalled, 1000 x 50/s", servers: []string{"leat"}, run: func(s *server) (result, error) { return besideStalled(s, 1000, 1000, 50) }},
	{name: "10000 stalled, 1000 x 50/s", servers: []string{"leat"}, run: func(s *server) (result, error) { return besideStalled(s, 10_000, 1000, 50) }},
	{name: "1000 stalled, 8000 x 5/s", servers: []string{"leat"}, run: func(s *server) (result, error) { return besideStalled(s, 1000, 8000, 5) }},
}

var slowTargets = []target{
	{name: "slow: 1,000 readers that never read: p99 of 1,000 others, as a multiple of without them", unit: "x", most: true, limit: 1.2,
		value: func(rs results) float64 { return rs.of("1000 stalled, 1000 x 50/s", "leat", "p99 ratio") }},
	{name: "slow: 10,000 readers that never read: p99 of 1,000 others", unit: "x", most: true, limit: 1.2,
		value: func(rs results) float64 { return rs.of("10000 stalled, 1000 x 50/s", "leat", "p99 ratio") }},
	{name: "slow: 1,000 readers that never read: p99 of 8,000 others", unit: "x", most: true, limit: 1.2,
		value: func(rs results) float64 { return rs.of("1000 stalled, 8000 x 5/s", "leat", "p99 ratio") }},
	{name: "slow: PSS of the server per stalled reader, 10,000 of them", unit: "B", most: true, limit: 2048,
		value: func(rs results) float64 { return rs.of("10000 stalled, 1000 x 50/s", "leat", "PSS") }},
}

// fillBytes is what readers that never read are sent first: more than the system holds
// for one of them. It is in records of fillRecord.
const fillBytes, fillRecord = 1 << 20, 64 << 10

// besideStalled publishes to readers at a rate: without others, beside others that read
// the same topic and take nothing, and without them again.
func besideStalled(s *server, stalled, readers int, rate float64) (r result, err error) {
	const phase = 4 * time.Second
	l, err := ofOneTopic(s, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	p := newPublishers(s, 1, "a")
	p.rate = rate
	p.start()
	time.Sleep(time.Second)
	// look is one phase: p99, and CPU seconds of the server for a million deliveries.
	look := func() (p99, cpu float64) {
		l.resetLatency()
		before, n := s.cpu(), l.delivered.Load()
		time.Sleep(phase)
		return l.latency(0.99), (s.cpu() - before) / float64(l.delivered.Load()-n) * 1e6
	}
	without, cpuWithout := look()

	pss := s.memory()
	_, buffers := kernelMemory()
	never, err := stall(s, stalled)
	defer closeAll(never)
	if err != nil {
		return r, errors.Join(err, p.stop())
	}
	time.Sleep(12 * time.Second) // what connecting left behind is given back by and by
	r.P99Ms, r.CPUPerMillion = look()
	r.add("PSS", float64(s.memory()-pss)/float64(stalled), "B/stalled")
	_, filled := kernelMemory()
	r.add("kernel buffers", float64(filled-buffers)/float64(stalled), "B/stalled")

	closeAll(never)
	time.Sleep(2 * time.Second)
	again, cpuAgain := look()
	without, cpuWithout = (without+again)/2, (cpuWithout+cpuAgain)/2
	r.add("p99 without", without, "ms")
	r.add("p99 ratio", r.P99Ms/without, "x")
	r.add("CPU ratio", r.CPUPerMillion/cpuWithout, "x")
	if err := p.stop(); err != nil {
		return r, err
	}
	want := p.sent.Load() * int64(readers)
	l.waitFor(want, 5*time.Second)
	r.Deliveries, r.Missing, r.Wrong = l.delivered.Load(), want-l.delivered.Load(), l.wrong.Load()
	return r, l.failure()
}

// stall connects readers that never read, and publishes to them alone more than the
// system holds. They are owed what everybody is, from then on. Their own end holds next to
// nothing, so that what the kernel has for them is the server's.
func stall(s *server, n int) (never []net.Conn, err error) {
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	for range n {
		c, err := dialer.Dial("tcp", s.addr)
		if err != nil {
			return never, err
		}
		never = append(never, c)
		if _, err := io.WriteString(c, get("/events?topic=a&topic=fill")); err != nil {
			return never, err
		}
	}
	for range fillBytes / fillRecord {
		resp, err := http.Post("http://"+s.addr+"/events?topic=fill", "text/plain", strings.NewReader(strings.Repeat("x", fillRecord)))
		if err != nil {
			return never, err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return never, fmt.Errorf("a publish was answered %s", resp.Status)
		}
	}
	return never, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset, so that nothing waits for what was not read
		_ = c.Close()
	}
}
