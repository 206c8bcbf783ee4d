//go:build !linux

package socket

import (
	"errors"
	"net"
	"time"
)

// Loops are there on Linux only; elsewhere Writer serves every connection.
type Loops struct{}

// NewLoops returns an error: there are none.
func NewLoops(LoopOptions) (*Loops, error) { return nil, errors.ErrUnsupported }

// NewConn is never called, since there are no Loops.
func (*Loops) NewConn() *LoopConn { return nil }

// Len returns 0.
func (*Loops) Len() int { return 0 }

// Sent returns nothing.
func (*Loops) Sent() Sent { return Sent{} }

// Shutdown returns a channel that is closed.
func (*Loops) Shutdown(time.Duration) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// Close does nothing.
func (*Loops) Close() {}

// A LoopConn is a connection of a loop.
type LoopConn struct{}

// Start does nothing.
func (*LoopConn) Start(Taken) {}

// Wake does nothing.
func (*LoopConn) Wake() {}

// Duplicate returns an error.
func Duplicate(*net.TCPConn) (int, error) { return -1, errors.ErrUnsupported }

// CloseDuplicate does nothing.
func CloseDuplicate(int) {}

// LimitUnacked does nothing: other systems have no such option, or give up early by
// themselves.
func LimitUnacked(*net.TCPConn, time.Duration) error { return nil }
