//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A server is a process that is measured.
type server struct {
	*peer
	addr string
	dir  string // of its records; kept while it is started again
	args []string
	cmd  *exec.Cmd // nil if the peer has no process
}

// startServer starts a peer with its defaults; flags are further ones for Leat.
func startServer(p *peer, flags []string) (*server, error) {
	s := &server{peer: p, args: flags}
	if p.start == nil {
		return s, nil
	}
	var err error
	if s.dir, err = os.MkdirTemp(*flagData, "leat-bench-"); err != nil {
		return nil, err
	}
	if err := s.launch(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// launch starts the process and waits until it takes connections. It says on its first
// line where it is, unless the peer has chosen that itself.
func (s *server) launch() (err error) {
	s.addr = ""
	if s.cmd, err = s.start(s); err != nil {
		return err
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that stop reaches all it has started
	var out io.Reader
	if s.addr == "" {
		if out, err = s.cmd.StdoutPipe(); err != nil {
			return err
		}
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if out != nil {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			return fmt.Errorf("the server does not say where it is: %w", err)
		}
		u, err := url.Parse(strings.TrimSpace(line))
		if err != nil {
			return err
		}
		s.addr = u.Host
	}
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(limit) {
			return err
		}
	}
}

// restart ends the process at once, as kill -9 does, and starts it with the records
// it had. Its address is another one.
func (s *server) restart() error {
	s.kill()
	return s.launch()
}

func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_ = s.cmd.Wait()
	}
}

func (s *server) stop() {
	s.kill()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
	time.Sleep(200 * time.Millisecond) // the kernel closes its connections
}

// cpu returns the seconds of processor time that the server has used.
func (s *server) cpu() (sum float64) {
	if s.cmd == nil {
		return 0
	}
	for _, pid := range processes(s.cmd.Process.Pid) {
		sum += processCPU(pid)
	}
	return sum
}

// memory returns the proportional set size of the server in bytes.
func (s *server) memory() (sum int64) {
	if s.cmd == nil {
		return 0
	}
	for _, pid := range processes(s.cmd.Process.Pid) {
		sum += processPSS(pid)
	}
	return sum
}
