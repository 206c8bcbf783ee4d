// Command mutants proves that the tests which guard a guarantee can fail. For
// each line of its table it builds the guarding tests with one deliberate
// defect in the code, runs them, and expects red. The tree is not touched: the
// go command sees the defect through its -overlay flag.
//
//	go run ./internal/mutants [-run regexp] [-v]
//
// It ends with code 1 when a mutant survives, and also when one proves nothing:
// the text to replace is gone, the mutated code does not compile, or the tests
// fail, or do not exist, without the defect.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mutants: ")
	only := flag.String("run", "", "try only the mutants whose name matches `regexp`")
	verbose := flag.Bool("v", false, "also show how the tests of caught mutants failed")
	flag.Parse()
	names, err := regexp.Compile(*only)
	if err != nil {
		log.Fatal(err)
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		log.Fatalf("cannot find the module's root: %v", err)
	}
	tmp, err := os.MkdirTemp("", "leat-mutants-")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	r := &runner{root: strings.TrimSpace(string(root)), tmp: tmp, patience: 20 * time.Second}
	ok := r.report(ctx, os.Stdout, table, names, *verbose)
	stop()
	os.RemoveAll(tmp)
	if !ok {
		os.Exit(1)
	}
}

// report tries the mutants that only matches, writes a line for each, and
// returns whether all were caught.
func (r *runner) report(ctx context.Context, w io.Writer, mutants []Mutant, only *regexp.Regexp, verbose bool) bool {
	tried, caught := 0, 0
	for _, m := range mutants {
		if !only.MatchString(m.Name) {
			continue
		}
		tried++
		start := time.Now()
		res := r.try(ctx, m)
		if ctx.Err() != nil {
			fmt.Fprintln(w, "mutants: interrupted")
			return false
		}
		fmt.Fprintf(w, "%-8s %5.1fs  %s: %s\n", res.verdict, time.Since(start).Seconds(), m.Name, res.reason)
		if res.verdict == caughtIt {
			caught++
		} else {
			fmt.Fprintf(w, "  guarantee: %s\n  defect in: %s\n  tests: %s -run '%s'\n", m.Why, m.File, m.Package, m.Run)
		}
		if res.output != "" && (verbose || res.verdict != caughtIt) {
			fmt.Fprintln(w, "  | "+strings.ReplaceAll(strings.TrimSpace(res.output), "\n", "\n  | "))
		}
	}
	fmt.Fprintf(w, "mutants: %d of %d caught\n", caught, tried)
	return caught == tried
}
