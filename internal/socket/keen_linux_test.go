package socket

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leat-dev/leat/internal/frame"
)

// An abundant is a Source that has more at once, whatever was taken.
type abundant struct {
	*script
	page []frame.Frame
	sent int // of the first of these
}

func newAbundant() *abundant {
	const n = 64 << 10
	a := &abundant{script: newScript()}
	p := frame.NewPage(bytes.Repeat([]byte("x"), 16*n))
	for i := range 16 {
		a.page = append(a.page, p.Frame(uint64(i+1), i*n, n))
	}
	return a
}

func (a *abundant) Peek(out *frame.Ranges, size int) State {
	out.Fill(a.page, a.sent, size)
	return Due
}

func (a *abundant) Advance(out *frame.Ranges, n int) { _, _, a.sent = out.Written(n) }
func (a *abundant) Between() bool                    { return a.sent == 0 }

// What the system may hold that was not sent yet is more for the client of a download that
// has taken what there was, and for no other; and that much it is at most.
func TestKeenClientsMayHaveMoreUnsent(t *testing.T) {
	for _, test := range []struct {
		name        string
		plain, keen bool
		want        int
	}{
		{"a download that is not read", true, false, writeSize},
		{"a download", true, true, keenUnsent},
		{"chunks", false, true, writeSize},
	} {
		ls := newLoops(t, LoopOptions{})
		fd, client := dial(t)
		mine, err := unix.Dup(fd) // the loop closes fd
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(mine)
		limit := func() int {
			n, err := unix.GetsockoptInt(mine, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		unsent := func() int {
			n, err := unix.IoctlGetInt(mine, unix.SIOCOUTQNSD)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		ls.NewConn().Start(Taken{FD: fd, Source: ending{newAbundant(), func(Reason) {}, nil}, Plain: test.plain, Heartbeat: time.Hour})
		for n := 0; test.keen && (limit() < test.want || n < 4*keenTurns*turnSize); n += turnSize {
			if _, err := io.CopyN(io.Discard, client, turnSize); err != nil {
				t.Fatalf("%s: after %d bytes up to %d are unsent: %v", test.name, n, limit(), err)
			}
		}
		// Now it takes nothing.
		for unsent() == 0 {
			runtime.Gosched()
		}
		ls.Close()
		if got := limit(); got != test.want {
			t.Errorf("%s: up to %d bytes may be unsent, want %d", test.name, got, test.want)
		}
		if got := unsent(); got > test.want+writeSize {
			t.Errorf("%s: %d bytes are unsent", test.name, got)
		}
	}
}
