package live

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
)

func parsePattern(t *testing.T, text string) leat.Pattern {
	p, err := leat.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What two patterns have in common is what leat.Pattern.Match says of all names there
// are of three letters and up to four segments.
func TestPatternsCoverAndMeet(t *testing.T) {
	grow := func(segments []string, depth int) (all []string) {
		level := []string{""}
		for range depth {
			var next []string
			for _, prefix := range level {
				for _, s := range segments {
					if !strings.HasSuffix(prefix, "**/") {
						all, next = append(all, prefix+s), append(next, prefix+s+"/")
					}
				}
			}
			level = next
		}
		return all
	}
	names, patterns := grow([]string{"a", "b", "c"}, 4), grow([]string{"a", "b", "*", "**"}, 3)
	for _, p := range patterns {
		for _, o := range patterns {
			all, some := true, false
			for _, name := range names {
				if parsePattern(t, o).Match(name) {
					match := parsePattern(t, p).Match(name)
					all, some = all && match, some || match
				}
			}
			if got := covers(p, o); got != all {
				t.Errorf("%s covers %s: %v", p, o, got)
			}
			if got := meets(p, o); got != some {
				t.Errorf("%s meets %s: %v", p, o, got)
			}
		}
	}
}

// "Too slow only by the rules of all streams that its topics may match, and never if
// there is no rule for one of them; skipped only if all of them say so."
func TestSlowRulesOfAFilter(t *testing.T) {
	rule := func(pattern string, records int64, skip bool) SlowRule {
		return SlowRule{Pattern: parsePattern(t, pattern), Records: records, Skip: skip}
	}
	rules := []SlowRule{
		rule("prices/audit", 0, false), rule("prices/*", 100, true), rule("logs/debug/*", 10, true), rule("logs/**", 1000, false), rule("*/x", 5, true),
	}
	for _, test := range []struct {
		topics []string
		want   string
	}{
		{[]string{"prices/1"}, "skip [100]"},
		{[]string{"prices/1", "prices/2"}, "skip [100]"},
		{[]string{"prices/audit"}, "never"}, // the first rule that matches, and it bounds nothing
		{[]string{"prices/*"}, "never"},     // one of them may be prices/audit
		{[]string{"logs/1"}, "disconnect [1000]"},
		{[]string{"logs/debug/1"}, "skip [10]"},
		{[]string{"logs/debug/*"}, "skip [10]"},
		{[]string{"logs/*"}, "disconnect [1000]"},
		{[]string{"logs/**"}, "disconnect [10 1000]"},
		{[]string{"logs/debug/1", "prices/1"}, "skip [100 10]"},
		{[]string{"logs/debug/1", "logs/1", "prices/1"}, "disconnect [100 10 1000]"},
		{[]string{"logs/1", "news"}, "never"},
		{[]string{"**"}, "never"},
		{[]string{"a/x"}, "skip [5]"},
		{[]string{"a/*"}, "never"}, // beside a/x
	} {
		f, err := leat.ParseFilter(test.topics...)
		if err != nil {
			t.Fatal(err)
		}
		got := "never"
		if s := newSlowness(rules, f); s != nil {
			var bounds []int64
			for _, r := range s.rules {
				bounds = append(bounds, r.records.bound)
			}
			got = fmt.Sprint("disconnect ", bounds)
			if s.skip {
				got = fmt.Sprint("skip ", bounds)
			}
		}
		if got != test.want {
			t.Errorf("%v: %s, want %s", test.topics, got, test.want)
		}
	}
	if newSlowness(rules, new(leat.Filter)) != nil || newSlowness(nil, leat.Everything()) != nil {
		t.Error("without a topic or a rule there is somebody too slow")
	}
}

// "The most that a reader may lag behind, a sixteenth more at most by the time it is
// noticed": never less, and exact up to 16.
func TestWindowAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		bound := 1 + rng.Int64N([]int64{3, 16, 1000, 1 << 20}[seed%4])
		sizes := []int64{1, 1 + bound/20, bound * 2}[rng.IntN(3)]
		w := window{bound: bound}
		var seqs []uint64
		var upTo []int64 // totals
		seq, total, most := uint64(0), int64(0), int64(0)
		for range 3000 {
			n := int64(1)
			if sizes > 1 {
				n = rng.Int64N(sizes)
			}
			seq += 1 + rng.Uint64N(3)
			total += n
			most = max(most, n)
			seqs, upTo = append(seqs, seq), append(upTo, total)
			limit := w.add(seq, n)
			// Who has come to a record lags by what came after it.
			for i := len(seqs) - 1; i >= 0 && i > len(seqs)-200; i-- {
				lag, slow := total-upTo[i], seqs[i] < limit
				if slow && lag <= bound {
					t.Fatalf("bound %d: too slow with a lag of %d", bound, lag)
				}
				if !slow && lag >= bound+(bound+15)/16+2*most {
					t.Fatalf("bound %d: not too slow with a lag of %d", bound, lag)
				}
				if sizes == 1 && bound <= 16 && slow != (lag > bound) {
					t.Fatalf("bound %d: too slow with a lag of %d: %v", bound, lag, slow)
				}
			}
			if len(w.marks) > 17 {
				t.Fatalf("bound %d: %d marks", bound, len(w.marks))
			}
		}
	}
	if (&window{}).add(1, 1000) != 0 {
		t.Error("without a bound somebody is too slow")
	}
}
