//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
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
	CPUPerMillion    float64 `json:"cpu_seconds_per_million,omitempty"` // of the server, all its processes
	P50Ms            float64 `json:"p50_ms,omitempty"`
	P99Ms            float64 `json:"p99_ms,omitempty"`
	RateReached      float64 `json:"rate_reached,omitempty"` // of paced publishers
	SecondsUntilLive float64 `json:"seconds_until_live,omitempty"`
	DeliveriesARead  float64 `json:"deliveries_per_read,omitempty"` // as the generator read them
	GeneratorBusy    float64 `json:"generator_busy,omitempty"`      // share of the time that the thread that reads was running
	Others           float64 `json:"others,omitempty"`              // processors that neither the server nor the generator had
	Missing          int64   `json:"missing,omitempty"`
	Wrong            int64   `json:"wrong,omitempty"` // out of order, or repeated

	// Figures are what no column stands for.
	Figures []figure `json:"figures,omitempty"`
}

// A figure is a number with a name and a unit, for what few scenarios measure.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// add notes a figure.
func (r *result) add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, figure{name, value, unit})
}

// per divides, and is 0 where there is nothing to divide by, as for all that was not
// measured.
func per[N int64 | float64](n N, by float64) float64 {
	if by == 0 {
		return 0
	}
	return float64(n) / by
}

// A column is a number of the table, by its name in targets and heads.
type column struct {
	head   string
	format string
	width  int
	ratio  bool // it says something to divide it by Leat's
	of     func(*result) float64
}

var columns = []column{
	{"B/reader", "%.0f", 9, true, func(r *result) float64 { return r.BytesPerReader }},
	{"deliveries/s", "%.0f", 12, true, func(r *result) float64 { return r.PerSecond }},
	{"CPU s/M", "%.2f", 8, true, func(r *result) float64 { return r.CPUPerMillion }},
	{"p50 ms", "%.2f", 8, true, func(r *result) float64 { return r.P50Ms }},
	{"p99 ms", "%.2f", 8, true, func(r *result) float64 { return r.P99Ms }},
	{"rate", "%.2f", 5, false, func(r *result) float64 { return r.RateReached }},
	{"live s", "%.2f", 7, true, func(r *result) float64 { return r.SecondsUntilLive }},
	{"per read", "%.1f", 8, false, func(r *result) float64 { return r.DeliveriesARead }},
	{"gen", "%.2f", 5, false, func(r *result) float64 { return r.GeneratorBusy }},
	{"others", "%.2f", 6, false, func(r *result) float64 { return r.Others }},
}

func printHead() {
	fmt.Printf("%-26s %-13s", "scenario", "server")
	for _, c := range columns {
		fmt.Printf(" %*s", c.width, c.head)
	}
	fmt.Println()
}

func (r *result) print() {
	fmt.Printf("%-26s %-13s", r.Scenario, r.Server)
	for _, c := range columns {
		cell := "-"
		if v := c.of(r); v != 0 {
			cell = fmt.Sprintf(c.format, v)
		}
		fmt.Printf(" %*s", c.width, cell)
	}
	for _, f := range r.Figures {
		fmt.Printf("  %s", f)
	}
	if r.Missing != 0 || r.Wrong != 0 {
		fmt.Printf("  MISSING %d, WRONG %d", r.Missing, r.Wrong)
	}
	fmt.Println()
}

func (f figure) String() string { return fmt.Sprintf("%s %s %s;", f.Name, short(f.Value), f.Unit) }

// short writes a number with three digits that count.
func short(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// results are all of a run.
type results []result

// of returns the median of a number that a scenario measured of a server, over the
// rounds: a head of the table, or the name of a figure. It is NaN if there is none.
func (rs results) of(scenario, server, what string) float64 {
	var found []float64
	for i := range rs {
		if rs[i].Scenario != scenario || rs[i].Server != server {
			continue
		}
		for _, c := range columns {
			if v := c.of(&rs[i]); c.head == what && v != 0 {
				found = append(found, v)
			}
		}
		for _, f := range rs[i].Figures {
			if f.Name == what {
				found = append(found, f.Value)
			}
		}
	}
	if len(found) == 0 {
		return math.NaN()
	}
	slices.Sort(found)
	return (found[len(found)/2] + found[(len(found)-1)/2]) / 2
}

// printRatios sets each rival beside Leat: how many times Leat's number is its own.
func (rs results) printRatios() {
	fmt.Printf("\nratios: a server's number as a multiple of Leat's\n%-26s %-13s", "scenario", "server")
	for _, c := range columns {
		if c.ratio {
			fmt.Printf(" %*s", c.width, c.head)
		}
	}
	fmt.Println()
	seen := map[string]bool{}
	for _, r := range rs {
		key, ours := r.Scenario+"\n"+r.Server, oursIn(rs, r.Scenario)
		if r.Server == ours || ours == "" || seen[key] {
			continue
		}
		seen[key] = true
		fmt.Printf("%-26s %-13s", r.Scenario, r.Server)
		for _, c := range columns {
			if !c.ratio {
				continue
			}
			cell := "-"
			if v := rs.of(r.Scenario, r.Server, c.head) / rs.of(r.Scenario, ours, c.head); !math.IsNaN(v) {
				cell = short(v)
			}
			fmt.Printf(" %*s", c.width, cell)
		}
		fmt.Println()
	}
}

// oursIn returns which way of speaking to Leat a scenario was measured with; "" if none.
func oursIn(rs results, scenario string) string {
	for _, r := range rs {
		if r.Scenario == scenario && (r.Server == "leat" || r.Server == leatDurable.name) {
			return r.Server
		}
	}
	return ""
}

// A target is a number of the run that is wanted to be at most or at least a limit.
type target struct {
	name  string // its number in the issue, and what it is
	unit  string
	value func(results) float64 // NaN: not measured in this run
	most  bool                  // the limit is the most there may be; else the least
	limit float64
}

// A verdict is what became of a target.
type verdict struct {
	Target string  `json:"target"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Limit  float64 `json:"limit"`
	AtMost bool    `json:"at_most"`
	Met    bool    `json:"met"`
}

// judge says of each target that was measured whether it was met.
func (rs results) judge(targets []target) (vs []verdict) {
	for _, t := range targets {
		v := t.value(rs)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		met := v >= t.limit
		if t.most {
			met = v <= t.limit
		}
		vs = append(vs, verdict{t.name, v, t.unit, t.limit, t.most, met})
	}
	return vs
}

func printVerdicts(vs []verdict) {
	if len(vs) == 0 {
		return
	}
	fmt.Printf("\ntargets\n")
	for _, v := range vs {
		bound, met := "at least", "met"
		if v.AtMost {
			bound = "at most"
		}
		if !v.Met {
			met = "MISSED"
		}
		fmt.Printf("%-100s %8s %s, %s %s: %s\n", v.Target, short(v.Value), v.Unit, bound, short(v.Limit), met)
	}
}
