package journal

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// newStream makes a stream of text with a record of each piece, and returns their
// offsets.
func newStream(t testing.TB, j *Journal, name, contentType string, pieces ...string) (offsets []leat.Offset) {
	t.Helper()
	if _, _, err := j.Create(context.Background(), Config{ContentType: contentType}, Write{Stream: name}); err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		offsets = append(offsets, writeTo(t, j, name, p))
	}
	return offsets
}

func writeTo(t testing.TB, j *Journal, name, data string) leat.Offset {
	t.Helper()
	w, err := j.Write(context.Background(), Write{Stream: name, Appends: []Append{{Data: []byte(data), Cut: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return w.Last
}

// forked makes a fork that must be made.
func forked(t testing.TB, j *Journal, name string, f Fork) Written {
	t.Helper()
	made, w, err := j.Fork(context.Background(), f, Config{}, Write{Stream: name})
	if !made || err != nil {
		t.Fatalf("fork %s of %+v: %t, %v", name, f, made, err)
	}
	return w
}

// through reads a stream with what it inherits.
func through(t testing.TB, j *Journal, name string) []leat.Record {
	t.Helper()
	m, err := j.Stat(context.Background(), name, false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := j.Lineage(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	var all []leat.Record
	src := source{m, l, m.state}
	if err := src.each(context.Background(), j.st, 0, func(r *leat.Record) bool {
		if r.Type != "foreign" {
			all = append(all, *r)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// wantFork checks what a stream holds, what it inherits included.
func wantFork(t testing.TB, j *Journal, name, want string) {
	t.Helper()
	settle(t, j.st, name)
	var got []string
	pos := int64(-1)
	for _, r := range through(t, j, name) {
		if pos >= 0 && r.Pos != pos || r.Stream != name {
			t.Errorf("%s: a record of %s at byte %d, want %d", name, r.Stream, r.Pos, pos)
		}
		pos = r.End()
		got = append(got, string(r.Data))
	}
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("%s holds %q, want %q", name, text, want)
	}
	m, err := j.Stat(context.Background(), name, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(len(strings.Join(got, ""))); m.End-m.Start != n {
		t.Errorf("%s has bytes %d to %d, want %d", name, m.Start, m.End, n)
	}
	if m.Kind == leat.KindJSON && m.Records != int64(len(got)) {
		t.Errorf("%s has %d records, want %d", name, m.Records, len(got))
	}
	for at := m.Start; at < m.End; at++ {
		seq, start, err := j.Seek(context.Background(), m, at)
		if err != nil || seq == 0 || start > at {
			t.Errorf("%s: byte %d is in the record %d at %d, %v", name, at, seq, start, err)
		}
	}
}

func (j *Journal) codeOfFork(name string, f Fork, c Config) leat.Code {
	_, _, err := j.Fork(context.Background(), f, c, Write{Stream: name})
	return leat.CodeOf(err)
}

// "Same offset space as the source. Source appends after the fork are invisible."
func TestForkHasWhatWasThere(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		at := newStream(t, j, "a", "text/plain", "one", "two", "three")
		if w := forked(t, j, "b", Fork{Source: "a", At: &at[1]}); w.Last != at[1] || w.End != 6 {
			t.Errorf("the fork ends at %v, byte %d", w.Last, w.End)
		}
		wantFork(t, j, "b", "one|two")
		writeTo(t, j, "a", "four")
		writeTo(t, j, "b", "own")
		forked(t, j, "c", Fork{Source: "b"})
		writeTo(t, j, "b", "more")
		writeTo(t, j, "c", "last")
		forked(t, j, "d", Fork{Source: "c", At: &at[0]})
		writeTo(t, j, "d", "x")
		forked(t, j, "e", Fork{Source: "d", At: &leat.Offset{}})
		wantFork(t, j, "a", "one|two|three|four")
		wantFork(t, j, "b", "one|two|own|more")
		wantFork(t, j, "c", "one|two|own|last")
		wantFork(t, j, "d", "one|x")
		wantFork(t, j, "e", "")
		if got := contents(t, st, "b"); !slices.Equal(got, []string{"own", "more"}) {
			t.Errorf("the store has %q under the fork's name, which is not its own alone", got)
		}
	})
}

// "JSON: flattened messages past the anchor; otherwise decoded bytes; equal to the
// next message's or append's length is allowed, beyond it 400."
func TestForkSubOffset(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		at := newStream(t, j, "a", "text/plain", "hello", "gr\u00fc\u00df")
		start := &leat.Offset{}
		forked(t, j, "none", Fork{Source: "a", At: start})
		forked(t, j, "part", Fork{Source: "a", At: start, Sub: 3})
		forked(t, j, "whole", Fork{Source: "a", At: start, Sub: 5})
		forked(t, j, "char", Fork{Source: "a", At: &at[0], Sub: 3})
		forked(t, j, "again", Fork{Source: "part", At: start, Sub: 2})
		wantFork(t, j, "none", "")
		wantFork(t, j, "part", "hel")
		wantFork(t, j, "whole", "hello")
		wantFork(t, j, "char", "hello|gr\xc3")
		wantFork(t, j, "again", "he")
		// It goes on with the rest of the character that it was cut in.
		if _, err := j.Write(context.Background(), Write{Stream: "char", Appends: []Append{piece("char", "x")}}); leat.CodeOf(err) != leat.CodeInvalidBody {
			t.Errorf("the rest of a character was not asked for: %v", err)
		}
		writeTo(t, j, "char", "\xbc")
		cut := through(t, j, "char")[1].Offset
		forked(t, j, "mid", Fork{Source: "char", At: &cut})
		if _, err := j.Write(context.Background(), Write{Stream: "mid", Appends: []Append{piece("mid", "x")}}); leat.CodeOf(err) != leat.CodeInvalidBody {
			t.Errorf("the rest of a character was not asked for: %v", err)
		}
		writeTo(t, j, "mid", "\xa4")
		wantFork(t, j, "mid", "hello|gr\xc3|\xa4")
		wantFork(t, j, "char", "hello|gr\xc3|\xbc")
		if r := through(t, j, "char")[2]; string(r.Text()) != "\u00fc" {
			t.Errorf("the text is %q", r.Text())
		}
		if code := j.codeOfFork("no", Fork{Source: "a", At: start, Sub: 6}, Config{}); code != leat.CodeInvalidParameter {
			t.Errorf("beyond the record: %s", code)
		}
		if code := j.codeOfFork("no", Fork{Source: "a", At: &at[1], Sub: 1}, Config{}); code != leat.CodeInvalidParameter {
			t.Errorf("beyond the last record: %s", code)
		}

		js := newStream(t, j, "j", "application/json", "1", "2", "3", "4", "5")
		forked(t, j, "j2", Fork{Source: "j", At: &js[0], Sub: 1})
		forked(t, j, "j4", Fork{Source: "j", At: &js[1], Sub: 2})
		forked(t, j, "j5", Fork{Source: "j", At: start, Sub: 5})
		wantFork(t, j, "j2", "1|2")
		wantFork(t, j, "j4", "1|2|3|4")
		wantFork(t, j, "j5", "1|2|3|4|5")
		if code := j.codeOfFork("no", Fork{Source: "j", At: start, Sub: 6}, Config{}); code != leat.CodeInvalidParameter {
			t.Errorf("beyond the records: %s", code)
		}
	})
}

// A fork is the same whoever asks, and a name is taken once.
func TestForkAgain(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		at := newStream(t, j, "a", "text/plain", "one", "two")
		forked(t, j, "b", Fork{Source: "a", At: &at[0]})
		for _, x := range []struct {
			fork Fork
			c    Config
			want leat.Code
		}{
			{Fork{Source: "a", At: &at[0]}, Config{}, ""},
			{Fork{Source: "a"}, Config{ContentType: "Text/Plain"}, ""}, // what it is was decided then
			{Fork{Source: "a", At: &at[1]}, Config{}, leat.CodeExists},
			{Fork{Source: "a", At: &at[0], Sub: 1}, Config{}, leat.CodeExists},
			{Fork{Source: "a", At: &at[0]}, Config{ContentType: "application/json"}, leat.CodeExists},
			{Fork{Source: "a", At: &at[0]}, Config{TTL: time.Hour}, leat.CodeExists},
			{Fork{Source: "c"}, Config{}, leat.CodeExists},
		} {
			if got := j.codeOfFork("b", x.fork, x.c); got != x.want {
				t.Errorf("%+v, %+v: %q, want %q", x.fork, x.c, got, x.want)
			}
		}
		_, _, err := j.Create(context.Background(), Config{ContentType: "text/plain"}, Write{Stream: "b"})
		wantCode(t, err, leat.CodeExists)
		if got := j.codeOfFork("a", Fork{Source: "b"}, Config{}); got != leat.CodeExists {
			t.Errorf("a name that is taken: %q", got)
		}
		if err := j.Delete(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		if got := j.codeOfFork("b", Fork{Source: "a", At: &at[0]}, Config{}); got != "" {
			t.Errorf("after the source was deleted: %q", got)
		}
	})
}

// What a journal remembers of a fork is a hint like any other: it is another by now.
func TestForkIsAnother(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, other := open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
		at := newStream(t, j, "a", "text/plain", "one", "two")
		forked(t, j, "b", Fork{Source: "a", At: &at[0]})
		if err := other.Delete(context.Background(), "b"); err != nil {
			t.Fatal(err)
		}
		forked(t, other, "b", Fork{Source: "a", At: &at[1]})
		if got := j.codeOfFork("b", Fork{Source: "a", At: &at[0]}, Config{}); got != leat.CodeExists {
			t.Errorf("the one that was there before: %q", got)
		}
	})
}

// A source that is deleted is kept for its forks, and goes with the last of them.
// sweepLater sweeps, and lets a while pass first.
// "Fork points pin what they need", and no more than while they need it.
// What is left of a crash between any two of the commits of a fork, or of its
// deletion, is cleared away, and the source is neither lost nor kept for ever.
// Many at once: of one name one is made, and all of a source are counted.
// All that a stream says of itself has room, whatever the names are.
func TestForkNames(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		long := func(i int) string { return strings.Repeat(`"`, 510) + "/" + string(rune('a'+i)) }
		newStream(t, j, long(0), "text/plain", "one")
		forked(t, j, long(1), Fork{Source: long(0)})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, _, err := j.Fork(context.Background(), Fork{Source: long(1)}, Config{}, Write{Stream: long(2 + i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantFork(t, j, long(21), "one")
	})
}

// A fork that is refused leaves no trace.
func TestForkRefused(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1, ForkDepth: 1, MaxRecord: 10})
		ctx := context.Background()
		newStream(t, j, "a", "text/plain", "one")
		forked(t, j, "b", Fork{Source: "a"})
		foreign := leat.Offset{Epoch: 7, Seq: 7}
		for _, x := range []struct {
			fork Fork
			c    Config
			w    Write
			want leat.Code
		}{
			{Fork{Source: "none"}, Config{}, Write{}, leat.CodeNotFound},
			{Fork{Source: "*"}, Config{}, Write{}, leat.CodeInvalidName},
			{Fork{Source: "a", At: &foreign}, Config{}, Write{}, leat.CodeInvalidOffset},
			{Fork{Source: "a"}, Config{ContentType: "application/json"}, Write{}, leat.CodeTypeMismatch},
			{Fork{Source: "b"}, Config{}, Write{}, leat.CodeInvalidParameter}, // too deep
			{Fork{Source: "a"}, Config{}, Write{Appends: []Append{{Data: []byte("much too large")}}}, leat.CodeTooLarge},
			{Fork{Source: "a"}, Config{}, Write{Appends: []Append{{Data: []byte("\xff")}}}, leat.CodeInvalidBody},
			{Fork{Source: "a"}, Config{TTL: -1}, Write{}, leat.CodeInvalidParameter},
		} {
			x.w.Stream = "c"
			_, _, err := j.Fork(ctx, x.fork, x.c, x.w)
			wantCode(t, err, x.want)
		}
		if info, err := st.Stream(ctx, "c"); err != nil || info.Version != 0 {
			t.Errorf("there is %+v, %v", info, err)
		}
		if err := j.Delete(ctx, "b"); err != nil {
			t.Fatal(err)
		}
		if err := j.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		_, err := j.Stat(ctx, "a", false)
		wantCode(t, err, leat.CodeNotFound)
	})
}

// "Own TTL/expiry if given (no cap), else the source's (a TTL with its own clock)."
// A fork of what has ended is open, and what follows an end is no record of it.
func TestForkOfAnEnd(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		ctx := context.Background()
		newStream(t, j, "a", "application/json", "1", "2")
		if _, err := j.Write(ctx, Write{Stream: "a", End: leat.EndError, Reason: "disk"}); err != nil {
			t.Fatal(err)
		}
		forked(t, j, "b", Fork{Source: "a"})
		_, _, err := j.Fork(ctx, Fork{Source: "a"}, Config{}, Write{Stream: "c", Appends: []Append{{Data: []byte("9")}}, End: leat.EndComplete})
		if err != nil {
			t.Fatal(err)
		}
		writeTo(t, j, "b", "3")
		wantFork(t, j, "b", "1|2|3")
		wantFork(t, j, "c", "1|2|9")
		if m, err := j.Stat(ctx, "c", false); err != nil || m.Over != leat.EndComplete {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
