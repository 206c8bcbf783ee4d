//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stormSize is how many readers come at once; with more, each end may need more than
// 20,000 descriptors.
const stormSize = 15_000

// stormScenarios are readers that come, come back and are sent away all at once.
var stormScenarios = []scenario{
	{name: "storm: connect 15000", needs: topics, run: connectStorm},
	{name: "storm: kill -9, 15000", servers: []string{"leat"}, run: killStorm},
	{name: "storm: drain 15000", servers: []string{"leat"}, run: drainStorm},
}

var stormTargets = []target{
	{name: "storms: readers that missed something, or got it twice, after kill -9", unit: "readers", most: true, limit: 0,
		value: func(rs results) float64 { return rs.of("storm: kill -9, 15000", "leat", "wrong readers") }},
	{name: "storms: come back in the busiest 100 ms after a drain, as a multiple of the mean", unit: "x", most: true, limit: 1.5,
		value: func(rs results) float64 { return rs.of("storm: drain 15000", "leat", "busiest 100 ms") }},
}

// connectStorm has readers connect as fast as one thread can, without waiting for an
// answer.
func connectStorm(s *server) (r result, err error) {
	cpu, began := s.cpu(), time.Now()
	l, err := newLoad(s, stormSize, func(int) string { return s.subscribe("a", false) })
	if err != nil {
		return r, err
	}
	defer l.close()
	r.ConnectSeconds = time.Since(began).Seconds()
	r.add("all have first bytes", r.ConnectSeconds, "s")
	r.add("connect CPU", (s.cpu()-cpu)/stormSize*1e6, "us/reader")
	r.add("memory in the rush", float64(s.memory())/1e6, "MB")
	return r, l.failure()
}

// killStorm ends the server with kill -9 while all readers are connected, and has them
// all come back at once, each with the Last-Event-ID of what it saw, to what was
// published meanwhile.
func killStorm(s *server) (r result, err error) {
	const before, after, behind = 20, 20, 5
	ids, err := publishNumbers(s, "a", 0, before)
	if err != nil {
		return r, err
	}
	conns, err := connectAll(s, func(int) string { return s.subscribe("a", true) })
	if err != nil {
		return r, err
	}
	wrong := conns.read(func(int) (first, last int) { return 0, before - 1 })
	conns.close()
	began := time.Now()
	if err := s.restart(); err != nil {
		return r, err
	}
	r.add("start", time.Since(began).Seconds(), "s")
	if _, err := publishNumbers(s, "a", before, after); err != nil {
		return r, err
	}
	// Some were behind when the server ended.
	saw := func(i int) int { return before - 1 - i%behind }
	cpu, began := s.cpu(), time.Now()
	conns, err = connectAll(s, func(i int) string {
		return get("/events?topic=a", "Last-Event-ID: "+ids[saw(i)])
	})
	if err != nil {
		return r, err
	}
	defer conns.close()
	wrong += conns.read(func(i int) (first, last int) { return saw(i) + 1, before + after - 1 })
	r.SecondsUntilLive = time.Since(began).Seconds()
	r.add("CPU", (s.cpu()-cpu)/stormSize*1e6, "us/reader")
	r.add("wrong readers", float64(wrong), "of 15000")
	return r, nil
}

// drainStorm stops the server gracefully, and looks at when the readers are told to
// come back.
func drainStorm(s *server) (r result, err error) {
	conns, err := connectAll(s, func(int) string { return s.subscribe("a", false) })
	if err != nil {
		return r, err
	}
	defer conns.close()
	for _, fd := range conns {
		if _, err := readUntil(fd, "\n\n"); err != nil {
			return r, err
		}
	}
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return r, err
	}
	const bin = 100 * time.Millisecond
	told := map[int]int{}
	for i, fd := range conns {
		text, err := readUntil(fd, "0\r\n\r\n")
		_, retry, ok := strings.Cut(text, "retry: ")
		line, _, _ := strings.Cut(retry, "\n")
		ms, nerr := strconv.Atoi(line)
		if err != nil || !ok || nerr != nil {
			return r, fmt.Errorf("the farewell of reader %d is %q, %v", i, text, err)
		}
		told[int(time.Duration(ms)*time.Millisecond/bin)]++
	}
	r.add("all have a farewell", time.Since(began).Seconds(), "s")
	_ = s.cmd.Wait()
	s.cmd = nil
	r.add("the server has ended", time.Since(began).Seconds(), "s")
	var first, last, busiest int
	for i, n := range told {
		if busiest = max(busiest, n); first == 0 || i < first {
			first = i
		}
		last = max(last, i)
	}
	r.add("told to come back after", float64(first)/10, "s at least")
	r.add("and", float64(last+1)/10, "s at most")
	r.add("busiest 100 ms", float64(busiest)*float64(last-first+1)/stormSize, "x the mean")
	return r, nil
}

// publishNumbers publishes n events, "number padding", one after another, and returns
// their ids.
func publishNumbers(s *server, topic string, first, n int) (ids []string, err error) {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for k := range n {
		if _, err := c.Write(s.publish(nil, topic, fmt.Appendf(nil, "%d %s", first+k, padding[:80]))); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode/100 != 2 {
			return nil, fmt.Errorf("a publish was answered %s, %v", resp.Status, err)
		}
		_, id, _ := bytes.Cut(body, []byte(`"id":"`))
		id, _, _ = bytes.Cut(id, []byte(`"`))
		ids = append(ids, string(id))
	}
	return ids, nil
}

// crowd is the descriptors of readers that are read one after another: what they are
// sent waits in the system.
type crowd []int

func connectAll(s *server, request func(i int) string) (crowd, error) {
	conns := make(crowd, 0, stormSize)
	for i := range stormSize {
		fd, err := dial(s.addr, request(i))
		if err == nil {
			conns = append(conns, fd)
			err = syscall.SetNonblock(fd, false)
		}
		if err == nil {
			err = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20})
		}
		if err != nil {
			conns.close()
			return nil, fmt.Errorf("reader %d: %w", i, err)
		}
	}
	return conns, nil
}

func (c crowd) close() {
	for _, fd := range c {
		_ = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
		_ = syscall.Close(fd)
	}
}

// read reads until each has the last number that it is due, and returns how many did
// not get exactly what they are due, in order.
func (c crowd) read(due func(i int) (first, last int)) (wrong int) {
	for i, fd := range c {
		first, last := due(i)
		text, err := readUntil(fd, fmt.Sprintf("data: %d %s\n\n", last, padding[:80]))
		var got, want []int
		for line := range strings.Lines(text) {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				number, _, _ := strings.Cut(data, " ")
				if n, err := strconv.Atoi(number); err == nil { // else one of the server's own
					got = append(got, n)
				}
			}
		}
		for n := first; n <= last; n++ {
			want = append(want, n)
		}
		if err != nil || !slices.Equal(got, want) {
			wrong++
		}
	}
	return wrong
}

// readUntil reads until a text has come.
func readUntil(fd int, text string) (string, error) {
	var all []byte
	for buf := make([]byte, 16<<10); !bytes.Contains(all, []byte(text)); {
		n, err := syscall.Read(fd, buf)
		if err != nil && err != syscall.EINTR {
			return string(all), err
		}
		if n == 0 {
			return string(all), io.ErrUnexpectedEOF
		}
		all = append(all, buf[:max(n, 0)]...)
	}
	return string(all), nil
}
