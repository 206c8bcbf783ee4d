//go:build linux

// Command bench measures Leat beside what else does the same work, in one run on one
// machine: only the ratios within a run count. Every delivery is checked for its
// order, for gaps and for repeats. docs/benchmarks.md says what is measured and how
// to read it.
//
//	go run . -leat ../bin/leat -json result.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	flagLeat      = flag.String("leat", "../bin/leat", "the binary")
	flagJSON      = flag.String("json", "", "file for the results")
	flagRounds    = flag.Int("rounds", 1, "how often everything is measured; the targets look at the medians")
	flagOnly      = flag.String("only", "", "regular expression that the name of a scenario must match")
	flagServers   = flag.String("servers", "", "servers to measure, separated by commas; all that a scenario names if empty")
	flagData      = flag.String("data", "", "directory for records, on the disk that counts; a temporary one if empty")
	flagRival     = flag.String("rival", "", "for the command's own use: be this server")
	flagLeatFlags = flag.String("leat-flags", "", "further flags of leat serve, separated by spaces")
)

// A scenario is one thing to measure.
type scenario struct {
	name string
	// needs is what a server must be able to do; the others are left out.
	needs ability
	// servers, if it is not nil, are measured instead, in this order.
	servers []string
	// flags are further flags of leat serve.
	flags []string
	// run measures with a server of its own, which is stopped when it returns.
	run func(*server) (result, error)
}

// scenarios are those of all files, in the order in which they are measured.
var scenarios = slices.Concat(
	fanOutScenarios,
	writeScenarios,
	coldScenarios,
	filterScenarios,
	http2Scenarios,
	slowScenarios,
	durableScenarios,
	stormScenarios,
)

// targets are the lines below the table that say what was wanted.
var targets = slices.Concat(
	fanOutTargets,
	writeTargets,
	coldTargets,
	filterTargets,
	http2Targets,
	slowTargets,
	durableTargets,
	stormTargets,
)

func main() {
	flag.Parse()
	if *flagRival != "" {
		log.Fatal(serveRival(*flagRival))
	}
	runtime.LockOSThread() // the thread whose end would end the servers
	go endOnSignal()
	only, err := regexp.Compile(*flagOnly)
	if err != nil {
		log.Fatalf("-only: %v", err)
	}
	raiseLimit()
	fmt.Printf("%s, %d processors, %s; one run, so only ratios count\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	printHead()
	var all results
	var failed []string
	for round := range *flagRounds {
		for _, sc := range scenarios {
			if !only.MatchString(sc.name) {
				continue
			}
			for _, p := range chosen(sc) {
				r, err := run(sc, p)
				if err != nil {
					fmt.Printf("%-26s %-13s FAILED: %v\n", sc.name, p.name, err)
					failed = append(failed, fmt.Sprintf("%s, %s: %v", sc.name, p.name, err))
					continue
				}
				r.Scenario, r.Server, r.Round = sc.name, p.name, round+1
				all = append(all, r)
				r.print()
			}
		}
	}
	if len(all)+len(failed) == 0 {
		log.Fatal("nothing to measure: no scenario has this name and one of these servers")
	}
	all.printRatios()
	verdicts := all.judge(targets)
	printVerdicts(verdicts)
	if *flagJSON != "" {
		b, err := json.MarshalIndent(map[string]any{"results": all, "targets": verdicts, "failed": failed}, "", "  ")
		if err == nil {
			err = os.WriteFile(*flagJSON, append(b, '\n'), 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	if len(failed) > 0 {
		os.Exit(1)
	}
}

// chosen returns the servers to measure a scenario with.
func chosen(sc scenario) (found []*peer) {
	for _, p := range peers {
		switch {
		case p.there != nil && !p.there():
		case *flagServers != "" && !slices.Contains(strings.Split(*flagServers, ","), p.name):
		case sc.servers != nil && slices.Contains(sc.servers, p.name), sc.servers == nil && p.can&sc.needs == sc.needs && p.can != 0:
			found = append(found, p)
		}
	}
	if sc.servers != nil {
		slices.SortFunc(found, func(a, b *peer) int {
			return slices.Index(sc.servers, a.name) - slices.Index(sc.servers, b.name)
		})
	}
	return found
}

// run measures one scenario with a server of its own.
func run(sc scenario, p *peer) (result, error) {
	s, err := startServer(p, sc.flags)
	if err != nil {
		return result{}, err
	}
	defer s.stop()
	if p.alone != nil {
		return p.alone()
	}
	return sc.run(s)
}

// raiseLimit allows as many descriptors as the system lets us have.
func raiseLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}
