package socket

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// What is sent is what was given, in its order, whether it is small enough to be
// gathered or not, and what finds no room is told.
func TestWrites(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	w := &writes{fd: fds[0]}
	read := func(n int) []byte {
		got := make([]byte, n+1)
		n, err := unix.Read(fds[1], got)
		if err != nil {
			t.Fatal(err)
		}
		return got[:n]
	}
	for _, size := range []int{2, flatSize - 1, flatSize, flatSize + 1, 4 * flatSize} {
		body := bytes.Repeat([]byte("leat"), size/4+1)[:size-2]
		for _, bufs := range [][][]byte{{{'a'}, body, {'b'}}, {nil, {'a'}, nil, body[:len(body)/2], body[len(body)/2:], {'b'}, {}}} {
			if n, err := w.writev(bufs); n != size || err != nil {
				t.Fatalf("of %d bytes %d were taken: %v", size, n, err)
			}
			if got, want := read(size), bytes.Join(bufs, nil); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes were sent and %d came, or others", size, len(got))
			}
		}
	}
	for _, size := range []int{flatSize, 16 * flatSize} {
		full := false
		for sent := 0; !full && sent < 64<<20; {
			n, err := w.writev([][]byte{make([]byte, size)})
			sent += n
			full = err == errWouldBlock
		}
		if !full {
			t.Fatalf("nobody reads, and there is room for all writes of %d bytes", size)
		}
		if n, err := w.writev([][]byte{make([]byte, size)}); n != 0 || err != errWouldBlock {
			t.Fatalf("there is no room, and %d bytes of %d were taken: %v", n, size, err)
		}
	}
	unix.Close(w.fd)
	w.fd = -1
	if _, err := w.writev([][]byte{{'a'}}); err != unix.EBADF {
		t.Errorf("a descriptor that is closed: %v", err)
	}
	if _, err := w.writev([][]byte{make([]byte, 2*flatSize)}); err != unix.EBADF {
		t.Errorf("a descriptor that is closed: %v", err)
	}
}
