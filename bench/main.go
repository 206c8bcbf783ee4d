//go:build linux

// Command bench measures Leat, a hand-written net/http handler and a bare loop of
// writes beside each other, in one run on one machine: only the ratios within a run
// count. Every delivery is checked for its order, for gaps and for repeats.
//
//	go run . -leat ../bin/leat -json result.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A result is what one scenario measured of one server. What it did not measure is 0.
type result struct {
	Scenario string `json:"scenario"`
	Server   string `json:"server"`
	Round    int    `json:"round"`

	BytesPerReader   float64 `json:"bytes_per_reader,omitempty"` // PSS of the server, once it is quiet
	ConnectSeconds   float64 `json:"connect_seconds,omitempty"`
	Deliveries       int64   `json:"deliveries,omitempty"`
	PerSecond        float64 `json:"deliveries_per_second,omitempty"`
	CPUPerMillion    float64 `json:"cpu_seconds_per_million,omitempty"` // of the server
	P50Ms            float64 `json:"p50_ms,omitempty"`
	P99Ms            float64 `json:"p99_ms,omitempty"`
	RateReached      float64 `json:"rate_reached,omitempty"` // of a paced publisher
	SecondsUntilLive float64 `json:"seconds_until_live,omitempty"`
	DeliveriesARead  float64 `json:"deliveries_per_read,omitempty"` // as the generator read them
	Missing          int64   `json:"missing,omitempty"`
	Wrong            int64   `json:"wrong,omitempty"` // out of order, or repeated
}

var (
	flagLeat    = flag.String("leat", "../bin/leat", "the binary")
	flagJSON    = flag.String("json", "", "file for the results")
	flagRounds  = flag.Int("rounds", 1, "how often everything is measured")
	flagOnly    = flag.String("only", "", "scenarios whose name contains this")
	flagServers = flag.String("servers", "leat,net/http,bare", "what is measured")
	flagData    = flag.String("data", "", "directory for Leat's records, on the disk that counts; a temporary one if empty")
	flagRival   = flag.String("rival", "", "for the command's own use: be this server")
	flagProfile = flag.String("leat-flags", "", "further flags of leat serve, separated by spaces")
)

func main() {
	flag.Parse()
	if *flagRival != "" {
		log.Fatal(serveRival(*flagRival))
	}
	raiseLimit()
	fmt.Printf("%d processors, %s; one run, so only ratios count\n\n", runtime.NumCPU(), runtime.Version())
	fmt.Printf("%-22s %-9s %10s %12s %9s %9s %9s %8s %9s %8s\n", "scenario", "server", "B/reader", "deliveries/s", "CPU s/M", "p50 ms", "p99 ms", "rate", "live s", "per read")
	var results []result
	failed := false
	for round := range *flagRounds {
		for _, sc := range scenarios {
			if !strings.Contains(sc.name, *flagOnly) {
				continue
			}
			for _, name := range strings.Split(*flagServers, ",") {
				if slices.Contains(sc.not, name) {
					continue
				}
				r, err := run(sc, name)
				if err != nil {
					log.Printf("%s, %s: %v", sc.name, name, err)
					failed = true
					continue
				}
				r.Scenario, r.Server, r.Round = sc.name, name, round+1
				results = append(results, r)
				print(r)
			}
		}
	}
	if *flagJSON != "" {
		b, _ := json.MarshalIndent(results, "", "  ")
		if err := os.WriteFile(*flagJSON, append(b, '\n'), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func print(r result) {
	cell := func(format string, v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	fmt.Printf("%-22s %-9s %10s %12s %9s %9s %9s %8s %9s %8s", r.Scenario, r.Server,
		cell("%.0f", r.BytesPerReader), cell("%.0f", r.PerSecond), cell("%.2f", r.CPUPerMillion), cell("%.2f", r.P50Ms), cell("%.2f", r.P99Ms),
		cell("%.2f", r.RateReached), cell("%.2f", r.SecondsUntilLive), cell("%.1f", r.DeliveriesARead))
	if r.Missing+r.Wrong > 0 {
		fmt.Printf("  %d missing, %d wrong", r.Missing, r.Wrong)
	}
	fmt.Println()
}

// run measures one scenario with a server of its own.
func run(sc scenario, name string) (result, error) {
	s, err := startServer(name)
	if err != nil {
		return result{}, err
	}
	defer s.stop()
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

// A scenario is one thing to measure.
type scenario struct {
	name string
	not  []string // servers that cannot do it
	run  func(*server) (result, error)
}

var scenarios = []scenario{
	{"idle 10000", []string{"bare"}, func(s *server) (result, error) { return idle(s, 10_000) }},
	{"full speed 1000", nil, func(s *server) (result, error) { return fullSpeed(s, 1000, 3*time.Second) }},
	{"full speed 10000", nil, func(s *server) (result, error) { return fullSpeed(s, 10_000, 4*time.Second) }},
	{"paced 1000 x 50/s", nil, func(s *server) (result, error) { return paced(s, 1000, 50, 4*time.Second) }},
	{"paced 1000 x 200/s", nil, func(s *server) (result, error) { return paced(s, 1000, 200, 4*time.Second) }},
	{"resume 1000 x 1000", []string{"bare"}, func(s *server) (result, error) { return resume(s, 1000, 1000) }},
}

// idle measures the memory of readers that have nothing to read, a while after they
// came: what connecting left behind is given back by and by.
func idle(s *server, readers int) (r result, err error) {
	before := s.memory()
	began := time.Now()
	l, err := newLoad(s.addr, "/events?topic=idle", false, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	r.ConnectSeconds = time.Since(began).Seconds()
	time.Sleep(12 * time.Second)
	r.BytesPerReader = float64(s.memory()-before) / float64(readers)
	return r, nil
}

// fullSpeed publishes as fast as readers get it: four publishers, and no more than
// about 32 events that not all readers have, so that nobody wins by queueing.
func fullSpeed(s *server, readers int, d time.Duration) (r result, err error) {
	l, err := newLoad(s.addr, "/events?topic=a", false, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	const publishers, window = 4, 32
	p := newPublishers(s, "a", publishers)
	p.mayGo = func() bool { return p.sent.Load()*int64(readers)-l.delivered.Load() < window*int64(readers) }
	return measure(s, l, p, d, 0)
}

// paced publishes at a rate.
func paced(s *server, readers, rate int, d time.Duration) (r result, err error) {
	l, err := newLoad(s.addr, "/events?topic=a", false, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	p := newPublishers(s, "a", 1)
	return measure(s, l, p, d, rate)
}

// measure publishes for a while, after a second that does not count, and looks at what
// arrives.
func measure(s *server, l *load, p *publishers, d time.Duration, rate int) (r result, err error) {
	p.start(rate)
	time.Sleep(time.Second)
	l.resetLatency()
	cpu, n, reads, sent, began := s.cpu(), l.delivered.Load(), l.reads.Load(), p.sent.Load(), time.Now()
	time.Sleep(d)
	took := time.Since(began).Seconds()
	r.Deliveries = l.delivered.Load() - n
	r.PerSecond = float64(r.Deliveries) / took
	r.CPUPerMillion = (s.cpu() - cpu) / float64(r.Deliveries) * 1e6
	r.DeliveriesARead = float64(r.Deliveries) / float64(l.reads.Load()-reads)
	if rate > 0 {
		r.RateReached = float64(p.sent.Load()-sent) / took / float64(rate)
	}
	r.P50Ms, r.P99Ms = l.latency(0.5), l.latency(0.99)
	if err := p.stop(); err != nil {
		return r, err
	}
	want := p.sent.Load() * int64(len(l.conns))
	l.waitFor(want, 5*time.Second)
	r.Missing, r.Wrong = want-l.delivered.Load(), l.wrong.Load()
	return r, l.failure()
}

// resume has readers come at once that have all to read.
func resume(s *server, readers, events int) (r result, err error) {
	p := newPublishers(s, "a", 1)
	if err := p.publish(events); err != nil {
		return r, err
	}
	cpu, began := s.cpu(), time.Now()
	l, err := newLoad(s.addr, "/events?topic=a&from=start", true, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	r.Deliveries = int64(readers * events)
	l.waitFor(r.Deliveries, 20*time.Second)
	r.SecondsUntilLive = time.Since(began).Seconds()
	r.PerSecond = float64(r.Deliveries) / r.SecondsUntilLive
	r.CPUPerMillion = (s.cpu() - cpu) / float64(r.Deliveries) * 1e6
	r.DeliveriesARead = float64(r.Deliveries) / float64(l.reads.Load())
	r.Missing, r.Wrong = r.Deliveries-l.delivered.Load(), l.wrong.Load()
	return r, l.failure()
}
