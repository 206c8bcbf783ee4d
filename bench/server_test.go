//go:build linux

package main

import (
	"flag"
	"io"
	"log"
	"math"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// The program that is the rivals is the test's own.
func TestMain(m *testing.M) {
	flag.Parse()
	if *flagRival != "" {
		log.Fatal(serveRival(*flagRival))
	}
	os.Exit(m.Run())
}

// Each scenario, small, with each server that this program is itself: what is
// published arrives, once and in order.
func TestScenariosWithRivals(t *testing.T) {
	var d time.Duration // for which the scenarios measure
	small := []scenario{
		{name: "full speed", needs: events, run: func(s *server) (result, error) { return fullSpeed(s, 7, d) }},
		{name: "paced", needs: events, run: func(s *server) (result, error) { return paced(s, 7, 200, d) }},
		{name: "resume", needs: resume, run: func(s *server) (result, error) { return comeBack(s, 7, 100, false) }},
		{name: "a publisher for each topic", needs: topics, run: func(s *server) (result, error) { return manyTopics(s, 7, 7, 400, d) }},
		{name: "topics in turn", needs: topics, run: func(s *server) (result, error) { return manyTopics(s, 7, 3, 400, d) }},
	}
	for _, p := range peers {
		if _, ok := rivals[p.name]; !ok {
			continue
		}
		for _, sc := range small {
			if p.can&sc.needs != sc.needs {
				continue
			}
			t.Run(p.name+", "+sc.name, func(t *testing.T) {
				// A machine that is busy may deliver nothing in so short a time.
				for d = 100 * time.Millisecond; ; d *= 2 {
					r, err := run(sc, p)
					if err != nil || r.Missing != 0 || r.Wrong != 0 {
						t.Fatalf("%v, %+v", err, r)
					}
					if r.Deliveries > 0 {
						return
					}
				}
			})
		}
	}
}

// A server that this program has started does not outlive its stop.
func TestStopEndsTheProcess(t *testing.T) {
	s, err := startServer(peers[slices.IndexFunc(peers, func(p *peer) bool { return p.name == "net/http" })], nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.memory() == 0 {
		t.Error("it has no memory")
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.stop()
	if b, _ := io.ReadAll(c); len(b) > 0 { // ends when the process does
		t.Errorf("it says %q", b)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("it still listens")
	}
}

func TestTargets(t *testing.T) {
	rs := results{
		{Scenario: "a", Server: "leat", CPUPerMillion: 2, Figures: []figure{{"lag", 5, "ms"}}},
		{Scenario: "a", Server: "leat", CPUPerMillion: 4},
		{Scenario: "a", Server: "bare", CPUPerMillion: 6},
	}
	for _, test := range []struct {
		value       func(results) float64
		most        bool
		limit, want float64
		met, judged bool
	}{
		{ratio("a", "CPU s/M", "bare"), true, 0.5, 0.5, true, true}, // the median is 3
		{ratio("a", "CPU s/M", "bare"), true, 0.4, 0.5, false, true},
		{ratio("a", "CPU s/M", "bare"), false, 0.6, 0.5, false, true},
		{func(rs results) float64 { return rs.of("a", "leat", "lag") }, false, 5, 5, true, true},
		{ratio("a", "CPU s/M", "nchan"), true, 1, math.NaN(), false, false},
	} {
		vs := rs.judge([]target{{most: test.most, limit: test.limit, value: test.value}})
		if len(vs) == 1 != test.judged {
			t.Errorf("%d verdicts", len(vs))
		} else if test.judged && (vs[0].Value != test.want || vs[0].Met != test.met) {
			t.Errorf("%+v, want %v, %v", vs[0], test.want, test.met)
		}
	}
}

// A target that names a scenario, a server or a column that there is not would never
// be judged.
func TestEachTargetIsJudged(t *testing.T) {
	var rs results
	for _, sc := range slices.Concat(fanOutScenarios, durableScenarios) {
		for _, p := range peers {
			rs = append(rs, result{Scenario: sc.name, Server: p.name, BytesPerReader: 1, PerSecond: 1, CPUPerMillion: 1, P99Ms: 1, RateReached: 1, SecondsUntilLive: 1})
		}
	}
	for _, wanted := range slices.Concat(fanOutTargets, durableTargets) {
		if len(rs.judge([]target{wanted})) == 0 {
			t.Errorf("%q is not judged", wanted.name)
		}
	}
}
