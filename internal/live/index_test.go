package live

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
)

// named is an encoding that is nothing but a name.
type named string

func (n named) String() string { return string(n) }

func (n named) Append(dst []byte, _ *leat.Record) []byte { return dst }

// "One matcher for all": what the index finds is what leat.Filter.Match says,
// feed by feed, while feeds come and go; those of one encoding lie together; and
// when all have left nothing is left of them.
func TestIndexIsMatch(t *testing.T) {
	rounds := 30
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 0))
		x := newIndex()
		var feeds []*feed
		for step := range 400 {
			switch {
			case len(feeds) == 0 || rng.IntN(3) == 0:
				fd := &feed{filter: randomFilter(t, rng), encoding: named(fmt.Sprint("e", rng.IntN(3))), number: uint64(step)}
				feeds = append(feeds, fd)
				x.add(fd)
			case rng.IntN(4) == 0:
				i := rng.IntN(len(feeds))
				x.remove(feeds[i])
				feeds = slices.Delete(feeds, i, i+1)
			}
			stream := randomName(rng, false)
			got := x.match(stream)
			if want := bruteForce(feeds, stream); !slices.Equal(sorted(got), want) {
				t.Fatalf("seed %d, step %d: the index has %d feeds for %q, want %d", seed, step, len(got), stream, len(want))
			}
			if !grouped(got) {
				t.Fatalf("seed %d, step %d: feeds of one encoding are apart", seed, step)
			}
		}
		for _, fd := range feeds {
			x.remove(fd)
			x.match(randomName(rng, false))
		}
		if n := len(x.names) + len(x.matches); n != 0 || !x.patterns.empty() {
			t.Fatalf("seed %d: %d entries are left of no feeds, or some of the patterns", seed, n)
		}
	}
}

// However many streams there are, the index remembers a bounded number.
func TestIndexRemembersSoMany(t *testing.T) {
	x := newIndex()
	f, err := leat.ParseFilter("**")
	if err != nil {
		t.Fatal(err)
	}
	x.add(&feed{filter: f, encoding: named("e")})
	for i := range 2 * maxMatches {
		if len(x.match(fmt.Sprint("s/", i))) != 1 {
			t.Fatalf("stream %d is not found", i)
		}
		if len(x.matches) > maxMatches {
			t.Fatalf("%d streams are remembered", len(x.matches))
		}
	}
}

func bruteForce(feeds []*feed, stream string) []uint64 {
	var numbers []uint64
	for _, fd := range feeds {
		if fd.filter.Match(stream) {
			numbers = append(numbers, fd.number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

func sorted(feeds []*feed) []uint64 {
	var numbers []uint64
	for _, fd := range feeds {
		numbers = append(numbers, fd.number)
	}
	slices.Sort(numbers)
	return numbers
}

func grouped(feeds []*feed) bool {
	seen := map[string]bool{}
	for i, fd := range feeds {
		name := fd.encoding.String()
		if seen[name] && feeds[i-1].encoding != fd.encoding {
			return false
		}
		seen[name] = true
	}
	return true
}

// randomName returns a name, or pattern, over few words: many match.
func randomName(rng *rand.Rand, wild bool) string {
	segments := make([]string, 1+rng.IntN(4))
	for i := range segments {
		segments[i] = []string{"a", "b", "ab", "c.d"}[rng.IntN(4)]
		if wild && rng.IntN(3) == 0 {
			segments[i] = "*"
		}
	}
	if wild && rng.IntN(3) == 0 {
		segments[len(segments)-1] = "**"
	}
	return strings.Join(segments, "/")
}

func randomFilter(t *testing.T, rng *rand.Rand) *leat.Filter {
	topics := make([]string, 1+rng.IntN(5))
	for i := range topics {
		topics[i] = randomName(rng, rng.IntN(2) == 0)
	}
	f, err := leat.ParseFilter(topics...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// "100,000 exact and 10,000 pattern feeds that do not match add nothing measurable to an
// append": it does not look at one of them. Here whoever looked at their filters would
// panic, and whoever listed something, or looked for waiting readers, would wait for ever.
func TestAppendTouchesOnlyFeedsThatMatch(t *testing.T) {
	l := newBench(t)
	l.joinOthers(t)
	filters := make(map[*feed]*leat.Filter)
	for _, fd := range l.feeds {
		fd.mu.Lock()
		filters[fd], fd.filter = fd.filter, nil
	}
	defer func() {
		for fd, filter := range filters {
			fd.filter = filter
			fd.mu.Unlock()
		}
	}()
	name := l.join(t, silent{}, "hot/x")
	pattern := l.join(t, silent{}, "hot/*")
	done := make(chan struct{})
	go func() { // ends at once, or the test fails
		defer close(done)
		for i := range 100 {
			l.commit(fmt.Sprintf("hot/%d", i))
			l.commit("hot/x")
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("an append waits for a feed that does not match")
	}
	if n, m := len(name.feed.frames), len(pattern.feed.frames); n != 100 || m != 200 {
		t.Errorf("%d and %d frames are listed, want 100 and 200", n, m)
	}
}
