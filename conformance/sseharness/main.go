// Command sseharness drives a client of Server-Sent Events through a test
// service in any language, and looks at what that receives and asks for. The
// contract, and how to run it, is in conformance/README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

func main() {
	url := flag.String("url", "", "URL of a test service that runs; without it the arguments are a command that starts one at 127.0.0.1:$PORT")
	run := flag.String("run", "", "run only the tests whose names match this regular expression")
	verbose := flag.Bool("v", false, "show each test")
	timeout := flag.Duration("timeout", 10*time.Second, "how long to wait for what has to happen")
	parallel := flag.Int("parallel", 8, "how many tests run at once")
	flag.Parse()
	code, err := harness(*url, flag.Args(), &suite{timeout: *timeout, away: 700 * time.Millisecond, parallel: *parallel, verbose: *verbose, out: os.Stdout}, *run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sseharness:", err)
		code = 2
	}
	os.Exit(code)
}

// harness runs s against the service at url, or of command, and returns the exit
// status.
func harness(url string, command []string, s *suite, run string) (code int, err error) {
	if (url == "") == (len(command) == 0) {
		return 0, fmt.Errorf("name a service by -url, or the command of one; see conformance/README.md")
	}
	if s.only, err = regexp.Compile(run); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if url == "" {
		service, err := begin(command)
		if err != nil {
			return 0, err
		}
		defer func() {
			if stopErr := service.stop(); err == nil {
				err = stopErr
			}
		}()
		url = service.url
		// Owned by harness; the end of the program, or the end of ctx, ends it.
		go func() {
			select {
			case <-service.ended:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	if s.service, err = dial(ctx, url); err != nil {
		return 0, err
	}
	if failed := s.run(tests()); failed > 0 {
		return 1, nil
	}
	return 0, nil
}

// A program is a test service that the harness has started.
type program struct {
	url   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// begin starts the program of a test service.
func begin(command []string) (*program, error) {
	// A port that is free now; nobody else should take it so soon.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	p := &program{url: fmt.Sprintf("http://127.0.0.1:%d", port), ended: make(chan struct{})}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port))
	p.cmd.Stdout, p.cmd.Stderr = os.Stderr, os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	// Owned by p; the end of the program ends it, which stop waits for.
	go func() {
		defer close(p.ended)
		p.cmd.Wait()
	}()
	return p, nil
}

// stop asks the program to end, and kills it if it does not.
func (p *program) stop() error {
	req, err := http.NewRequest(http.MethodDelete, p.url+"/", nil)
	if err != nil {
		return err
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("the service has not ended by DELETE /")
	}
}

// A service is the test service, as its status says.
type service struct {
	url          string
	Capabilities []string `json:"capabilities"`
}

// dial waits until the service answers.
func dial(ctx context.Context, url string) (*service, error) {
	for {
		s := &service{url: url}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("GET / of the service is answered with %s", resp.Status)
			}
			// Without a document it has no capability.
			json.NewDecoder(resp.Body).Decode(s)
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the service does not answer, or has ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
