package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What the documents show in blocks of "console" is what happens: each command is run, in
// the order of the page, and has to print what stands below it.
//
// A line that begins with "$ " is a command, one with "> " goes on with it. The lines
// behind are what it prints, where … stands for anything in a line, and a line that is
// nothing else for any number of lines; ids and times may be others. "console 2" is a second terminal. A command may
// still run when it has printed what is shown: a later block of its terminal that begins
// without a command shows what else it prints, and "^C" interrupts it. So may one that prints
// nothing, at the end of a block. A command that ends has to end well.
func TestDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the documents use curl: apt-get install curl")
		}
		t.Skip("WITHOUT curl the documents are not run (apt-get install curl)")
	}
	for _, page := range []string{"README.md", "README.zh-CN.md", "docs/tour.md", "docs/cli.md", "docs/protocol.md"} {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../..", page))
			if err != nil {
				t.Fatal(err)
			}
			blocks := consoleBlocks(string(text))
			if len(blocks) == 0 {
				t.Fatal("it shows nothing that is run")
			}
			d := newDesk(t)
			for _, b := range blocks {
				d.run(b)
			}
		})
	}
}

// A step is a command and what it prints; without a command, what the one before prints
// further on.
type step struct {
	line      int // in the page
	command   string
	interrupt bool
	output    []string
}

// A block is what one terminal shows.
type block struct {
	terminal string
	steps    []step
}

var fence = regexp.MustCompile("^```console *(.*)$")

func consoleBlocks(text string) (blocks []block) {
	var b *block
	for i, line := range strings.Split(text, "\n") {
		switch m := fence.FindStringSubmatch(line); {
		case m != nil:
			blocks = append(blocks, block{terminal: m[1]})
			b = &blocks[len(blocks)-1]
		case b == nil:
		case line == "```":
			b = nil
		case strings.HasPrefix(line, "$ "):
			b.steps = append(b.steps, step{line: i + 1, command: line[2:]})
		case line == "^C":
			b.steps = append(b.steps, step{line: i + 1, interrupt: true})
		case strings.HasPrefix(line, "> ") && len(b.steps) > 0 && len(b.steps[len(b.steps)-1].output) == 0:
			b.steps[len(b.steps)-1].command += "\n" + line[2:]
		default:
			if len(b.steps) == 0 {
				b.steps = append(b.steps, step{line: i + 1})
			}
			last := &b.steps[len(b.steps)-1]
			last.output = append(last.output, line)
		}
	}
	return blocks
}

// A desk is a directory and the terminals that are open there.
type desk struct {
	t         *testing.T
	dir, home string
	address   string // in place of the one that the documents name
	terminals map[string]*running
	all       []*running
}

// A running is a command under way.
type running struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when err is set
	err   error
	more  bool // what else it prints is not shown

	mu  sync.Mutex
	out bytes.Buffer // that was not shown yet
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

const shownAddress = "127.0.0.1:8080"

func newDesk(t *testing.T) *desk {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, dir: t.TempDir(), home: t.TempDir(), address: ln.Addr().String(), terminals: map[string]*running{}}
	ln.Close()
	// Without a terminal curl shows how far it has come.
	if err := os.WriteFile(filepath.Join(d.home, ".curlrc"), []byte("no-progress-meter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, r := range d.all {
			_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // and what it has left in the background
			<-r.ended
		}
	})
	return d
}

func (d *desk) run(b block) {
	for i, s := range b.steps {
		r := d.terminals[b.terminal]
		switch {
		case s.interrupt:
			if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT); err != nil {
				d.t.Fatalf("line %d: %v", s.line, err)
			}
		case s.command != "":
			if r != nil {
				d.end(s, r)
			}
			r = d.start(s)
			d.terminals[b.terminal] = r
		case r == nil:
			d.t.Fatalf("line %d: nothing runs in the terminal %q", s.line, b.terminal)
		}
		if len(s.output) > 0 || i+1 < len(b.steps) {
			d.expect(s, r)
		} // else it may run for long
	}
}

// start runs a command in a terminal of its own.
func (d *desk) start(s step) *running {
	command := strings.ReplaceAll(strings.ReplaceAll(s.command, "go run ./cmd/leat", "leat"), shownAddress, d.address)
	r := &running{cmd: exec.Command("bash", "-c", command), ended: make(chan struct{})}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = d.dir, r, r
	r.cmd.Env = append(os.Environ(), "LEAT_LISTEN="+d.address, "LEAT_SERVER=http://"+d.address, "GORACE=atexit_sleep_ms=0", "NO_COLOR=1", "HOME="+d.home)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.cmd.WaitDelay = 5 * time.Second
	if err := r.cmd.Start(); err != nil {
		d.t.Fatalf("line %d: %v", s.line, err)
	}
	d.all = append(d.all, r)
	go func() { r.err = r.cmd.Wait(); close(r.ended) }() // ended by the command, which the desk kills
	return r
}

// expect waits for what a step shows. If the command ends that has to be all.
func (d *desk) expect(s step, r *running) {
	deadline := time.Now().Add(time.Minute)
	r.more = len(s.output) > 0 && s.output[len(s.output)-1] == "…"
	for {
		ended := false
		select {
		case <-r.ended:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
		r.mu.Lock()
		text := strings.ReplaceAll(r.out.String(), d.address, shownAddress)
		m := pattern(s.output, ended).FindStringIndex(text)
		// A command that shows nothing more is waited for, unless it was left running.
		if m != nil && (ended || len(s.output) > 0) {
			rest := text[m[1]:]
			r.out.Reset()
			_, _ = io.WriteString(&r.out, strings.ReplaceAll(rest, shownAddress, d.address))
			r.mu.Unlock()
			if ended && !s.interrupt {
				d.check(s, r)
			}
			return
		}
		r.mu.Unlock()
		if ended || time.Now().After(deadline) {
			d.t.Fatalf("line %d: %s\nprints\n%s\nwant\n%s\nended: %v, %v", s.line, s.command, text, strings.Join(s.output, "\n"), ended, r.err)
		}
	}
}

// end waits for the command that a terminal shows the next one below. What it has printed
// beyond what was shown is an error.
func (d *desk) end(s step, r *running) {
	select {
	case <-r.ended:
	case <-time.After(time.Minute):
		d.t.Fatalf("line %d: the command before does not end", s.line)
	}
	if r.out.Len() > 0 && !r.more {
		d.t.Errorf("line %d: the command before has printed more:\n%s", s.line, r.out.String())
	}
	d.check(s, r)
}

func (d *desk) check(s step, r *running) {
	var exit *exec.ExitError
	if errors.As(r.err, &exit) && exit.ExitCode() > 0 || r.err != nil && !errors.As(r.err, &exit) {
		d.t.Errorf("line %d: %s\n%v", s.line, s.command, r.err)
	}
}

// varying is what differs from run to run, as it is shown, quoted, and as it is printed.
var varying = []struct {
	shown   *regexp.Regexp
	printed string
}{
	{regexp.MustCompile("…"), `[^\n]*?`},
	{regexp.MustCompile(`\d{16}_\d{16}`), `\d{16}_\d{16}`},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\\\.\d{3}`), `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`},
}

// pattern is what matches the lines of an output: all of it, or its beginning.
func pattern(lines []string, all bool) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for _, line := range lines {
		if line == "…" {
			b.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		line = regexp.QuoteMeta(line)
		for _, v := range varying {
			line = v.shown.ReplaceAllLiteralString(line, v.printed)
		}
		b.WriteString(line + `\r?\n`)
	}
	if all {
		b.WriteString(`\z`)
	}
	return regexp.MustCompile(b.String())
}

// The runner would be of no use if it let anything pass.
func TestDocumentsFail(t *testing.T) {
	for _, c := range []struct {
		shown, printed string
		all, want      bool
	}{
		{"a\nb", "a\nb\n", true, true},
		{"a\nb", "a\nc\n", true, false},
		{"a", "a\nb\n", true, false},
		{"a", "a\nb\n", false, true},
		{"id …_…", "id 1_2\n", true, true},
		{"id …", "xid 1\n", true, false},
		{"a\n…\nb", "a\n1\n2\nb\n", true, true},
		{"a\n…\nb", "a\nb\n", true, true},
		{"a\n…\nb", "a\n1\n", true, false},
		{"a.c", "abc\n", true, false},
		{"1795665203357857_0000000000000003", "1795665203357858_0000000000000002\n", true, true},
		{"1795665203357857_0000000000000003", "1795665203357858_2\n", true, false},
		{"2026-11-26 04:20:00.123  a", "2027-01-02 03:04:05.678  a\n", true, true},
	} {
		if got := pattern(strings.Split(c.shown, "\n"), c.all).MatchString(c.printed); got != c.want {
			t.Errorf("%q shows %q, all %v: %v", c.shown, c.printed, c.all, got)
		}
	}
	got := fmt.Sprintf("%+v", consoleBlocks("x\n```console 2\n$ a \\\n> b\none\n^C\ntwo\n```\n$ no\n```console\nmore\n```\n"))
	want := `[{terminal:2 steps:[{line:3 command:a \` + "\n" + `b interrupt:false output:[one]} {line:6 command: interrupt:true output:[two]}]} {terminal: steps:[{line:11 command: interrupt:false output:[more]}]}]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
