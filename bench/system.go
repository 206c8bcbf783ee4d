//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processes returns a process and all that it has started.
func processes(root int) []int {
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := stat(pid); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// stat returns the fields of /proc/PID/stat after the name: state, parent, …
func stat(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(b), ") ")
	return strings.Fields(after)
}

// processCPU returns the seconds of processor time that a process has used.
func processCPU(pid int) float64 {
	f := stat(pid)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}

// processPSS returns the proportional set size of a process in bytes.
func processPSS(pid int) int64 {
	return field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") << 10
}

// field returns the number behind the first word of a line that begins with name.
func field(file, name string) int64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if words := strings.Fields(sc.Text()); len(words) > 1 && words[0] == name {
			n, _ := strconv.ParseInt(words[1], 10, 64)
			return n
		}
	}
	return 0
}

// A spent is how much processor time had been used at a moment, in seconds.
type spent struct {
	at                       time.Time
	server, own, allTogether float64
}

// spent returns what the server, this program and the whole machine have used.
func (s *server) spent() spent {
	now := spent{at: time.Now(), server: s.cpu()}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		now.own = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line) {
		if n, err := strconv.ParseFloat(f, 64); err == nil && i != 4 && i != 5 && i < 8 { // idle, and waiting for a disk
			now.allTogether += n / 100
		}
	}
	return now
}

// since returns the seconds that have passed since before, what the server has used
// of them, and how many processors all but the server and this program had.
func (now spent) since(before spent) (seconds, server, others float64) {
	seconds, server = now.at.Sub(before.at).Seconds(), now.server-before.server
	return seconds, server, max(0, now.allTogether-before.allTogether-server-(now.own-before.own)) / seconds
}

// kernelMemory returns the bytes that the kernel has for all processes of the
// machine: what its objects take that cannot be given back at once (sockets, files,
// watches of epoll), and what is in the buffers of TCP. Only the growth between two
// calls says anything, and the generator's end of each connection is part of it.
func kernelMemory() (objects, buffers int64) {
	objects = field("/proc/meminfo", "SUnreclaim:") << 10
	b, _ := os.ReadFile("/proc/net/sockstat")
	if _, after, ok := strings.Cut(string(b), "TCP:"); ok {
		if _, mem, ok := strings.Cut(after, "mem "); ok {
			line, _, _ := strings.Cut(mem, "\n")
			pages, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
			buffers = pages * int64(os.Getpagesize())
		}
	}
	return objects, buffers
}
