package journal

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// mixed has characters of 1, 2, 3 and 4 bytes.
const mixed = "aé€𝄞z"

// piece is a piece of a longer text.
func piece(stream, data string) Append {
	a := text(stream, data)
	a.Cut = true
	return a
}

// wantText checks that records are pieces of a text, that what each shows is
// text, and that all of them together show all of it.
func wantText(t testing.TB, all []leat.Record, want string) {
	t.Helper()
	var data, shown []byte
	for _, r := range all {
		if r.Pos != int64(len(data)) {
			t.Fatalf("%q is at byte %d, want %d", r.Data, r.Pos, len(data))
		}
		if !utf8.Valid(r.Text()) || len(r.Carry) > leat.MaxCarry {
			t.Fatalf("%q after %q shows %q", r.Data, r.Carry, r.Text())
		}
		data, shown = append(data, r.Data...), append(shown, r.Text()...)
	}
	if string(data) != want || string(shown) != want[:len(want)-leat.Unfinished([]byte(want))] {
		t.Fatalf("the pieces have %q and show %q, want %q", data, shown, want)
	}
}

// A text may be cut anywhere: in one call, in several, and with a restart
// between any two pieces.
func TestCutAnywhere(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		n := 0
		for i := range len(mixed) + 1 {
			for k := i; k <= len(mixed); k++ {
				for l := k; l <= len(mixed); l++ {
					n++
					name := fmt.Sprint("s", n)
					pieces := []Append{piece(name, mixed[:i]), piece(name, mixed[i:k]), piece(name, mixed[k:l]), text(name, mixed[l:])}
					switch n % 4 {
					case 0:
						must(t, j, pieces...)
					case 1:
						create(t, j, Config{ContentType: "text/plain"}, Write{Stream: name, Appends: pieces})
					default:
						for _, p := range pieces {
							must(t, j, p)
							if n%4 == 2 {
								j.Close()
								j = open(t, st, Options{Now: c.Now, Sweep: -1})
								settle(t, st, name)
							}
						}
					}
					wantText(t, records(t, st, name), mixed)
				}
			}
		}
	})
}

// What does not go on where the text was cut is refused, and so is what ends in
// the middle of a character without saying so.
func TestCutRefuses(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		for i, test := range []struct {
			before string
			bad    Append
		}{
			{"", text("", "\xe2\x82")},
			{"", piece("", "\x82")},
			{"", piece("", "\xff")},
			{"", piece("", "\xed\xa0")},
			{"", piece("", "\xf4\x90")},
			{"", piece("", "\xe2a")},
			{"x\xe2", piece("", "a")},
			{"x\xe2", piece("", "\xe2\x82\xac")},
			{"x\xe2", piece("", "\x82\xacx\xff")},
			{"x\xe2", text("", "")},
			{"x\xe2", text("", "\x82")},
			{"x\xf0\x9d", text("", "\x84")},
			{"x\xe2\x82", text("", "€")},
			{"x\xe2\x82", text("", "\xac\x82")},
		} {
			name := fmt.Sprint("s", i)
			must(t, j, piece(name, test.before))
			bad := test.bad
			bad.Stream = name
			refused(t, j, leat.CodeInvalidBody, bad)
			_, err := j.Write(context.Background(), Write{Stream: name, Appends: []Append{bad}, End: leat.EndComplete})
			wantCode(t, err, leat.CodeInvalidBody)
			wantText(t, records(t, st, name), test.before)
		}
		// An empty piece is one, and an end may be anywhere.
		must(t, j, piece("a", "\xe2"), piece("a", ""), piece("a", "\x82"), piece("a", ""), piece("a", "\xac€\xe2"))
		wantText(t, records(t, st, "a"), "€€\xe2")
		write(t, j, Write{Stream: "a", End: leat.EndTruncated})
		wantEnd(t, st, "a", 5, leat.EndTruncated)
		// Cut means nothing where there are no characters.
		must(t, j, Append{Stream: "b", Cut: true, Data: []byte("\xe2")}, Append{Stream: "b", Data: []byte("\xff")})
		if all := records(t, st, "b"); len(all[0].Carry)+len(all[1].Carry) > 0 {
			t.Error("bytes have a carry")
		}
	})
}

// A piece that is repeated with its key is a duplicate, wherever the text is by
// now, and even after its end.
func TestCutRepeated(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		pieces := []Append{keyed("a", "k0", "x\xe2"), keyed("a", "k1", "\x82"), keyed("a", "k2", "\xac\xf0"), keyed("a", "k3", "\x9d\x84\x9e")}
		for i := range pieces {
			pieces[i].Cut = i < 3
		}
		var was []Appended
		repeat := func() {
			t.Helper()
			for i := range was {
				wantDuplicate(t, must(t, j, pieces[i])[0], was[i])
			}
			for i, again := range must(t, j, pieces[:len(was)]...) {
				wantDuplicate(t, again, was[i])
			}
		}
		for i := range pieces {
			// With those before it, as a publisher would that knows no better.
			done := must(t, j, pieces[:i+1]...)
			was = append(was, done[i])
			repeat()
		}
		refused(t, j, leat.CodeInvalidBody, pieces[1], piece("a", "\x82"))
		write(t, j, Write{Stream: "a", End: leat.EndComplete})
		repeat()
		wantText(t, records(t, st, "a")[:4], "x€𝄞")
	})
}

// Of pieces that several append at the same time those are stored that go on
// where the text is.
func TestCutConcurrently(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		journals := []*Journal{open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})}
		var mu sync.Mutex
		var wg sync.WaitGroup
		stored := 0
		for caller := range 6 {
			wg.Go(func() {
				for i := range 20 {
					done, err := journals[caller%2].Append(context.Background(), piece("a", "\xe2"), piece("a", "\x82"), piece("a", "\xac"))
					if err != nil && leat.CodeOf(err) != leat.CodeInvalidBody && leat.CodeOf(err) != leat.CodeConflict {
						t.Error(i, err)
					}
					mu.Lock()
					stored += len(done)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		all := records(t, st, "a")
		if len(all) != stored || stored < 20 {
			t.Errorf("%d records, %d were answered", len(all), stored)
		}
		wantText(t, all, strings.Repeat("€", (stored+2)/3)[:stored])
	})
}

// A carry does not keep the payload in memory that it was found in.
func TestCarryIsSmall(t *testing.T) {
	a := piece("a", "\x82\xac"+strings.Repeat("x", 1<<10))
	got, err := carry("\xe2", &a, a.Data)
	if err != nil || !bytes.Equal(got, []byte("\xe2")) || cap(got) > 8 {
		t.Errorf("%q of capacity %d, %v", got, cap(got), err)
	}
	if got, err := carry("", &a, []byte("x")); got != nil || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A Write that waits behind a piece which it does not go on after is refused,
// though it was good when it was prepared.
func TestCutConcurrentWrites(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now, Sweep: -1})
		create(t, open(t, st, Options{Now: c.Now, Sweep: -1}), Config{ContentType: "text/plain"}, Write{Stream: "a"})
		busy := appendAll(context.Background(), j, []Append{text("busy", "x")})
		<-g.began
		first := appendAll(context.Background(), j, []Append{piece("a", "x\xe2")})
		waitQueued(t, j, "a", 1)
		written := make(chan error, 1)
		go func() { // ends when the gate is open
			_, err := j.Write(context.Background(), Write{Stream: "a", Appends: []Append{text("", "y")}})
			written <- err
		}()
		waitQueued(t, j, "a", 2)
		g.open()
		<-busy
		if a := <-first; a.err != nil {
			t.Fatal(a.err)
		}
		wantCode(t, <-written, leat.CodeInvalidBody)
		wantText(t, records(t, st, "a"), "x\xe2")
	})
}
