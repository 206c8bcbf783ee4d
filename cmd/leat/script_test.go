package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leat-dev/leat/client"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leat": main})
}

// TestScripts runs the command as its users do: as a process, with stdin,
// stdout, signals and exit statuses.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[processKey{}] = map[string]*process{}
			// A process built with -race would sleep for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": cmdStatus,
			"start":  cmdStart,
			"until":  cmdUntil,
			"serve":  cmdServe,
			"port":   cmdPort,
			"feed":   cmdFeed,
			"signal": cmdSignal,
			"finish": cmdFinish,
			"series": cmdSeries,
			"hold":   cmdHold,
			"saved":  cmdSaved,
		},
	})
}

// status N COMMAND... runs a command that has to exit with status N.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if got := exitStatus(err); got != want {
		ts.Fatalf("exit status %d, want %d (%v)", got, want, err)
	}
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -2
}

// A process runs beside the script.
type process struct {
	cmd   *exec.Cmd
	out   output
	err   output
	feeds chan string   // lines for stdin; closing it ends stdin
	ended chan struct{} // closed when the process is gone
	exit  error         // what Wait returned; read after ended
}

type processKey struct{}

func named(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processKey{}).(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("no process is called %s", name)
	}
	return p
}

// start NAME COMMAND... starts a process.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	p := &process{cmd: exec.Command(args[1], args[2:]...), feeds: make(chan string), ended: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = os.Environ()
	for _, name := range []string{"LEAT_SERVER", "GORACE"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	stdin, err := p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	// Both are owned by the script, which kills the process at its end; that
	// ends them.
	go func() {
		p.exit = p.cmd.Wait()
		close(p.ended)
	}()
	go func() {
		defer stdin.Close()
		for {
			select {
			case text, ok := <-p.feeds:
				if !ok {
					return
				}
				stdin.Write([]byte(text)) // a process that is gone is noticed by finish
			case <-p.ended:
				return
			}
		}
	}()
	ts.Value(processKey{}).(map[string]*process)[args[0]] = p
	ts.Defer(func() {
		p.cmd.Process.Kill()
		<-p.ended
	})
}

// until NAME out|err PATTERN waits for a line that matches.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	p := named(ts, args[0])
	if _, ok := p.output(ts, args[1]).until(regexp.MustCompile(args[2]), p.ended); !ok {
		ts.Fatalf("no line of %s %s matches %s:\n%s%s", args[0], args[1], args[2], p.out.text(), p.err.text())
	}
}

func (p *process) output(ts *testscript.TestScript, which string) *output {
	switch which {
	case "out":
		return &p.out
	case "err":
		return &p.err
	}
	ts.Fatalf("%s is neither out nor err", which)
	return nil
}

// serve NAME ARGUMENT... starts a server and waits until it serves. LEAT_SERVER
// is then its URL, and ADDRESS its address.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	cmdStart(ts, neg, slices.Concat([]string{args[0], "leat", "serve"}, args[1:]))
	p := named(ts, args[0])
	url, ok := p.out.until(regexp.MustCompile(`^http://`), p.ended)
	if !ok {
		ts.Fatalf("the server did not start:\n%s", p.err.text())
	}
	ts.Setenv("LEAT_SERVER", url)
	ts.Setenv("ADDRESS", strings.TrimPrefix(url, "http://"))
}

// port sets PORT to a port for a server that is started again at the same
// address.
func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	port, err := lastingPort()
	ts.Check(err)
	ts.Setenv("PORT", port)
}

// lastingPort returns a free port of the loopback address below those that
// systems give to outgoing connections: one of these could take the port while
// the server is down.
func lastingPort() (string, error) {
	var err error
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(20000))
		var ln net.Listener
		if ln, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, ln.Close()
		}
	}
	return "", err
}

// feed NAME FROM TO writes the lines FROM to TO, which are numbers, to the
// stdin of a process, in the background. feed NAME ends stdin.
func cmdFeed(ts *testscript.TestScript, neg bool, args []string) {
	p := named(ts, args[0])
	if len(args) == 1 {
		close(p.feeds)
		return
	}
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	to, err := strconv.Atoi(args[2])
	ts.Check(err)
	var text strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintln(&text, n)
	}
	select {
	case p.feeds <- text.String(): // returns when the one before is written
	case <-p.ended:
		ts.Fatalf("%s has ended:\n%s", args[0], p.err.text())
	}
}

// signal NAME INT|TERM|KILL sends a signal. After KILL the process is gone.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	p := named(ts, args[0])
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(p.cmd.Process.Signal(sig))
	if sig == syscall.SIGKILL {
		<-p.ended
	}
}

// finish NAME N waits for the end of a process, which has to exit with status
// N. Its output is then in the files NAME.out and NAME.err. A process that a
// signal has killed has status -1.
func cmdFinish(ts *testscript.TestScript, neg bool, args []string) {
	p := named(ts, args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end:\n%s%s", args[0], p.out.text(), p.err.text())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(p.out.text()), 0o666))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), []byte(p.err.text()), 0o666))
	if got := exitStatus(p.exit); got != want {
		ts.Fatalf("%s: exit status %d, want %d\n%s", args[0], got, want, p.err.text())
	}
}

// series FILE N checks that the data of the lines of a file, which `tail
// --json` printed, are the numbers from 1 to N in order.
func cmdSeries(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	for i, line := range lines {
		if want := fmt.Sprintf(`"data":"%d"`, i+1); !strings.Contains(line, want) {
			// Whether a repeated record has its old id or a new one tells a
			// fault in resuming from one in storing.
			ts.Fatalf("line %d of %s is\n%s, want %s; the line before is\n%s, and the same line is the %d-th too",
				i+1, args[0], line, want, lines[max(i-1, 0)], slices.Index(lines, line)+1)
		}
	}
	if len(lines) != n {
		ts.Fatalf("%s has %d lines, want %d", args[0], len(lines), n)
	}
}

// saved FILE STREAM waits until a cursor in a file is that of the newest record of a
// stream: a tail prints it before.
func cmdSaved(ts *testscript.TestScript, neg bool, args []string) {
	c := &client.Client{URL: ts.Getenv("LEAT_SERVER")}
	s, err := c.Stream(context.Background(), args[1])
	ts.Check(err)
	for end := time.Now().Add(patience); ; <-time.After(2 * time.Millisecond) {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		switch {
		case strings.TrimSpace(string(text)) == s.Offset:
			return
		case time.Now().After(end):
			ts.Fatalf("%s has %q, want %s", args[0], text, s.Offset)
		}
	}
}

// hold begins to publish at ADDRESS and does not go on.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	conn, err := net.Dial("tcp", ts.Getenv("ADDRESS"))
	ts.Check(err)
	ts.Defer(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /events?topic=t HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
	ts.Check(err)
	// The server asks for the body once the request is being handled.
	line, err := bufio.NewReader(conn).ReadString('\n')
	ts.Check(err)
	if !strings.Contains(line, "100") {
		ts.Fatalf("the server answered %s", line)
	}
}

// patience is how long a script waits for what should happen at once.
const patience = 30 * time.Second

// An output is what a process has written, with a way to wait for a line.
type output struct {
	mu      sync.Mutex
	all     bytes.Buffer
	seen    int           // how many bytes of all were searched
	changed chan struct{} // closed by the next Write, nil if nobody waits
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.all.Write(p)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// until returns the next line that matches, which later calls do not look at
// again. It gives up when ended is closed and no more can come.
func (o *output) until(pattern *regexp.Regexp, ended <-chan struct{}) (string, bool) {
	expired := time.After(patience)
	for {
		line, changed := o.next(pattern)
		if changed == nil {
			return line, true
		}
		select {
		case <-changed:
		case <-ended:
			// What came between the look and the end is looked at once more.
			line, changed = o.next(pattern)
			return line, changed == nil
		case <-expired:
			return "", false
		}
	}
}

// next returns a matching line, or a channel that is closed when there is more
// to look at.
func (o *output) next(pattern *regexp.Regexp) (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		rest := o.all.Bytes()[o.seen:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			if o.changed == nil {
				o.changed = make(chan struct{})
			}
			return "", o.changed
		}
		o.seen += end + 1
		if line := rest[:end]; pattern.Match(line) {
			return string(line), nil
		}
	}
}
