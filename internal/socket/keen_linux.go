package socket

import "golang.org/x/sys/unix"

// How much the system holds of a connection that was not sent yet: writeSize, since for a
// client that does not read it is not looked at again and is better off in the pages that
// all share. With so little a loop that sends a download runs out of room again and again,
// and is woken each time. So a client that has taken keenTurns turns of one, each at once
// and whole, may have keenUnsent there.
const (
	keenTurns  = 32
	keenUnsent = 1 << 20
)

// holdUnsent sets how much the system holds that was not sent yet.
func (c *LoopConn) holdUnsent(bytes int) {
	_ = unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

// tookTurn notes that there was room for all of a turn.
func (c *LoopConn) tookTurn() {
	if !c.pump.plain || c.turns == keenTurns {
		return
	}
	if c.turns++; c.turns == keenTurns {
		c.holdUnsent(keenUnsent)
	}
}
