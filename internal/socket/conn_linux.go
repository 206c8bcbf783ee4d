package socket

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A LoopConn is a connection of a loop. It is the Waker of its reader.
type LoopConn struct {
	loop *loop

	// Set by Start, which comes before the loop looks at them.
	heartbeat time.Duration
	fd        int32 // -1 from its end on
	number    int32 // of the admissions of its loop. Owned by the loop

	started atomic.Bool
	queued  atomic.Bool // in the loop's ready list

	// Owned by the loop.
	pump         pump
	admitted     bool          // known to epoll and to the wheel
	waits        bool          // for room
	leaving      bool          // the client sends no more
	turns        uint8         // of a download, that were taken whole; at most keenTurns
	unacked      int32         // bytes, when this was last looked at since it waits; 0: it was not
	lastWrite    time.Duration // when something was taken, or was seen to have been, or waiting for room began
	place        int           // in the wheel
	older, newer *LoopConn
}

// Start begins to serve a connection. It must be called once.
func (c *LoopConn) Start(t Taken) {
	c.fd, c.heartbeat = int32(t.FD), t.Heartbeat
	c.pump.source, c.pump.plain = t.Source, t.Plain
	c.pump.begin(t.Head, t.Block)
	if !c.loop.start(c) {
		_ = unix.Close(t.FD)
		t.Source.Done(ReasonShutdown)
	}
}

// Wake has the loop look at the connection. It never waits.
func (c *LoopConn) Wake() {
	if !c.queued.Swap(true) {
		c.loop.push(c)
	}
}
