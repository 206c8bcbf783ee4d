package socket

import (
	"fmt"
	"testing"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// nowhere is a sink that takes all.
type nowhere struct{}

func (nowhere) writev(bufs [][]byte) (n int, err error) {
	for _, b := range bufs {
		n += len(b)
	}
	return n, nil
}

// ahead is a Source that has the same frames due each time, and then nothing.
type ahead struct {
	frames []frame.Frame
	due    bool
}

func (a *ahead) Peek(out *frame.Ranges, size int) State {
	out.Reset()
	if !a.due {
		return Idle
	}
	out.Fill(a.frames, 0, size)
	return Due
}

func (a *ahead) Advance(out *frame.Ranges, n int) {
	out.Written(n)
	a.due = false
}

func (*ahead) TooSlow() bool                 { return false }
func (*ahead) Between() bool                 { return true }
func (*ahead) Notice() []byte                { return nil }
func (*ahead) Heartbeat() []byte             { return nil }
func (*ahead) Farewell(time.Duration) []byte { return nil }

// BenchmarkPump is what a loop does for a connection that has records due, without the
// system call: what is counted of them is in it.
func BenchmarkPump(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			memory := make([]byte, 100*n)
			page := frame.NewPage(memory)
			src := &ahead{}
			for i := range n {
				src.frames = append(src.frames, page.Frame(uint64(i+1), 100*i, 100))
			}
			p, s := newPump(src), newScratch()
			for b.Loop() {
				src.due = true
				if state, err := p.run(nowhere{}, &s); state != paused || err != nil {
					b.Fatal(state, err)
				}
			}
			if s.sent.Records != int64(n)*int64(b.N) {
				b.Fatalf("%+v after %d rounds", s.sent, b.N)
			}
		})
	}
}
