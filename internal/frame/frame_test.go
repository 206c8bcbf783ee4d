package frame

import (
	"bytes"
	"testing"
)

// pages returns frames a to e: a, b and c lie together, d and e in a second
// page, apart from each other.
func pages() (frames []Frame, first, second *Page) {
	first = NewPage([]byte("aaabbccccc"))
	second = NewPage([]byte("ddd...e"))
	return []Frame{
		first.Frame(1, 0, 3), first.Frame(4, 3, 2), first.Frame(5, 5, 5),
		second.Frame(9, 0, 3), second.Frame(12, 6, 1),
	}, first, second
}

func TestFillJoinsNeighbours(t *testing.T) {
	frames, _, _ := pages()
	for _, test := range []struct {
		skip, max int
		want      []string
	}{
		{0, 100, []string{"aaabbccccc", "ddd", "e"}},
		{2, 100, []string{"abbccccc", "ddd", "e"}},
		{0, 10, []string{"aaabbccccc"}},
		{0, 9, []string{"aaabb"}},
		{1, 9, []string{"aabbccccc"}},
		{0, 1, []string{"aaa"}}, // at least one frame, whole
		{0, 0, []string{"aaa"}},
	} {
		var r Ranges
		if !r.Fill(frames, test.skip, test.max) {
			t.Fatalf("Fill(skip %d, max %d) found nothing", test.skip, test.max)
		}
		var got []string
		for _, b := range r.Bytes {
			got = append(got, string(b))
		}
		if !equal(got, test.want) {
			t.Errorf("Fill(skip %d, max %d) = %q, want %q", test.skip, test.max, got, test.want)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Whatever number of bytes each write takes, a reader that goes on where
// Written says is sent every byte once.
func TestWrittenAtEveryCut(t *testing.T) {
	frames, _, _ := pages()
	const want = "aaabbcccccddde"
	for step := 1; step <= len(want)+1; step++ {
		var got []byte
		after, next, sent := uint64(0), uint64(0), 0
		for {
			var left []Frame
			for _, f := range frames {
				if f.Seq > after {
					left = append(left, f)
				}
			}
			if sent > 0 && left[0].Seq != next {
				t.Fatalf("step %d: the frame begun is %d, not %d", step, left[0].Seq, next)
			}
			var r Ranges
			if !r.Fill(left, sent, 6) {
				break
			}
			n := min(step, r.Len())
			got = append(got, bytes.Join(r.Bytes, nil)[:n]...)
			last, nx, s := r.Written(n)
			if last > 0 {
				after = last
			}
			next, sent = nx, s
		}
		if string(got) != want || after != 12 || sent != 0 {
			t.Errorf("step %d: sent %q, after %d, %d more bytes", step, got, after, sent)
		}
	}
}

func TestEviction(t *testing.T) {
	frames, first, second := pages()
	var r Ranges
	second.Evict()
	if !frames[3].Evicted() || frames[0].Evicted() || frames[3].Bytes() != nil {
		t.Error("Evict did not take the bytes of its own frames alone")
	}
	if !r.Fill(frames, 0, 100) || r.Len() != 10 {
		t.Errorf("Fill goes to the first frame that is gone: got %d bytes, want 10", r.Len())
	}
	first.Evict()
	if r.Fill(frames, 0, 100) {
		t.Error("Fill found bytes in an evicted page")
	}
}

// "used says that a frame was read since the cache last looked."
func TestTakeUsed(t *testing.T) {
	frames, first, _ := pages()
	if first.TakeUsed() {
		t.Error("a new page was used")
	}
	frames[1].Bytes()
	if !first.TakeUsed() || first.TakeUsed() {
		t.Error("a page that was read once is used once")
	}
}

func TestResetDropsReferences(t *testing.T) {
	frames, _, _ := pages()
	var r Ranges
	r.Fill(frames, 0, 100)
	r.Reset()
	if b := r.Bytes[:3]; b[0] != nil || b[2] != nil || r.frames[:5][4].page != nil {
		t.Error("an idle writer still refers to pages")
	}
}

// Whole counts the frames whose last byte is sent, wherever a write ends.
func TestWholeAtEveryCut(t *testing.T) {
	frames, first, _ := pages()
	frames = append([]Frame{frames[0], first.Frame(2, 3, 0)}, frames[1:]...) // one without bytes too
	for skip := range 3 {
		var r Ranges
		r.Fill(frames, skip, 100)
		for n := range r.Len() + 1 {
			want, end := 0, -skip
			for _, f := range frames {
				if end += f.Len(); end <= n {
					want++
				}
			}
			if got := r.Whole(n); got != want {
				t.Errorf("skip %d: after %d bytes %d are whole, want %d", skip, n, got, want)
			}
		}
	}
	var none Ranges
	if none.Whole(0) != 0 {
		t.Error("there are frames in nothing")
	}
}

// Borrowed memory is given back once: when its page was evicted and no Ranges has a piece
// of it any more.
func TestBorrowedMemoryIsGivenBack(t *testing.T) {
	given := 0
	memory := []byte("aaabb")
	p := NewBorrowed(memory, func(b []byte) {
		if given++; &b[0] != &memory[0] || len(b) != len(memory) {
			t.Errorf("%q was given back", b)
		}
	})
	frames := []Frame{p.Frame(1, 0, 3), p.Frame(2, 3, 2)}
	var one, two, late Ranges
	one.Fill(frames, 0, 100)
	two.Fill(frames[1:], 1, 100)
	one.Reset()
	one.Fill(frames, 2, 100) // resets
	p.Evict()
	p.Evict()
	if late.Fill(frames, 0, 100) || given != 0 || string(one.Bytes[0]) != "abb" {
		t.Errorf("evicted while it is looked at: given back %d times", given)
	}
	one.Reset()
	one.Reset()
	if given != 0 {
		t.Error("it was given back while one more looks at it")
	}
	two.Reset()
	if given != 1 {
		t.Errorf("it was given back %d times, want once", given)
	}
	if late.Fill(frames, 0, 100) || frames[0].Bytes() != nil {
		t.Error("there are bytes after that")
	}
}

// What is kept is never given back.
func TestBorrowedMemoryIsKept(t *testing.T) {
	kept := func(look func(f Frame) []byte) {
		t.Helper()
		p := NewBorrowed([]byte("aaa"), func([]byte) { t.Error("it was given back") })
		got := look(p.Frame(1, 0, 3))
		p.Evict()
		if string(got) != "aaa" {
			t.Errorf("kept %q", got)
		}
	}
	kept(Frame.Bytes)
	kept(func(f Frame) []byte {
		var r Ranges
		r.Fill([]Frame{f}, 0, 100)
		b := r.Keep()[0]
		r.Reset()
		return b
	})
}
