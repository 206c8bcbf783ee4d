package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns both ends of a recorded connection over loopback.
func pair(t *testing.T, r *Recorder) (server *Conn, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Listen(ln).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); client.Close() })
	return c.(*Conn), client
}

func send(t *testing.T, to io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

// after returns the pieces after a number, of which there must be some.
func after(t *testing.T, r *Recorder, number uint64) []Piece {
	t.Helper()
	pieces, err := r.After(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	return pieces
}

// Each read and each write is a piece, as it was and in order, with its connection.
func TestPieces(t *testing.T) {
	r := NewRecorder(time.Now)
	server, client := pair(t, r)
	other, _ := pair(t, r)
	send(t, client, "ask")
	buf := make([]byte, 10)
	if _, err := server.Read(buf); err != nil {
		t.Fatal(err)
	}
	send(t, server, "answer")
	send(t, other, "else")
	server.Close()
	got := ""
	for i, p := range after(t, r, 0) {
		if p.Number != uint64(i+1) || p.At.IsZero() {
			t.Errorf("%+v", p)
		}
		got += fmt.Sprintf("%d %s %s\n", p.Conn, p.Dir, p.Data)
	}
	if want := "1 in ask\n1 out answer\n2 out else\n1 closed \n"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if pieces := after(t, r, 3); len(pieces) != 1 {
		t.Errorf("after the third: %v", pieces)
	}
}

// After waits for what comes.
func TestAfterWaits(t *testing.T) {
	r := NewRecorder(time.Now)
	server, _ := pair(t, r)
	got := make(chan []Piece)
	go func() { // ended by the piece
		pieces, _ := r.After(t.Context(), 0)
		got <- pieces
	}()
	send(t, server, "x")
	if pieces := <-got; len(pieces) != 1 || string(pieces[0].Data) != "x" {
		t.Errorf("%+v", pieces)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.After(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.Close()
	if _, err := r.After(t.Context(), 1); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// What is kept is bounded, and who is late sees by the numbers that some is gone.
func TestBounds(t *testing.T) {
	r := NewRecorder(time.Now)
	c := &Conn{recorder: r, ID: 1}
	for range 3 {
		r.record(c, Out, make([]byte, keptBytes/2))
	}
	if pieces := after(t, r, 0); len(pieces) != 2 || pieces[0].Number != 2 {
		t.Errorf("%d pieces of %d bytes are kept", len(pieces), r.Log.bytes)
	}
	for range keptPieces + 10 {
		r.record(c, Out, nil)
	}
	if pieces := after(t, r, 0); len(pieces) != keptPieces {
		t.Errorf("%d pieces are kept", len(pieces))
	}
	r.record(c, Out, make([]byte, 2*keptBytes)) // one alone stays, whatever its size
	if pieces := after(t, r, 0); len(pieces) != 1 {
		t.Errorf("%d pieces are kept", len(pieces))
	}
}

// Cut breaks every connection but those that are exempt, whose bytes are not recorded.
func TestCutAndExempt(t *testing.T) {
	r := NewRecorder(time.Now)
	_, client := pair(t, r)
	exempt, friend := pair(t, r)
	exempt.Exempt()
	if n := r.Cut(); n != 1 {
		t.Errorf("%d were cut", n)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the client of a connection that was cut reads %v", err)
	}
	send(t, exempt, "x")
	got := make([]byte, 1)
	if _, err := io.ReadFull(friend, got); err != nil || string(got) != "x" {
		t.Errorf("the other gets %q, %v", got, err)
	}
	if pieces := after(t, r, 0); len(pieces) != 1 || pieces[0].Dir != Closed {
		t.Errorf("%+v", pieces)
	}
	if n := r.Cut(); n != 0 {
		t.Errorf("%d were cut again", n)
	}
}

// A stall holds writes up until its time is over, until another takes its place, and not
// those of who is exempt.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(time.Now)
		under, client := net.Pipe()
		defer client.Close()
		c := &Conn{Conn: under, recorder: r, ID: 1, ended: make(chan struct{})}
		go io.Copy(io.Discard, client) // ended by Close
		write := func() time.Duration {
			start := time.Now()
			c.Write([]byte("x"))
			return time.Since(start)
		}
		if d := write(); d != 0 {
			t.Errorf("without a stall: %v", d)
		}
		r.Stall(5 * time.Second)
		if d := write(); d != 5*time.Second {
			t.Errorf("stalled for %v", d)
		}
		r.Stall(time.Hour)
		time.AfterFunc(time.Minute, func() { r.Stall(0) })
		if d := write(); d != time.Minute {
			t.Errorf("ended after %v", d)
		}
		r.Stall(time.Hour)
		time.AfterFunc(time.Second, func() { c.Close() })
		if d := write(); d != time.Second {
			t.Errorf("a connection that was closed waited for %v", d)
		}
		r.Close()
		r.Stall(time.Hour)
		if d := write(); d != 0 {
			t.Errorf("after Close: %v", d)
		}
		r = NewRecorder(time.Now)
		r.Stall(time.Hour)
		other, peer := net.Pipe()
		defer peer.Close()
		e := &Conn{Conn: other, recorder: r, ID: 2, ended: make(chan struct{})}
		e.Exempt()
		go io.Copy(io.Discard, peer) // ended by Close
		start := time.Now()
		e.Write([]byte("x"))
		if d := time.Since(start); d != 0 {
			t.Errorf("who is exempt was stalled for %v", d)
		}
		e.Close()
	})
}
