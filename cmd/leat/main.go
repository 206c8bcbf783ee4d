// Leat streams events over HTTP: `leat serve` is the server, `leat publish`
// and `leat tail` use one.
//
// Data goes to stdout, everything else to stderr. The exit status is
//
//	0    done
//	1    failed
//	2    the command line is wrong, or the configuration
//	3    there is no server at the address, or it takes no requests now
//	4    records are missing, with --fail-on-gap or --chaos
//	5    doctor has found a problem
//	6    what --expect says has not happened
//	7    --chaos has found that a reader that is cut does not get what another gets
//	130  interrupted before it was done
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
)

// Exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNoServer    = 3
	exitGap         = 4
	exitProblem     = 5
	exitUnexpected  = 6
	exitChaos       = 7
	exitInterrupted = 130 // what shells show for SIGINT
)

const description = `Streams of events over HTTP: publish to topics, subscribe to them with Server-Sent Events, lose the connection and go on where you stopped.

Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong command line or configuration, 3 no server, 4 records are missing (tail --fail-on-gap, --chaos), 5 a problem was found (doctor), 6 not what was expected (tail --expect), 7 records were skipped or repeated (tail --chaos), 130 interrupted before it was done.`

// cli is the command line.
type cli struct {
	Server string `help:"URL of the server that is used by all commands but serve." default:"http://127.0.0.1:8080" env:"LEAT_SERVER" placeholder:"URL"`

	Serve   serveCmd   `cmd:"" help:"Run a server."`
	Publish publishCmd `cmd:"" help:"Publish records to a topic."`
	Tail    tailCmd    `cmd:"" help:"Print records as they are published."`
	Config  configCmd  `cmd:"" help:"Check a configuration file."`
	Streams streamsCmd `cmd:"" help:"List, show, end, trim and remove streams."`
	Doctor  doctorCmd  `cmd:"" help:"Find out what is wrong with a stream, or with what stands between."`
	Backup  backupCmd  `cmd:"" help:"Copy the store of a server while it works."`
	Version versionCmd `cmd:"" help:"Print the version."`

	Completion completionCmd `cmd:"" help:"Print what a shell needs to complete command lines."`
}

// client is the server that the command line names.
func (c *cli) client() *client.Client { return &client.Client{URL: c.Server} }

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer

	// restart is called by serve before it has begun anything, and may do so. nil: this
	// process is not only the command's.
	restart func(slack time.Duration)
}

// note tells the user something that is not data. It is made printable, since
// a part of it may come from a server.
func (s *streams) note(format string, args ...any) {
	line := appendPrintable([]byte("leat: "), fmt.Sprintf(format, args...))
	s.err.Write(append(line, '\n')) // there is nowhere to tell of a failure
}

func main() {
	os.Exit(run(os.Args[1:], &streams{os.Stdin, os.Stdout, os.Stderr, giveSlack}))
}

// run executes a command line and returns the exit status.
func run(args []string, std *streams) int {
	var c cli
	parser, err := newParser(&c, std)
	if err != nil {
		panic(err) // a mistake in the struct
	}
	command, err := parser.Parse(args)
	if wrong := (problems)(nil); errors.As(err, &wrong) {
		return report(wrong, std)
	}
	if err != nil {
		std.note("%v", err)
		std.note("run `leat --help`, or `leat COMMAND --help`")
		return exitUsage
	}
	if command.Command() == "serve" && std.restart != nil {
		std.restart(c.Serve.TimerSlack)
	}
	ctx, stop := untilSignal()
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	status := report(command.Run(std, &c), std)
	if status == exitNoServer && command.Command() == "serve" {
		return exitFailed // it is what could not be started
	}
	return status
}

func newParser(c *cli, std *streams) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("leat"), kong.Description(description), kong.Writers(std.out, std.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. By
// then the system's default is in force again, so that a second one ends the
// process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// Owned by the caller: it ends with a signal or with cancel.
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}

// report prints err and returns the exit status for it.
func report(err error, std *streams) int {
	if err == nil {
		return 0
	}
	status := statusOf(err)
	if all := (problems)(nil); errors.As(err, &all) {
		for _, err := range all {
			report(err, std)
		}
		return status
	}
	if status == exitInterrupted {
		std.note("interrupted")
		return status
	}
	// An advice goes on a line of its own, where it is seen.
	var e *leat.Error
	if errors.As(err, &e) && e.Error() == err.Error() {
		std.note("%s", e.Detail)
		if e.Advice != "" {
			std.note("%s", e.Advice)
		}
		return status
	}
	std.note("%v", err)
	return status
}

// A usageError is a command line that is well formed and makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }

// statusOf returns the exit status for an error.
func statusOf(err error) int {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, errProblem):
		return exitProblem
	case errors.Is(err, errUnexpected):
		return exitUnexpected
	case errors.Is(err, errChaos):
		return exitChaos
	case errors.Is(err, &leat.Error{Code: leat.CodeInvalidParameter}) && leat.AsError(err).Fields["status"] == nil:
		return exitUsage // an address that is none; no server was asked
	case errors.Is(err, &leat.Error{Code: leat.CodeUnavailable}):
		return exitNoServer
	case errors.Is(err, &leat.Error{Code: leat.CodeGap}):
		return exitGap
	}
	return exitFailed
}
