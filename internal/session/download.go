package session

import (
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/internal/socket"
)

// A download is a session with a limit, as a loop sees it. Behind the frames stands a
// tail. Its form has no blocks, so a notice can only be that.
type download struct {
	*session
	tail   []byte
	broken bool // what there is broke off: the answer is cut
}

// Peek implements socket.Source.
func (d *download) Peek(out *frame.Ranges, size int) socket.State {
	state := d.session.Peek(out, size)
	switch {
	case state != socket.End:
		return state
	case len(d.tail) > 0:
		return socket.Notice
	case d.broken:
		return socket.Cut
	}
	return socket.End
}

// Notice implements socket.Source.
func (d *download) Notice() []byte {
	tail := d.tail
	d.tail = nil
	return tail
}
