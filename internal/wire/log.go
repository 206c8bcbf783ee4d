package wire

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// A Direction is where bytes went.
type Direction string

// The directions, and what else befalls a connection.
const (
	In     Direction = "in"     // from the client
	Out    Direction = "out"    // to the client
	Closed Direction = "closed" // no bytes: the connection has ended
)

// A Piece is what one read or write of a connection moved.
type Piece struct {
	Number uint64 // of all pieces, from 1 on, without holes
	Conn   uint64
	At     time.Time
	Dir    Direction
	Data   []byte // not to be changed
}

// A Log keeps the newest pieces of what it is told. All methods may be called by many
// goroutines at once.
type Log struct {
	// Static after construction.
	now                   func() time.Time
	mostBytes, mostPieces int

	mu     sync.Mutex
	pieces []Piece
	bytes  int
	number uint64        // of the newest piece
	more   chan struct{} // closed and replaced with each piece
	closed bool
}

// NewLog returns a Log that keeps so many bytes and pieces for whoever is late in taking
// them, and one piece whatever its size.
func NewLog(now func() time.Time, mostBytes, mostPieces int) *Log {
	return &Log{now: now, mostBytes: mostBytes, mostPieces: mostPieces, more: make(chan struct{})}
}

// Add adds a piece, a copy of data put together. The connection is 0 where there is only
// one.
func (l *Log) Add(conn uint64, dir Direction, data ...[]byte) {
	all := slices.Concat(data...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	l.pieces = append(l.pieces, Piece{l.number, conn, l.now(), dir, all})
	l.bytes += len(all)
	for len(l.pieces) > 1 && (l.bytes > l.mostBytes || len(l.pieces) > l.mostPieces) {
		l.bytes -= len(l.pieces[0].Data)
		l.pieces[0] = Piece{}
		l.pieces = l.pieces[1:]
	}
	l.wake()
}

// After returns the pieces after the one with a number, as many as are kept, and waits
// for one if there is none. A number that the next piece does not follow says that some
// are gone. The error is that of ctx, or net.ErrClosed after Close, once there is nothing
// else.
func (l *Log) After(ctx context.Context, number uint64) ([]Piece, error) {
	for {
		l.mu.Lock()
		n := min(l.number-min(number, l.number), uint64(len(l.pieces)))
		pieces := slices.Clone(l.pieces[uint64(len(l.pieces))-n:])
		more, closed := l.more, l.closed
		l.mu.Unlock()
		switch {
		case len(pieces) > 0:
			return pieces, nil
		case closed:
			return nil, net.ErrClosed
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Number returns the number of the newest piece.
func (l *Log) Number() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// Close ends every After that has no more.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.wake()
	}
}

// wake has all who wait look again. The caller holds mu.
func (l *Log) wake() {
	close(l.more)
	l.more = make(chan struct{})
}
