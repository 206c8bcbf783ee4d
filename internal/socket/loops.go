package socket

import "time"

// LoopOptions are the settings of Loops. The zero value works.
type LoopOptions struct {
	// Loops is how many loops there are, each with a goroutine and a share of
	// the connections. 0 means one for every two processors, one at least.
	Loops int

	// StallTimeout is as in Options.
	StallTimeout time.Duration

	// Panicked is told when a Source or a Done has panicked, and where. Only
	// its connection ends, as in net/http. nil: the process does.
	Panicked func(v any, stack []byte)
}

// A Taken is a connection that was taken over from an HTTP server: its answer is
// sent, and after it nothing.
type Taken struct {
	// FD is the descriptor of a TCP connection, which does not block and
	// belongs to the loop from the call on.
	FD int

	Source    Ender
	Head      []byte        // the head of the answer, as it is on the wire
	Block     []byte        // sent first behind it
	Plain     bool          // the head tells the length: else the answer is sent in chunks
	Heartbeat time.Duration // the longest silence
}

// An Ender is a Source that hears of its end.
type Ender interface {
	Source

	// Late reports whether a reader that takes nothing is too far behind to be
	// waited for: TooSlow would be true by and by.
	Late() bool

	// Done is called once, when the connection has been closed, by the
	// goroutine that served it. It must not wait.
	Done(Reason)
}
