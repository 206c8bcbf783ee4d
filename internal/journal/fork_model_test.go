package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A tree is what a simple model knows of a stream that may be a fork and have forks.
type tree struct {
	name    string
	records []treeRecord
	over    leat.EndState
	bound   int64 // of its own records, 0 for none
	source  *tree
	asked   Fork   // if it is one
	point   uint64 // at which it was forked
	forks   []*tree
	gone    bool // deleted, and there for its forks alone
}

type treeRecord struct {
	at   leat.Offset
	data string
	own  bool
}

func (s *tree) text() string {
	var parts []string
	for _, r := range s.records {
		parts = append(parts, r.data)
	}
	return strings.Join(parts, "|")
}

// same reports whether s is the fork that is asked for.
func (s *tree) same(ask Fork) bool {
	return s.source != nil && !s.gone && s.asked.Source == ask.Source && s.asked.Sub == ask.Sub &&
		(ask.At == nil || ask.At.Seq == s.point)
}

// A forest does at random to journals over one store what can be done to forks, and
// holds every answer, and after each sweep what is stored, against what it knows.
type forest struct {
	t        *testing.T
	c        *clock
	st       *hooked
	r        *rand.Rand
	posts    *rand.Rand // decides what is appended by Post
	journals []*Journal
	options  Options
	trees    map[string]*tree
	commits  int // that are let pass; negative: all
	done     map[string]int
	made     int
}

var errPower = errors.New("power")

func newForest(t *testing.T, st store.Store, c *clock, journals int, seed uint64, done map[string]int) *forest {
	f := &forest{t: t, c: c, r: rand.New(rand.NewPCG(seed, 7)), trees: map[string]*tree{}, commits: -1, done: done, journals: make([]*Journal, journals)}
	f.posts = rand.New(rand.NewPCG(seed, 8))
	f.options = Options{Now: c.Now, Sweep: -1, Tombstone: -1}
	if f.r.IntN(3) == 0 {
		f.options.Memory = -1
	}
	f.st = &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
		if f.commits == 0 {
			return nil, errPower
		}
		f.commits--
		return st.Commit(ctx, txs)
	}}
	for i := range f.journals {
		f.journals[i] = New(f.st, f.options)
	}
	return f
}

func (f *forest) close() {
	for _, j := range f.journals {
		j.Close()
	}
}

// at returns the stream of a name, and a journal that knows it as it is.
func (f *forest) at(name string) (*tree, *Journal) {
	settle(f.t, f.st, name)
	return f.trees[name], f.journals[f.r.IntN(len(f.journals))]
}

func (f *forest) want(what string, err error, code leat.Code) bool {
	f.t.Helper()
	if got := leat.CodeOf(err); got != code {
		f.t.Fatalf("%s: got %v, want %q", what, err, code)
	}
	f.done[what+" "+string(code)]++
	return err == nil
}

func (f *forest) bound() int64 { return int64(f.r.IntN(2) * 8) }

func (f *forest) create(name string) {
	s, j := f.at(name)
	c := Config{ContentType: "application/json", Retention: Retention{Records: f.bound()}}
	_, _, err := j.Create(context.Background(), c, Write{Stream: name})
	switch {
	case s == nil:
		f.want("create", err, "")
		f.trees[name] = &tree{name: name, bound: c.Retention.Records}
	case s.gone || s.source != nil || s.over != "" || s.bound != c.Retention.Records:
		f.want("create", err, leat.CodeExists)
	default:
		f.want("create again", err, "")
	}
}

func (f *forest) append(name string) {
	s, j := f.at(name)
	w := Write{Stream: name}
	var data []string
	for range f.r.IntN(4) {
		f.made++
		data = append(data, fmt.Sprint(f.made))
		w.Appends = append(w.Appends, Append{Data: []byte(data[len(data)-1])})
	}
	if f.r.IntN(10) == 0 {
		w.End = leat.EndComplete
	}
	var err error
	if len(data) == 1 && w.End == "" && f.posts.IntN(2) == 0 {
		f.done["post"]++
		_, err = post(context.Background(), j, Append{Stream: name, Existing: true, Data: []byte(data[0])})
	} else {
		_, err = j.Write(context.Background(), w)
	}
	switch {
	case s == nil:
		f.want("append", err, leat.CodeNotFound)
	case s.gone:
		f.want("append", err, leat.CodeGone)
	case s.over != "" && len(data) > 0:
		f.want("append", err, leat.CodeEnded)
	default:
		f.want("append", err, "")
		f.note(s, data)
		if w.End != "" {
			s.over = w.End
		}
	}
}

// note notes records that were appended; where they are the store says.
func (f *forest) note(s *tree, data []string) {
	stored := records(f.t, f.st.Store, s.name)
	stored = slices.DeleteFunc(stored, func(r leat.Record) bool { return r.Kind == leat.KindEnd })
	stored = stored[len(stored)-len(data):]
	for i, text := range data {
		if string(stored[i].Data) != text {
			f.t.Fatalf("%s: stored %q, want %q", s.name, stored[i].Data, text)
		}
		s.records = append(s.records, treeRecord{stored[i].Offset, text, true})
	}
}

// fork forks a stream at any of its records, or before the first.
func (f *forest) fork(name string, source string, crash bool) {
	from, _ := f.at(source)
	s, j := f.at(name)
	ask := Fork{Source: source}
	n := 0
	if from != nil {
		n = len(from.records)
		if n > 0 && f.r.IntN(3) > 0 {
			n = f.r.IntN(len(from.records) + 1)
			ask.At = &leat.Offset{}
			if n > 0 {
				ask.At = &from.records[n-1].at
			}
			ask.Sub = int64(f.r.IntN(3))
			n += int(ask.Sub)
		}
	}
	if s != nil && s.source != nil && !s.gone && f.r.IntN(2) == 0 {
		ask = s.asked // the same again
	}
	point := uint64(0)
	if ask.At != nil {
		point = ask.At.Seq
	} else if m, err := j.Stat(context.Background(), source, false); err == nil {
		point = m.Last.Seq
	}
	c := Config{Retention: Retention{Records: f.bound()}}
	w := Write{Stream: name}
	var data []string
	if f.r.IntN(3) == 0 {
		f.made++
		data = []string{fmt.Sprint(f.made)}
		w.Appends = []Append{{Data: []byte(data[0])}}
	}
	if crash {
		f.commits = f.r.IntN(4)
	}
	_, _, err := j.Fork(context.Background(), ask, c, w)
	f.commits = -1
	if errors.Is(err, errPower) {
		f.done["crash of fork"]++
		f.restart()
		if _, err := f.journals[0].Stat(context.Background(), name, false); s == nil && err == nil {
			f.t.Fatalf("%s was made before its last commit", name)
		}
		return
	}
	switch {
	case s != nil && s.same(ask) && s.bound == c.Retention.Records && s.over == "":
		f.want("fork again", err, "")
	case s != nil:
		f.want("fork", err, leat.CodeExists)
	case from == nil:
		f.want("fork", err, leat.CodeNotFound)
	case from.gone:
		f.want("fork", err, leat.CodeEnded)
	case n > len(from.records):
		f.want("fork", err, leat.CodeInvalidParameter)
	default:
		f.want("fork", err, "")
		s = &tree{name: name, source: from, asked: ask, point: point, bound: c.Retention.Records}
		for _, r := range from.records[:n] {
			s.records = append(s.records, treeRecord{r.at, r.data, false})
		}
		from.forks = append(from.forks, s)
		f.trees[name] = s
		f.note(s, data)
	}
}

func (f *forest) delete(name string, crash bool) {
	s, j := f.at(name)
	if crash {
		f.commits = f.r.IntN(3)
	}
	err := j.Delete(context.Background(), name)
	f.commits = -1
	if errors.Is(err, errPower) {
		f.done["crash of delete"]++
		f.reopen()
		_, stat := f.journals[0].Stat(context.Background(), name, false)
		if stat == nil {
			return // before it had begun
		}
		err = nil
		defer f.sweep()
	}
	switch {
	case s == nil:
		f.want("delete", err, leat.CodeNotFound)
	case s.gone:
		f.want("delete", err, leat.CodeGone)
	default:
		f.want("delete", err, "")
		s.gone = true
		f.free(s)
		if len(f.journals) > 1 {
			f.sweep() // with a store that lags the rest is done then
		}
	}
}

// free lets a stream go that is there for nobody any more, and its sources.
func (f *forest) free(s *tree) {
	for s != nil && s.gone && len(s.forks) == 0 {
		delete(f.trees, s.name)
		if s.source != nil {
			s.source.forks = slices.DeleteFunc(s.source.forks, func(o *tree) bool { return o == s })
			f.done["freed"]++
		}
		s = s.source
	}
}

// restart is what comes after a crash, and a while later.
func (f *forest) restart() {
	f.reopen()
	f.sweep()
}

func (f *forest) reopen() {
	for i, j := range f.journals {
		j.Close()
		f.journals[i] = New(f.st, f.options)
	}
}

// sweep sweeps, and takes notice of what was trimmed if it may have been.
func (f *forest) sweep() {
	f.c.add(2 * pendingTime)
	for range 2 * len(f.journals) * len(f.journals) { // what one has unpinned the next may trim
		for _, j := range f.journals {
			if err := j.Sweep(context.Background()); err != nil {
				f.t.Fatal(err)
			}
		}
		for _, name := range forestNames {
			settle(f.t, f.st, name)
		}
	}
	lost := map[*tree]int{}
	for _, name := range forestNames {
		if s, j := f.at(name); s != nil && !s.gone {
			lost[s] = len(s.records) - len(through(f.t, j, name))
		}
	}
	for s, gone := range lost {
		left := int64(len(s.records) - gone)
		// A fork that has lost something has lost all that it inherited.
		deep := slices.ContainsFunc(s.forks, func(o *tree) bool { return lost[o] == 0 && len(o.records) > 0 && !o.records[0].own })
		switch {
		case gone == 0:
		case gone < 0 || s.bound == 0 || left < s.bound || deep || !s.records[gone-1].own:
			f.t.Fatalf("%s has lost %d of %q", s.name, gone, s.text())
		default:
			f.done["trimmed"]++
		}
	}
	for s, gone := range lost {
		s.records = s.records[gone:]
	}
	f.check()
}

// check holds all that there is against what is known.
func (f *forest) check() {
	for _, name := range forestNames {
		s, j := f.at(name)
		_, err := j.Stat(context.Background(), name, false)
		switch {
		case s == nil:
			f.want("stat", err, leat.CodeNotFound)
		case s.gone:
			f.want("stat", err, leat.CodeGone)
		default:
			f.want("stat", err, "")
			wantFork(f.t, j, name, s.text())
			for i, r := range through(f.t, j, name) {
				if r.Offset != s.records[i].at {
					f.t.Fatalf("%s: record %d is at %v, want %v", name, i, r.Offset, s.records[i].at)
				}
			}
		}
		if f.t.Failed() {
			f.t.FailNow()
		}
	}
}

var forestNames = []string{"a", "b", "c", "d", "e"}

func (f *forest) run(steps int) {
	alone := len(f.journals) == 1
	for range steps {
		name := forestNames[f.r.IntN(len(forestNames))]
		other := forestNames[f.r.IntN(len(forestNames))]
		switch n := f.r.IntN(100); {
		case n < 8:
			f.create(name)
		case n < 40:
			f.append(name)
		case n < 65:
			f.fork(name, other, false)
		case n < 70:
			f.fork(name, other, alone)
		case n < 80:
			f.delete(name, false)
		case n < 84:
			f.delete(name, alone)
		case n < 92:
			f.check()
		case n < 98:
			f.sweep()
		default:
			f.restart()
		}
	}
	// When all have gone nothing is left.
	for _, name := range forestNames {
		if s, j := f.at(name); s != nil && !s.gone {
			if err := j.Delete(context.Background(), name); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	for range 20 { // with a store that lags it takes a few
		f.c.add(time.Hour)
		for _, name := range forestNames {
			settle(f.t, f.st, name)
		}
		for _, j := range f.journals {
			if err := j.Sweep(context.Background()); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	left, err := f.st.Streams(context.Background(), "", "", 100)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, info := range left {
		if !strings.HasPrefix(info.Name, "__") {
			f.t.Errorf("%+v is left", info)
		}
	}
}

// Whatever happens to streams and their forks in whatever order, with crashes between
// any two commits, every answer and all that is stored is what a simple model says, and
// nothing is left when all have been deleted.
func TestForkModel(t *testing.T) {
	rounds, steps, first := 4, 400, uint64(1)
	if os.Getenv("LEAT_SOAK") != "" {
		rounds, steps, first = 100, 3000, rand.Uint64()
	}
	for _, d := range drivers {
		if d.name == "foreign records" {
			continue
		}
		done := map[string]int{}
		for round := range rounds {
			d.run(t, func(t *testing.T, st store.Store, c *clock) {
				seed := first + uint64(round)
				t.Logf("seed %d", seed)
				journals := 1
				if d.rivals {
					journals = 2
				}
				f := newForest(t, st, c, journals, seed, done)
				defer f.close()
				f.run(steps)
			})
		}
		for _, what := range []string{"create ", "create exists", "append ", "append gone", "append not_found", "append ended", "fork ", "fork again ", "fork exists",
			"fork not_found", "fork ended", "fork invalid_parameter", "delete ", "delete gone", "delete not_found", "trimmed", "freed", "post"} {
			if done[what] == 0 {
				t.Errorf("%s: %q has never happened: %v", d.name, what, done)
			}
		}
		if !d.rivals && (done["crash of fork"] == 0 || done["crash of delete"] == 0) {
			t.Errorf("%s: no crash: %v", d.name, done)
		}
	}
}
