package ingest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

const (
	binaryType = "application/octet-stream"
	ms         = time.Millisecond
)

func chunks(r io.Reader, limit int) *Chunks {
	return NewChunks(Body{Reader: r, ContentType: binaryType, MaxRecord: limit}, nil)
}

// A timed reader brings each piece after its delay, and then an error.
type timed struct {
	pieces []piece
	end    error
}

type piece struct {
	after time.Duration
	data  string
}

func (r *timed) Read(p []byte) (int, error) {
	if len(r.pieces) == 0 {
		return 0, r.end
	}
	next := &r.pieces[0]
	time.Sleep(next.after) // in the time of the test
	next.after = 0
	n := copy(p, next.data)
	if next.data = next.data[n:]; next.data == "" {
		r.pieces = r.pieces[1:]
	}
	return n, nil
}

// A chunk that came out, and when.
type cut struct {
	at   time.Duration
	data string
}

// drain takes all chunks, and is busy for a while after each. It looks at their
// bytes at the end: what was handed over must not be touched again.
func drain(t *testing.T, c *Chunks, busy time.Duration) (cuts []cut, err error) {
	t.Helper()
	var datas [][]byte
	begin := time.Now()
	for {
		a, err := c.Next()
		if err != nil {
			if again, e := c.Next(); e != err || again.Data != nil {
				t.Errorf("the error %v became %v", err, e)
			}
			for i := range cuts {
				cuts[i].data = string(datas[i])
			}
			return cuts, err
		}
		if a.Form != journal.FormBody || a.ContentType != binaryType || a.Stream+a.Type+a.Key != "" || len(a.Data) == 0 {
			t.Errorf("got %+v", a)
		}
		cuts = append(cuts, cut{at: time.Since(begin)})
		datas = append(datas, a.Data)
		time.Sleep(busy)
	}
}

// Each chunk is handed over when it is full or 10 ms after its first byte
// arrived, whichever is first.
func TestChunks(t *testing.T) {
	x := strings.Repeat("x", 5)
	for _, test := range []struct {
		name string
		in   []piece
		busy time.Duration
		want []cut
	}{
		{name: "nothing"},
		{"one byte, then the end later", []piece{{3 * ms, "a"}, {50 * ms, ""}}, 0, []cut{{13 * ms, "a"}}},
		{"one byte, then the end", []piece{{3 * ms, "a"}}, 0, []cut{{3 * ms, "a"}}},
		{"what comes within 10 ms is one", []piece{{0, "a"}, {9 * ms, "b"}, {9 * ms, "c"}, {50 * ms, ""}}, 0, []cut{{10 * ms, "ab"}, {28 * ms, "c"}}},
		{"later bytes do not put it off", []piece{{0, "a"}, {4 * ms, "b"}, {4 * ms, "c"}, {4 * ms, "d"}, {50 * ms, ""}}, 0, []cut{{10 * ms, "abc"}, {22 * ms, "d"}}},
		{"full at once", []piece{{ms, x + x}, {50 * ms, ""}}, 0, []cut{{ms, x}, {ms, x}}},
		{"full in the middle of a piece", []piece{{0, "abc"}, {2 * ms, "defg"}, {50 * ms, ""}}, 0, []cut{{2 * ms, "abcde"}, {12 * ms, "fg"}}},
		// While the caller is busy more bytes gather up to one chunk, and what
		// is due is there when it comes back.
		{"busy", []piece{{0, x}, {20 * ms, "a"}, {20 * ms, "b"}, {500 * ms, ""}}, 100 * ms, []cut{{0, x}, {100 * ms, "ab"}}},
		{"busy, not yet due", []piece{{0, x}, {95 * ms, "a"}, {500 * ms, ""}}, 100 * ms, []cut{{0, x}, {105 * ms, "a"}}},
		{"busy, at the end", []piece{{0, x}, {95 * ms, "a"}}, 100 * ms, []cut{{0, x}, {100 * ms, "a"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := chunks(&timed{test.in, io.EOF}, 5)
				defer c.Close()
				got, err := drain(t, c, test.busy)
				if err != io.EOF || len(got) != len(test.want) {
					t.Fatalf("got %v, %v, want %v", got, err, test.want)
				}
				for i := range got {
					if got[i] != test.want[i] {
						t.Errorf("chunk %d: got %v, want %v", i, got[i], test.want[i])
					}
				}
			})
		})
	}
}

// A chunk has 64 KiB at the most, or MaxRecord if that is less.
func TestChunksLimit(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 20<<10)
	for _, test := range []struct{ maxRecord, want int }{
		{1 << 20, 64 << 10}, {64<<10 + 1, 64 << 10}, {64 << 10, 64 << 10}, {64<<10 - 1, 64<<10 - 1}, {100, 100}, {1, 1}, {int(^uint(0) >> 1), 64 << 10},
	} {
		in := text[:min(len(text), 1000*test.want)]
		c := chunks(strings.NewReader(in), test.maxRecord)
		var got strings.Builder
		for {
			a, err := c.Next()
			got.Write(a.Data)
			if err == io.EOF {
				break
			}
			if last := got.Len() == len(in); err != nil || len(a.Data) != test.want && !last {
				t.Fatalf("MaxRecord %d: a chunk of %d bytes, %v", test.maxRecord, len(a.Data), err)
			}
			if cap(a.Data) > len(a.Data)+len(a.Data)/4+16 {
				t.Errorf("%d bytes are kept in %d", len(a.Data), cap(a.Data))
			}
		}
		c.Close()
		if got.String() != in {
			t.Errorf("MaxRecord %d: the bytes are not those of the body", test.maxRecord)
		}
	}
}

// No byte is lost when the body breaks: what has arrived is handed over at
// once, then the error, which says how much that was.
func TestChunksStop(t *testing.T) {
	refused := leat.Errorf(leat.CodeUnavailable, "stopping").Advise("later")
	for _, test := range []struct {
		err  error
		code leat.Code
	}{
		{io.ErrUnexpectedEOF, leat.CodeInvalidBody},
		{errors.New("connection reset"), leat.CodeInvalidBody},
		{os.ErrDeadlineExceeded, leat.CodeBodyTimeout},
		{refused, leat.CodeUnavailable},
	} {
		for _, together := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var r io.Reader = &timed{[]piece{{0, "abcdefg"}, {2 * ms, "hi"}}, test.err}
				if together {
					r = &withError{r}
				}
				c := chunks(r, 5)
				defer c.Close()
				got, err := drain(t, c, 0)
				e := wantCode(t, err, test.code)
				if len(got) != 2 || got[0] != (cut{0, "abcde"}) || got[1] != (cut{2 * ms, "fghi"}) || !errors.Is(err, test.err) {
					t.Errorf("got %v, then %v", got, err)
				}
				if e != refused && e.Fields["received"] != int64(9) {
					t.Errorf("%v: received is %v, want 9", err, e.Fields["received"])
				}
			})
		}
	}
}

// withError gives the error of a timed reader with its last bytes.
type withError struct{ io.Reader }

func (w *withError) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if r := w.Reader.(*timed); err == nil && len(r.pieces) == 0 {
		err = r.end
	}
	return n, err
}

// The memory is that of two chunks: while the caller has one, the goroutine
// reads the next and no further. A quiet body costs less.
func TestChunksMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &counted{r: io.MultiReader(io.LimitReader(endless{}, 10*chunkBytes), &timed{[]piece{{50 * ms, "a"}, {50 * ms, "b"}, {50 * ms, "c"}}, io.EOF})}
		c := chunks(in, 1<<20)
		defer c.Close()
		synctest.Wait()
		if in.n != chunkBytes {
			t.Fatalf("read %d bytes ahead", in.n)
		}
		for i := range 10 {
			a, err := c.Next()
			if err != nil || len(a.Data) != chunkBytes {
				t.Fatal(len(a.Data), err)
			}
			synctest.Wait() // all that the goroutine would do, it has done
			if want := min(i+2, 10) * chunkBytes; in.n != want || cap(c.buf) > chunkBytes {
				t.Fatalf("after chunk %d: read %d bytes, want %d; the buffer has %d", i+1, in.n, want, cap(c.buf))
			}
		}
		for _, want := range []string{"a", "b"} {
			if a, err := c.Next(); err != nil || string(a.Data) != want {
				t.Fatalf("got %.9q, %v, want %q", a.Data, err, want)
			}
		}
		if synctest.Wait(); cap(c.buf) != minBuffer {
			t.Errorf("a body of which little comes has a buffer of %d bytes", cap(c.buf))
		}
		if cuts, err := drain(t, c, 0); err != io.EOF || len(cuts) != 1 || cuts[0].data != "c" {
			t.Error(cuts, err)
		}
	})
}

// Each byte is moved twice at the most, however the body is cut in pieces and
// in time, and comes out as it came in. Chunks are taken during reads.
func TestChunksLinear(t *testing.T) {
	g := gathered{size: minBuffer}
	var out []byte
	moved, read := 0, 0
	before := g.buf
	for i := range 200_000 {
		free := g.makeRoom(chunkBytes)
		if n := len(g.rest()); n > 0 && &g.buf[g.taken] != &before[len(before)-n] {
			moved += n
		}
		if len(free) == 0 || i%5003 == 0 || i%50_000 < 9000 && i%7 == 0 {
			out = append(out, g.cut(chunkBytes)...)
		}
		n := min(1+i%3, len(free))
		for k := range n {
			free[k] = byte((read + k) % 251)
		}
		g.buf = g.buf[:len(g.buf)+n]
		read += n
		before = g.buf
	}
	if moved > 2*read || moved == 0 {
		t.Errorf("%d bytes were moved for %d that were read", moved, read)
	}
	out = append(out, g.cut(chunkBytes)...)
	for i, b := range out {
		if b != byte(i%251) {
			t.Fatalf("byte %d of %d is wrong", i, len(out))
		}
	}
	if len(out) != read {
		t.Errorf("got %d bytes of %d", len(out), read)
	}
}

// Close ends the goroutine when the caller stops early, whatever it waits for;
// synctest.Test does not return before it has ended. It interrupts a Read, and
// nothing when the body has come to its end.
func TestChunksClose(t *testing.T) {
	for _, test := range []struct {
		name       string
		in         string
		take       int
		more       bool // the body does not end after in
		interrupts int
	}{
		{"in a read, before the first byte", "", 0, true, 1},
		{"in a read", "abc", 0, true, 1},
		{"in a read, after a chunk", "abc", 1, true, 1},
		{"with a chunk that nobody took", "abcdefgh", 0, true, 1},
		{"with the next chunk", "abcdefghijklm", 1, true, 1},
		{"at the end, which nobody asked for", "abc", 1, false, 0},
		{"at the end", "abc", 2, false, 0},
		{"of no bytes", "", 0, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stalled := &stalled{make(chan struct{})}
				interrupts := 0
				r := io.Reader(strings.NewReader(test.in))
				if test.more {
					r = io.MultiReader(r, stalled)
				}
				in := &counted{r: r}
				c := NewChunks(Body{Reader: in, MaxRecord: 5}, func() { interrupts++; close(stalled.open) })
				for range test.take {
					c.Next()
				}
				synctest.Wait()
				begin := time.Now()
				c.Close()
				c.Close() // again is allowed
				if interrupts != test.interrupts || time.Since(begin) != 0 {
					t.Errorf("interrupted %d times, want %d; closing took %v", interrupts, test.interrupts, time.Since(begin))
				}
				// What had arrived can be had, and then there is an error.
				before := min(5*test.take, len(test.in))
				var rest int
				for {
					a, err := c.Next()
					rest += len(a.Data)
					if err != nil {
						break
					}
				}
				if before+rest != in.n {
					t.Errorf("got %d bytes and then %d of %d", before, rest, in.n)
				}
			})
		})
	}
}

// stalled brings nothing until it is opened, and then an error.
type stalled struct{ open chan struct{} }

func (s *stalled) Read([]byte) (int, error) {
	<-s.open
	return 0, os.ErrDeadlineExceeded
}

// FuzzChunks: whatever the pieces and whenever they come, no byte is lost or
// repeated, and the cuts are where the size and the time have them.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("hello, world"), []byte{1, 0, 5, 2, 3, 4}, uint8(4), false)
	f.Add([]byte("hello, world"), []byte{12, 0}, uint8(255), true)
	f.Add(bytes.Repeat([]byte("0123456789"), 2000), []byte{200, 1, 255, 0, 255, 0}, uint8(99), true)
	f.Fuzz(func(t *testing.T, text, script []byte, limit uint8, broken bool) {
		if len(text) > 20_000 {
			return
		}
		// Pairs of a size and a delay, over and over. No sum of delays is
		// 10 ms, so that no two things happen at once of which one decides.
		var in []piece
		for i, rest := 0, string(text); len(rest) > 0; i += 2 {
			p := piece{0, rest}
			if i+1 < len(script) {
				p.after = time.Duration(script[i+1]%6) * 3 * ms
				p.data = rest[:min(len(rest), 1+int(script[i]))]
			}
			rest = rest[len(p.data):]
			in = append(in, p)
		}
		end := io.EOF
		if broken {
			end = io.ErrUnexpectedEOF
		}
		most := 37*int(limit) + 1 // to beyond minBuffer
		want := modelChunks(in, most)
		synctest.Test(t, func(t *testing.T) {
			c := chunks(&timed{in, end}, most)
			defer c.Close()
			got, err := drain(t, c, 0)
			if (err == io.EOF) == broken {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("got %d chunks, want %d:\n%v\n%v", len(got), len(want), got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("chunk %d: got %v, want %v", i, got[i], want[i])
				}
			}
		})
	})
}

// modelChunks is Chunks byte by byte. It changes nothing of in.
func modelChunks(in []piece, limit int) (cuts []cut) {
	var now, begin time.Duration
	var data []byte
	flush := func(at time.Duration) {
		if len(data) > 0 {
			cuts = append(cuts, cut{at, string(data)})
			data = nil
		}
	}
	for _, p := range in {
		if now += p.after; now > begin+chunkDelay {
			flush(begin + chunkDelay)
		}
		for _, b := range []byte(p.data) {
			if len(data) == 0 {
				begin = now
			}
			if data = append(data, b); len(data) == limit {
				flush(now)
			}
		}
	}
	flush(now)
	return cuts
}

func BenchmarkChunks(b *testing.B) {
	const size = 16 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		c := chunks(io.LimitReader(endless{}, size), 1<<20)
		for {
			if _, err := c.Next(); err != nil {
				break
			}
		}
		c.Close()
	}
}
