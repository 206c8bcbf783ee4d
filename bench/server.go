//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A server is a process that is measured.
type server struct {
	addr string
	cmd  *exec.Cmd
	data string
}

// startServer starts Leat with its defaults, in the class disk, or a rival.
func startServer(name string) (*server, error) {
	s := &server{}
	if name == "leat" {
		var err error
		if s.data, err = os.MkdirTemp(*flagData, "leat-bench-"); err != nil {
			return nil, err
		}
		args := []string{"serve", "--listen", "127.0.0.1:0", "--data", s.data}
		s.cmd = exec.Command(*flagLeat, append(args, strings.Fields(*flagProfile)...)...)
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		s.cmd = exec.Command(self, "-rival", name)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("the server does not say where it is: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		s.stop()
		return nil, err
	}
	s.addr = u.Host
	return s, nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	if s.data != "" {
		_ = os.RemoveAll(s.data)
	}
	time.Sleep(200 * time.Millisecond) // the kernel closes its connections
}

// cpu returns the seconds of processor time that the server has used.
func (s *server) cpu() float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	_, after, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}

// memory returns the proportional set size of the server in bytes.
func (s *server) memory() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
