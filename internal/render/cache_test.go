package render

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
)

// plain is an encoding of its own for tests: sequence and payload.
type plain struct{ name string }

func (p plain) String() string { return p.name }

func (p plain) Append(dst []byte, r *leat.Record) []byte {
	return fmt.Appendf(dst, "%d:%s;", r.Offset.Seq, r.Data)
}

func record(seq uint64, data string) *leat.Record {
	return &leat.Record{Stream: "a", Offset: leat.Offset{Epoch: 1, Seq: seq}, Kind: leat.KindText, Data: []byte(data)}
}

func TestTailFramesLieTogether(t *testing.T) {
	c := NewCache(1 << 20)
	var frames []frame.Frame
	want := ""
	for seq := uint64(1); seq <= 100; seq++ {
		frames = append(frames, c.Tail(plain{"p"}, record(seq, "data"), 1))
		want += fmt.Sprintf("%d:data;", seq)
	}
	var r frame.Ranges
	if !r.Fill(frames, 0, 1<<20) || len(r.Bytes) != 1 || string(r.Bytes[0]) != want {
		t.Errorf("100 frames are %d pieces, %q", len(r.Bytes), bytes.Join(r.Bytes, []byte("|")))
	}
}

// Frames of every size come back as they were rendered, whatever page they
// went into, and neighbours keep their order in the queue.
func TestTailFramesOfEverySize(t *testing.T) {
	c := NewCache(1 << 30)
	var frames []frame.Frame
	sizes := []int{0, 1, 100, tailPage / 8, tailPage/4 - 4, tailPage/4 + 1, tailPage - 1, tailPage, tailPage + 1, 5 * tailPage, 3}
	for round := range 4 {
		for i, n := range sizes {
			seq := uint64(1 + round*len(sizes) + i)
			frames = append(frames, c.Tail(plain{"p"}, record(seq, strings.Repeat("x", n)), 1))
		}
	}
	for i, f := range frames {
		want := plain{}.Append(nil, record(f.Seq, strings.Repeat("x", sizes[i%len(sizes)])))
		if !bytes.Equal(f.Bytes(), want) {
			t.Errorf("frame %d has %d bytes, want %d", f.Seq, len(f.Bytes()), len(want))
		}
	}
}

// An encoding that grows the page before it knows that it need not.
type greedy struct{ plain }

func (g greedy) Append(dst []byte, r *leat.Record) []byte {
	return g.plain.Append(slices.Grow(dst, 1000), r)
}

func TestGreedyEncoding(t *testing.T) {
	c := NewCache(1 << 20)
	var frames []frame.Frame
	for seq := uint64(1); seq <= 50_000; seq++ {
		f := c.Tail(greedy{}, record(seq, "data"), 1)
		if want := fmt.Sprintf("%d:data;", seq); string(f.Bytes()) != want {
			t.Fatalf("frame %q, want %q", f.Bytes(), want)
		}
		frames = append(frames, f)
	}
	for _, f := range frames {
		if want := fmt.Sprintf("%d:data;", f.Seq); !f.Evicted() && string(f.Bytes()) != want {
			t.Fatalf("frame %q, want %q", f.Bytes(), want)
		}
	}
}

func TestEncodingsHavePagesOfTheirOwn(t *testing.T) {
	c := NewCache(1 << 20)
	a1 := c.Tail(plain{"a"}, record(1, "x"), 1)
	b1 := c.Tail(plain{"b"}, record(1, "x"), 1)
	a2 := c.Tail(plain{"a"}, record(2, "x"), 1)
	var r frame.Ranges
	r.Fill([]frame.Frame{a1, a2}, 0, 100)
	if len(r.Bytes) != 1 || string(b1.Bytes()) != "1:x;" {
		t.Error("frames of two encodings are mixed in one page")
	}
}

// "Frames live in pages under one bound of bytes": what 64 MiB of records leave
// in a cache of 1 MiB is the newest of them, and no more than the bound. The
// lists of feeds count.
func TestBound(t *testing.T) {
	for _, feeds := range []int{1, 1000} {
		const bound = 1 << 20
		c := NewCache(bound)
		var frames []frame.Frame
		data := strings.Repeat("x", 1000)
		for seq := uint64(1); seq <= 64<<10; seq++ {
			frames = append(frames, c.Tail(plain{"p"}, record(seq, data), feeds))
			if used := c.Used(); used > bound {
				t.Fatalf("%d feeds: %d bytes are held, the bound is %d", feeds, used, bound)
			}
		}
		kept := 0
		for i, f := range frames {
			if !f.Evicted() {
				kept++
			} else if kept > 0 {
				t.Fatalf("%d feeds: frame %d is gone and an older one is not", feeds, i)
			}
		}
		// Pages count whole, full or not.
		if held := kept * (1000 + feeds*frame.Size); held < bound/3 || held > bound {
			t.Errorf("%d feeds: %d frames are kept, %d bytes", feeds, kept, held)
		}
		if c.Evictions() == 0 {
			t.Error("evictions are not counted")
		}
	}
}

// "An evicted page is rendered again byte for byte."
func TestHistoryIsTheSameBytes(t *testing.T) {
	c := NewCache(1 << 20)
	var records []leat.Record
	var want []byte
	for seq := uint64(1); seq <= 300; seq++ {
		r := record(seq, strings.Repeat("y", int(seq)))
		records = append(records, *r)
		want = append(want, c.Tail(plain{"p"}, r, 1).Bytes()...)
	}
	frames, _ := c.History(plain{"p"}, records, nil)
	var r frame.Ranges
	r.Fill(frames, 0, 1<<20)
	if len(r.Bytes) != 1 || !bytes.Equal(r.Bytes[0], want) {
		t.Error("history differs from what the live readers were sent")
	}
	for i, f := range frames {
		if f.Seq != records[i].Offset.Seq {
			t.Fatalf("frame %d has sequence %d", i, f.Seq)
		}
	}
}

// A page of history that is read stays longer than one that is not.
func TestSecondChance(t *testing.T) {
	c := NewCache(1 << 20)
	page := func(seq uint64) []frame.Frame {
		frames, _ := c.History(plain{"p"}, []leat.Record{*record(seq, strings.Repeat("z", 200<<10))}, nil)
		return frames
	}
	read, unread := page(1), page(2)
	for seq := uint64(3); seq < 8; seq++ {
		read[0].Bytes()
		page(seq)
	}
	if read[0].Evicted() || !unread[0].Evicted() {
		t.Errorf("evicted: read %v, unread %v", read[0].Evicted(), unread[0].Evicted())
	}
}

func TestRelease(t *testing.T) {
	c := NewCache(1 << 20)
	frames, release := c.History(plain{"p"}, []leat.Record{*record(1, "x")}, nil)
	release()
	release()
	if c.Used() != 0 || !frames[0].Evicted() {
		t.Errorf("%d bytes are held after the release", c.Used())
	}
	if frames, release := c.History(plain{"p"}, nil, nil); len(frames) != 0 {
		t.Error("frames of nothing")
	} else {
		release()
	}
}

// A page that is larger than the bound can be read all the same: it stays until
// the next is brought, and only that long.
func TestPageLargerThanTheBound(t *testing.T) {
	c := NewCache(1 << 20)
	tail := c.Tail(plain{"p"}, record(1, "tail"), 1)
	large, _ := c.History(plain{"p"}, []leat.Record{*record(2, strings.Repeat("x", 3<<20))}, nil)
	if large[0].Evicted() || tail.Evicted() {
		t.Errorf("evicted: the page %v, the tail %v", large[0].Evicted(), tail.Evicted())
	}
	next, _ := c.History(plain{"p"}, []leat.Record{*record(3, "x")}, nil)
	if !large[0].Evicted() || next[0].Evicted() {
		t.Errorf("evicted: the page %v, the next %v", large[0].Evicted(), next[0].Evicted())
	}
	if used := c.Used(); used > 1<<20 {
		t.Errorf("%d bytes are held", used)
	}
}

// Evictions counts what lists can drop, so that who has them knows when to look.
func TestEvictions(t *testing.T) {
	c := NewCache(1 << 20)
	var frames []frame.Frame
	for seq := uint64(1); seq <= 5000; seq++ {
		frames = append(frames, c.Tail(plain{"p"}, record(seq, strings.Repeat("x", 1000)), 3))
	}
	gone := 0
	for _, f := range frames {
		if f.Evicted() {
			gone++
		}
	}
	if got := c.Evictions(); gone == 0 || got != uint64(3*gone) {
		t.Errorf("%d frames are gone from 3 lists each, Evictions says %d", gone, got)
	}
}

// Large payloads are pages as the store has given them, not copied, and go together:
// a page of history that is partly there would be read again for ever.
func TestPayloadsAsTheyAre(t *testing.T) {
	c := NewCache(100 << 10)
	var records []leat.Record
	for seq := range uint64(4) {
		records = append(records, *record(seq+1, strings.Repeat("x", 40<<10))) // more than the bound
	}
	records = append(records, leat.Record{Stream: "a", Offset: leat.Offset{Epoch: 1, Seq: 5}, Kind: leat.KindEnd, Data: []byte("reason")})
	frames, release := c.History(Bytes, records, nil)
	for i, f := range frames {
		switch {
		case f.Seq != records[i].Offset.Seq:
			t.Errorf("frame %d is of record %d", i, f.Seq)
		case i == 4 && (f.Bytes() == nil || f.Len() != 0):
			t.Errorf("the end of a stream is %q", f.Bytes())
		case i < 4 && (f.Len() != 40<<10 || &f.Bytes()[0] != &records[i].Data[0]):
			t.Errorf("frame %d is a copy, or of another record", i)
		}
	}
	if used, want := c.Used(), int64(4*40<<10); used < want || used > want+1<<10 {
		t.Errorf("%d bytes are held, want a little more than %d", used, want)
	}
	for range 3 { // the second chance, and then the end
		c.History(Bytes, records[:1], nil)
	}
	for _, f := range frames {
		if !f.Evicted() {
			t.Errorf("frame %d is still there", f.Seq)
		}
	}
	if c.Evictions() < uint64(len(frames)) {
		t.Errorf("%d evictions", c.Evictions())
	}
	release()
	if used := c.Used(); used > 100<<10 {
		t.Errorf("%d bytes are held, bound %d", used, 100<<10)
	}

	small := []leat.Record{*record(6, strings.Repeat("x", 5<<10)), *record(7, ""), *record(8, "y")}
	frames, _ = c.History(Bytes, small, nil)
	var r frame.Ranges
	if !r.Fill(frames, 0, 1<<20) || len(r.Bytes) != 1 {
		t.Errorf("small payloads are %d pieces, want one page", len(r.Bytes))
	}
}

// The payloads of records are given back once each: at once where they are copied, and
// where they are pages when these go.
func TestPayloadsAreGivenBack(t *testing.T) {
	c := NewCache(0)
	given := map[*byte]int{}
	recycle := func(data []byte) {
		if len(data) > 0 {
			given[&data[0]]++
		}
	}
	var records []leat.Record
	for seq := range uint64(4) {
		records = append(records, *record(seq+1, strings.Repeat("x", 5<<10)))
	}
	once := func(what string) {
		t.Helper()
		for i := range records {
			if n := given[&records[i].Data[0]]; n != 1 {
				t.Errorf("%s: payload %d was given back %d times", what, i, n)
			}
		}
		clear(given)
	}
	_, release := c.History(plain{"p"}, records, recycle)
	once("copied")
	release()

	_, release = c.History(Bytes, records, recycle)
	if len(given) > 0 {
		t.Error("a payload was given back that is a page")
	}
	release()
	release()
	once("released")
}
