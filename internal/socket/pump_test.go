package socket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// trickle is a sink that takes what its grants say, one for each write, and would
// block when that is less than it was given. When there are none it takes all.
type trickle struct {
	grants []int
	got    []byte
	err    error // after the grants
}

func (k *trickle) writev(bufs [][]byte) (int, error) {
	all := bytes.Join(bufs, nil)
	if len(k.grants) == 0 {
		if k.err != nil {
			return 0, k.err
		}
		k.got = append(k.got, all...)
		return len(all), nil
	}
	n := min(k.grants[0], len(all))
	k.grants = k.grants[1:]
	k.got = append(k.got, all[:n]...)
	if n < len(all) {
		return n, errWouldBlock
	}
	return n, nil
}

// witness is a script that writes down all that it gives away, in order: that is what
// a client has to get. Peek gives many frames, as a feed does.
type witness struct {
	t testing.TB
	*script
	given []byte
	count Sent // of that, in frames
	empty bool // it has no blocks
}

func newWitness(t testing.TB) *witness { return &witness{t: t, script: newScript()} }

func (s *witness) Peek(out *frame.Ranges, size int) State {
	state := s.script.Peek(out, size)
	if state == Due {
		n := s.next + 1
		for n < len(s.frames) && s.notices[n] == "" {
			n++
		}
		out.Fill(s.frames[s.next:n], s.sent, size)
	}
	return state
}

func (s *witness) Advance(out *frame.Ranges, n int) {
	s.given = append(s.given, bytes.Join(out.Bytes, nil)[:n]...)
	before := s.next
	s.script.Advance(out, n)
	s.count.Bytes += int64(n)
	s.count.Records += int64(s.next - before)
}

func (s *witness) give(block []byte) []byte {
	if !s.Between() {
		s.t.Error("a block in the middle of a frame")
	}
	if s.empty {
		return nil
	}
	s.given = append(s.given, block...)
	return block
}

func (s *witness) Notice() []byte                  { return s.give(s.script.Notice()) }
func (s *witness) Heartbeat() []byte               { return s.give(s.script.Heartbeat()) }
func (s *witness) Farewell(d time.Duration) []byte { return s.give(s.script.Farewell(d)) }

// lose forgets some of the frames that follow, as if their records were removed, and
// tells of it.
func (s *witness) lose(n int) {
	if s.Between() {
		s.next = min(s.next+n, len(s.frames))
		s.notices[s.next] = "<lost>"
	}
}

const wireHead = "HTTP/1.1 200 OK\r\n\r\n"

func newPump(s Source) *pump {
	p := &pump{source: s}
	p.begin([]byte(wireHead), []byte("<head>"))
	return p
}

// decode returns the body that a client finds in wire, and whether it has an end.
func decode(t testing.TB, wire []byte) (body string, clean bool) {
	t.Helper()
	chunks, ok := bytes.CutPrefix(wire, []byte(wireHead))
	if !ok {
		t.Fatalf("the answer begins with %.50q", wire)
	}
	r := bufio.NewReader(bytes.NewReader(chunks))
	b, err := io.ReadAll(httputil.NewChunkedReader(r))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("after %d bytes: %v", len(b), err)
	}
	if rest, _ := io.ReadAll(r); err == nil && string(rest) != "\r\n" {
		t.Errorf("behind the last chunk stands %q", rest)
	}
	return string(b), err == nil
}

// FuzzPump: whatever a sink takes at a time, and whatever a Source answers meanwhile,
// a client gets what the Source gave, each byte once and in order, and an end exactly
// if there was one.
func FuzzPump(f *testing.F) {
	f.Add([]byte{1, 1, 1, 1, 1, 1}, uint64(1), uint8(0))
	f.Add([]byte{7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, uint64(2), uint8(1))
	f.Add([]byte{20, 0, 0, 33, 0, 0, 255, 1, 2, 3}, uint64(3), uint8(2))
	f.Add([]byte{3, 0, 200, 0, 200, 0, 200}, uint64(4), uint8(3))
	f.Add([]byte{3, 0, 200, 0, 200, 0, 200}, uint64(5), uint8(9))
	rng := rand.New(rand.NewPCG(1, 2))
	for seed := range uint64(300) {
		grants := make([]byte, rng.IntN(60))
		for i := range grants {
			grants[i] = byte(rng.IntN(1 << (1 + rng.IntN(8))))
		}
		f.Add(grants, seed, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, grants []byte, seed uint64, flags uint8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		src, sink, sc := newWitness(t), &trickle{}, newScratch()
		src.empty = flags&4 != 0
		p := &pump{source: src, plain: flags&8 != 0}
		p.begin([]byte(wireHead), []byte("<head>"))
		for range 1 + rng.IntN(20) {
			// All kinds of sizes, none too.
			src.add(strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(1<<rng.IntN(9))))
			if rng.IntN(5) == 0 {
				src.notices[len(src.frames)] = "<gap>"
			}
		}
		end := Idle
		if flags&1 != 0 {
			end = End
		}
		if flags&3 == 3 {
			end = Cut
		}
		src.finish(end)
		state := blocked
		for _, g := range grants {
			sink.grants = []int{int(g)}
			if state, _ = p.run(sink, &sc); state > unready {
				break
			}
			switch rng.IntN(12) {
			case 0:
				src.lose(1 + rng.IntN(3))
			case 1:
				if p.between() {
					p.send(src.Heartbeat())
				}
			case 2:
				src.add("late")
			case 3:
				p.parting = rng.IntN(3) == 0
			}
		}
		for sink.grants = nil; state == blocked || state == unready; {
			state, _ = p.run(sink, &sc)
		}
		if state == paused {
			p.parting = true
			state, _ = p.run(sink, &sc)
			for state == unready {
				state, _ = p.run(sink, &sc)
			}
		}
		var body string
		clean := state == ended
		if p.plain { // what ends too soon is known by its length
			body = string(sink.got[len(wireHead):])
		} else {
			body, clean = decode(t, sink.got)
		}
		// What could not be sent of a chunk was filled.
		if want := "<head>" + string(src.given); strings.ReplaceAll(body, "\n", "") != want {
			t.Fatalf("state %d: the client got\n%q, was given\n%q", state, body, want)
		}
		if sc.sent != src.count {
			t.Errorf("%+v were counted, and it was %+v", sc.sent, src.count)
		}
		if clean != (state == ended) {
			t.Errorf("state %d, but an end: %v", state, clean)
		}
	})
}

// What a client gets from a pump is what it gets from the Writer.
func FuzzPumpAgainstWriter(f *testing.F) {
	f.Add([]byte("\x05\x00\x20\x80"), uint16(7), false)
	f.Add([]byte("\xff\xff\xff\x01\x00\x00\x01\x90"), uint16(1), true)
	f.Fuzz(func(t *testing.T, sizes []byte, piece uint16, isCut bool) {
		total := 0
		make := func() *script {
			s := newScript()
			for i, n := range sizes {
				total += int(n) * int(n)
				s.add(strings.Repeat(string(rune('a'+i%26)), int(n)*int(n)))
				if n%16 == 0 {
					s.notices[i] = "<gap>"
				}
			}
			if s.end = End; isCut {
				s.end = Cut
			}
			return s
		}
		want, wantState := newLine(wide), ended
		reason := NewWriter(Options{}).Serve(t.Context(), Conn{Output: want, Source: make(), Bell: NewBell(), Head: []byte("<head>"), Heartbeat: time.Hour})
		if reason == ReasonCut {
			wantState = cut
		}
		sink, sc, state := &trickle{}, newScratch(), blocked
		for p := newPump(make()); state == blocked || state == unready; {
			sink.grants = []int{max(int(piece), total/1000)} // in time
			if piece == 0 {
				sink.grants = nil
			}
			state, _ = p.run(sink, &sc)
		}
		body, clean := decode(t, sink.got)
		if body != want.got() || state != wantState || clean == isCut {
			t.Errorf("state %d, an end: %v, %d bytes; the Writer: %s, %d bytes", state, clean, len(body), reason, len(want.got()))
		}
	})
}

// A farewell stands behind one more write and the frame that was begun, however slowly
// that is taken, and before the next. In the middle of a frame whose rest does not come there is none.
func TestPumpParts(t *testing.T) {
	for _, test := range []struct {
		name  string
		grant int // of the first writes: the head, and a part of the frame
		torn  bool
		want  string
		state progress
	}{
		{"before the first frame", 0, false, "<head>" + strings.Repeat("x", 1000), ended},
		{"in a frame", 100, false, "<head>" + strings.Repeat("x", 1000), ended},
		{"in a torn frame", 100, true, "<head>" + strings.Repeat("x", 95), cut},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := &torn{script: newScript()}
			src.add(strings.Repeat("x", 1000))
			src.add(strings.Repeat("y", 1000))
			src.brought = !test.torn
			p, sc := newPump(src), newScratch()
			sc.spread = time.Second
			sink := &trickle{grants: []int{wide, test.grant}}
			if test.grant == 0 {
				p.parting = true
			}
			p.run(sink, &sc)
			p.parting = true
			state, _ := p.run(sink, &sc)
			body, clean := decode(t, sink.got)
			rest, ok := strings.CutPrefix(body, test.want)
			if !ok || state != test.state || clean != (state == ended) {
				t.Fatalf("state %d, an end: %v, body %q", state, clean, body)
			}
			if said := strings.HasPrefix(rest, "<bye ") && strings.Count(rest, "<bye") == 1; said != clean || !clean && rest != "" {
				t.Errorf("the farewell is %q", rest)
			}
		})
	}
}

// A chunk that was announced is filled where what was to be in it is gone: clients hold
// back what is not a whole chunk.
func TestPumpFillsChunk(t *testing.T) {
	src := newWitness(t)
	src.add(strings.Repeat("x", 40_000), strings.Repeat("y", 20_000))
	p, sc := newPump(src), newScratch()
	sink := &trickle{grants: []int{wide, 100}}
	p.run(sink, &sc)
	if src.lose(1); src.next != 0 {
		t.Fatal("lost in the middle of a frame")
	}
	sink.grants = []int{len("ea60\r\n") + 40_000 - 100}
	p.run(sink, &sc)
	src.lose(1)
	for n := 0; !p.between(); n++ {
		sink.grants = []int{5000} // line feeds are taken piece by piece, too
		if state, err := p.run(sink, &sc); state == failed || n > 100 {
			t.Fatal(state, err)
		}
	}
	want := "<head>" + strings.Repeat("x", 40_000) + "<lost>" + strings.Repeat("\n", 20_000-len("<lost>"))
	if body, _ := decode(t, sink.got); body != want {
		t.Errorf("got %d bytes: %.100q", len(body), body[min(len(body), 40_000):])
	}
	p.send(src.Heartbeat())
	p.run(sink, &sc)
	if body, _ := decode(t, sink.got); body != want+"<beat>" {
		t.Errorf("the heartbeat behind it is %q", body[len(want):])
	}
}

// One that is too slow gets a farewell and the end, once what was announced is sent.
func TestPumpLeaves(t *testing.T) {
	x, y := strings.Repeat("x", 1000), strings.Repeat("y", 1000)
	for _, test := range []struct {
		name  string
		grant int // of the write of a chunk of two frames, less its head
		want  string
		state progress
	}{
		{"between chunks", wide, x + y, ended},
		{"in a chunk", 1000, x + y, ended},
		{"in a frame", 1990, x + y, ended},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := newWitness(t)
			src.add(x, y)
			p, sc := newPump(src), newScratch()
			sink := &trickle{grants: []int{wide, len("7d0\r\n") + test.grant}}
			p.run(sink, &sc)
			src.add("this comes later")
			src.fallBehind()
			state, _ := p.run(sink, &sc)
			body, clean := decode(t, sink.got)
			farewell, ok := strings.CutPrefix(body, "<head>"+test.want)
			if state != test.state || clean != (state == ended) || !ok {
				t.Fatalf("state %d, an end: %v, body %q", state, clean, body)
			}
			if !strings.HasPrefix(farewell, "<bye ") || !strings.HasSuffix(farewell, ">") || strings.Count(farewell, "<") != 1 {
				t.Errorf("the farewell is %q", farewell)
			}
		})
	}
}

// A Source that has no farewell is cut: an end would say that it was complete.
func TestPumpWithoutFarewell(t *testing.T) {
	src := newWitness(t)
	src.empty = true
	p, sc, sink := newPump(src), newScratch(), &trickle{}
	p.parting = true
	state, _ := p.run(sink, &sc)
	if _, clean := decode(t, sink.got); state != cut || clean {
		t.Errorf("state %d, an end: %v", state, clean)
	}
}

// "After as much the next connection has its turn."
func TestPumpTakesTurns(t *testing.T) {
	src := newWitness(t)
	for range 100 {
		src.add(strings.Repeat("x", 30<<10))
	}
	p, sc, sink := newPump(src), newScratch(), &trickle{}
	turns, before := 0, 0
	for state := unready; state == unready; turns++ {
		state, _ = p.run(sink, &sc)
		if n := len(sink.got) - before; n > turnSize+writeSize+100 {
			t.Fatalf("a turn of %d bytes", n)
		}
		before = len(sink.got)
	}
	if turns < 3000/(256+64) {
		t.Errorf("%d turns", turns)
	}
	if body, _ := decode(t, sink.got); body != "<head>"+string(src.given) {
		t.Error("bytes differ")
	}
}

// "The same where there are no chunks": a download takes one write for what a chunked
// answer takes eight for.
func TestPumpWritesMoreWithoutChunks(t *testing.T) {
	for plain, want := range map[bool]int{false: 9, true: 2} { // the head is one
		src := newWitness(t)
		for range 8 {
			src.add(strings.Repeat("x", plainSize/8))
		}
		p, sc, sink := newPump(src), newScratch(), &counted{}
		p.plain = plain
		for state := unready; state == unready; {
			state, _ = p.run(sink, &sc)
		}
		if sink.writes != want {
			t.Errorf("plain %v: %d writes, want %d", plain, sink.writes, want)
		}
	}
}

// counted is a sink that counts writes.
type counted struct {
	trickle
	writes int
}

func (c *counted) writev(bufs [][]byte) (int, error) {
	c.writes++
	return c.trickle.writev(bufs)
}

// A pump that has nothing to do holds nothing, and its scratch no page.
func TestPumpHoldsNothing(t *testing.T) {
	src := newWitness(t)
	src.add("one", "two")
	p, sc, sink := newPump(src), newScratch(), &trickle{}
	if state, _ := p.run(sink, &sc); state != paused {
		t.Fatalf("state %d", state)
	}
	if p.private != nil {
		t.Errorf("%d bytes are held", len(p.private))
	}
	for _, b := range sc.bufs[:cap(sc.bufs)] {
		if len(b) > 0 && (b[0] == 'o' || b[0] == 't') {
			t.Errorf("the scratch holds %q", b)
		}
	}
}

// A write that fails ends a pump, whatever it was in the middle of.
func TestPumpFails(t *testing.T) {
	src := newWitness(t)
	src.add("event")
	p, sc := newPump(src), newScratch()
	sink := &trickle{grants: []int{wide, 3}, err: io.ErrClosedPipe}
	if state, _ := p.run(sink, &sc); state != blocked {
		t.Fatalf("state %d", state)
	}
	if state, err := p.run(sink, &sc); state != failed || err != io.ErrClosedPipe {
		t.Errorf("state %d, %v", state, err)
	}
}
