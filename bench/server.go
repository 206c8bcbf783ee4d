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
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A server is a process that is measured.
type server struct {
	*peer
	addr string
	dir  string // of its records; kept while it is started again
	args []string
	cmd  *exec.Cmd       // nil if the peer has no process
	made map[string]bool // topics that need not be made any more
}

// running is the server that was started last.
var running atomic.Pointer[server]

// endOnSignal ends what is running when this program is asked to end. It has no end of
// its own.
func endOnSignal() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM)
	<-asked
	if s := running.Load(); s != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_ = os.RemoveAll(s.dir)
	}
	os.Exit(1)
}

// startServer starts a peer with its defaults; flags are further ones for Leat.
func startServer(p *peer, flags []string) (*server, error) {
	s := &server{peer: p, args: flags, made: map[string]bool{}}
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

// launch starts the process and waits until it takes connections. It says on stdout
// where it is, unless the peer has chosen that itself.
func (s *server) launch() (err error) {
	s.addr = ""
	if s.cmd, err = s.start(s); err != nil {
		return err
	}
	// A group of its own, so that kill reaches all it has started. It ends with this
	// program, or it would go on for ever, and hold the locks that were handed to it.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out io.Reader
	if s.addr == "" {
		if out, err = s.cmd.StdoutPipe(); err != nil {
			return err
		}
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	running.Store(s)
	if out != nil {
		line := ""
		for br := bufio.NewReader(out); !strings.HasPrefix(line, "http://"); {
			if line, err = br.ReadString('\n'); err != nil {
				return fmt.Errorf("the server does not say where it is: %w", err)
			}
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

// make makes topics, if they need to be made before they are used.
func (s *server) make(topics ...string) error {
	if s.create == nil {
		return nil
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for _, topic := range topics {
		if s.made[topic] {
			continue
		}
		if _, err := io.WriteString(c, s.create(topic)); err != nil {
			return err
		}
		if err := readAnswer(br); err != nil {
			return err
		}
		s.made[topic] = true
	}
	return nil
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
