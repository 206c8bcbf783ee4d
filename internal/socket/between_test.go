package socket

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// torn is a Source that has lost the rest of a frame while it was being sent,
// and waits for it to be brought.
type torn struct {
	*script
	brought bool // guarded by script.mu
}

func (s *torn) Peek(out *frame.Ranges, size int) State {
	s.mu.Lock()
	waits := s.sent > 0 && !s.brought
	s.mu.Unlock()
	if waits {
		out.Reset()
		return Idle
	}
	return s.script.Peek(out, size)
}

func (s *torn) bring() {
	s.mu.Lock()
	s.brought = true
	s.mu.Unlock()
	s.wake()
}

// "Heartbeat, gap, end and drain blocks are private bytes, sent only between
// frames and never after a partial write": not even when the rest of the frame
// is long in coming.
func TestNothingInTheMiddleOfAFrame(t *testing.T) {
	long := strings.Repeat("x", 3*bufferSize)
	for _, test := range []struct {
		name string
		do   func(w *Writer, s *torn, cancel func())
		want string
		end  Reason
	}{
		{"no heartbeat", func(_ *Writer, s *torn, _ func()) {
			time.Sleep(time.Minute)
			s.finish(End)
			s.bring()
		}, "<head>" + long, ReasonEnded},
		{"no farewell", func(w *Writer, _ *torn, _ func()) { w.Shutdown(time.Second) }, "<head>" + long[:bufferSize], ReasonShutdown},
		{"heartbeats afterwards", func(_ *Writer, s *torn, cancel func()) {
			time.Sleep(40 * time.Second)
			s.bring()
			time.Sleep(29 * time.Second)
			cancel()
		}, "<head>" + long + "<beat>", ReasonGone},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, ctx context.Context) {
				ctx, cancel := context.WithCancel(ctx)
				w, l := NewWriter(Options{}), newLine(wide)
				s := &torn{script: newScript()}
				s.add(long)
				reason := make(chan Reason, 1)
				go func() { // ends with Serve
					reason <- w.Serve(ctx, conn(ctx, s, s.bell, l))
				}()
				synctest.Wait()
				test.do(w, s, cancel)
				got := <-reason
				cancel()
				if got != test.end || l.got() != test.want {
					t.Errorf("reason %s after %d bytes that end with %q, want %s after %d", got, len(l.got()), l.got()[max(0, len(l.got())-20):], test.end, len(test.want))
				}
			})
		})
	}
}
