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
	"sync/atomic"
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
	r := newRunner(strings.TrimSpace(string(root)), tmp, 10*time.Second)
	ok := r.report(ctx, os.Stdout, table, names, *verbose)
	stop()
	os.RemoveAll(tmp)
	if !ok {
		os.Exit(1)
	}
}

// atOnce is how many mutants are tried at the same time: linking and many of the
// tests keep one processor busy.
const atOnce = 2

// report tries the mutants that only matches, writes a line for each in their order,
// and returns whether all were caught.
func (r *runner) report(ctx context.Context, w io.Writer, mutants []Mutant, only *regexp.Regexp, verbose bool) bool {
	type trial struct {
		Mutant
		took time.Duration
		done chan result
	}
	var trials []*trial
	for _, m := range mutants {
		if only.MatchString(m.Name) {
			trials = append(trials, &trial{Mutant: m, done: make(chan result, 1)})
		}
	}
	// Each ends with the trials, which the loop below waits for, or with ctx.
	var next atomic.Int32
	for range atOnce {
		go func() {
			for i := next.Add(1) - 1; int(i) < len(trials); i = next.Add(1) - 1 {
				start, t := time.Now(), trials[i]
				res := r.try(ctx, t.Mutant)
				t.took = time.Since(start)
				t.done <- res
			}
		}()
	}
	caught := 0
	for _, t := range trials {
		res := <-t.done
		if ctx.Err() != nil {
			fmt.Fprintln(w, "mutants: interrupted")
			return false
		}
		fmt.Fprintf(w, "%-8s %5.1fs  %s: %s\n", res.verdict, t.took.Seconds(), t.Name, res.reason)
		if res.verdict == caughtIt {
			caught++
		} else {
			fmt.Fprintf(w, "  guarantee: %s\n  defect in: %s\n  tests: %s -run '%s'\n", t.Why, t.File, t.Package, t.Run)
		}
		if res.output != "" && (verbose || res.verdict != caughtIt) {
			fmt.Fprintln(w, "  | "+strings.ReplaceAll(strings.TrimSpace(res.output), "\n", "\n  | "))
		}
	}
	fmt.Fprintf(w, "mutants: %d of %d caught\n", caught, len(trials))
	return caught == len(trials)
}
