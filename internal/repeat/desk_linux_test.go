package repeat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A put is an answer that was put off.
type put struct {
	w      http.ResponseWriter
	r      *http.Request
	finish func(func())
}

// putOff returns a site whose handler puts off what has the query wait, and sends it to
// puts. over counts the requests that were told to be answered.
func putOff(t testing.TB) (s *site, puts chan put, over *atomic.Int64) {
	puts, over = make(chan put, 1000), new(atomic.Int64)
	s = newSite(t, func(w http.ResponseWriter, r *http.Request) {
		defer WhenAnswered(w, func() { over.Add(1) })
		if r.URL.RawQuery == "wait" {
			if finish, ok := PutOff(w); ok {
				puts <- put{w, r, finish}
				return
			}
		}
		echo(w, r)
	}, prompt)
	s.conns.want = 1 // so that what one client sends is read before what another sends later
	return s, puts, over
}

// "PutOff has the answer to a request not end with its handler": until then no other
// request of the connection is served, others are, and its body is gone.
func TestPutOff(t *testing.T) {
	s, puts, over := putOff(t)
	c, other := dial(t, s), dial(t, s)
	for range enough {
		c.post("/e?a")
		other.post("/e?a")
	}
	s.settled(t, 2)
	c.send(post("/e?wait", "", "body") + post("/e?next", "", "body"))
	p := <-puts
	for range 5 {
		other.post("/e?a")
	}
	if n := over.Load(); n != 4+5 {
		t.Errorf("%d requests are answered before the one that was put off, want 9", n)
	}
	if b, err := io.ReadAll(p.r.Body); len(b) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("its body is %q, %v", b, err)
	}
	p.finish(func() { io.WriteString(p.w, "late") })
	if _, got := c.answer(); got != "late" {
		t.Errorf("answered %q", got)
	}
	if _, got := c.answer(); !strings.HasPrefix(got, "POST /e?next") {
		t.Errorf("then %q", got)
	}
	c.post("/e?a") // the one before is told to be answered once it is sent
	if n := over.Load(); n < 4+5+2 {
		t.Errorf("%d requests are answered in the end", n)
	}
}

// "ok says whether that can be done, and is false where a handler may wait."
func TestPutOffNot(t *testing.T) {
	for name, as := range map[string]mode{"alone": alone, "waits": waits} {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			_, ok := PutOff(w)
			called := false
			WhenAnswered(w, func() { called = true })
			fmt.Fprint(w, ok, called)
		}, as)
		c := dial(t, s)
		for range 4 {
			if got := c.post("/e?a"); got != "false true" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

// A client that has gone is not answered, and whoever wants to hear of the end does.
func TestPutOffGone(t *testing.T) {
	s, puts, over := putOff(t)
	c := takenOver(t, s)
	c.send(post("/e?wait", "", "body"))
	p := <-puts
	c.nc.(*net.TCPConn).SetLinger(0)
	c.nc.Close()
	before := over.Load()
	p.finish(func() { io.WriteString(p.w, "late") })
	s.settled(t, 0)
	for limit := time.Now().Add(10 * time.Second); over.Load() != before+1; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the end was not told")
		}
	}
}

// What panics when it writes late ends its connection and no other.
func TestPutOffPanics(t *testing.T) {
	s, puts, over := putOff(t)
	c, other := dial(t, s), dial(t, s)
	for range enough {
		c.post("/e?a")
		other.post("/e?a")
	}
	s.settled(t, 2)
	c.send(post("/e?wait", "", "x"))
	p := <-puts
	p.finish(func() { panic("late") })
	c.closed()
	if got := <-s.log.c; !strings.Contains(got, "panic serving") || !strings.Contains(got, "late") {
		t.Errorf("logged %q", got)
	}
	other.post("/e?a")
	if n := over.Load(); n < 6 {
		t.Errorf("%d requests are answered", n)
	}
}

// "Stop closes the connections that wait for a request, and the others when what they have
// begun is answered": what was put off too, and what has come in part.
func TestStopPutOff(t *testing.T) {
	s, puts, _ := putOff(t)
	busy, part, other := dial(t, s), dial(t, s), dial(t, s)
	for range enough {
		busy.post("/e?a")
		part.post("/e?a")
		other.post("/e?a")
	}
	s.settled(t, 3)
	busy.send(post("/e?wait", "", "x"))
	p := <-puts
	whole := post("/e?part", "", "body")
	part.send(whole[:30])
	other.post("/e?a")
	s.conns.Stop()
	part.send(whole[30:])
	if resp, got := part.answer(); !resp.Close || !strings.HasPrefix(got, "POST /e?part") {
		t.Error(resp.Header, got)
	}
	p.finish(func() { io.WriteString(p.w, "late") })
	if resp, got := busy.answer(); !resp.Close || got != "late" {
		t.Error(resp.Header, got)
	}
	busy.closed()
	part.closed()
	s.settled(t, 0)
}

// An answer that has been begun is sent, and is the last.
func TestStopHalfAnswered(t *testing.T) {
	const size = 16 << 20
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "big" {
			w.Write(make([]byte, size))
			return
		}
		echo(w, r)
	}, prompt)
	c := takenOver(t, s)
	c.send(post("/e?big", "", "x"))
	c.in.Peek(1) // it is being sent
	s.conns.Stop()
	if _, got := c.answer(); len(got) != size {
		t.Errorf("%d bytes", len(got))
	}
	c.closed()
}

// A body cannot be read when its handler has ended, in whatever way: the memory is that of
// another request.
func TestBodyOfTheDesk(t *testing.T) {
	bodies := make(chan io.Reader, 2)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "panic":
			bodies <- r.Body
			panic(http.ErrAbortHandler)
		case "keep":
			bodies <- r.Body
		}
	}, prompt)
	c := takenOver(t, s)
	c.post("/e?keep")
	c.send(post("/e?panic", "", "mine"))
	c.closed()
	for range 2 {
		if b, err := io.ReadAll(<-bodies); len(b) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read %q, %v", b, err)
		}
	}
}

// A read that stops at an urgent byte is not the last.
func TestUrgent(t *testing.T) {
	s := newSite(t, echo, prompt)
	c := takenOver(t, s)
	raw, err := c.nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	whole := []byte(post("/e?a", "", "body"))
	raw.Control(func(fd uintptr) { // in one segment
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1),
			unix.Sendto(int(fd), whole, 0, nil), unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil), unix.Sendto(int(fd), whole, 0, nil),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.answer()
	}
}

// A handler that ends its goroutine ends its connection, as in net/http.
func TestGoexit(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "exit" {
			runtime.Goexit()
		}
		echo(w, r)
	}, waits)
	c := takenOver(t, s)
	c.send(post("/e?exit", "", "x"))
	c.closed()
	s.settled(t, 0)
}

// "For the rest of a request" is for all of it: who sends byte by byte does not keep it
// from net/http, which has limits for that.
func TestDribble(t *testing.T) {
	s := newSite(t, echo, prompt)
	c := takenOver(t, s)
	whole := post("/e?a", "A: "+strings.Repeat("a", 100)+"\r\n", "body")
	for i := range whole {
		c.send(whole[i : i+1])
		if s.conns.Counts().Open == 0 {
			c.send(whole[i+1:])
			c.answer()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("it was never given back")
}

// Who comes back all at once needs one descriptor more, not one each.
func TestGivenBackWithoutDescriptors(t *testing.T) {
	s := newSite(t, echo, prompt)
	const n = 60
	clients := allTakenOver(t, s, n)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var fill []*os.File
	fewer := limit
	fewer.Cur = uint64(openFiles(t) + 100)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &fewer); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		fill = append(fill, f)
	}
	for _, f := range fill[:3] {
		f.Close()
	}
	for _, c := range clients {
		c.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	}
	for i, c := range clients {
		if _, err := http.ReadResponse(c.in, nil); err != nil {
			t.Errorf("connection %d is lost: %v", i, err)
		}
	}
	for _, f := range fill[3:] {
		f.Close()
	}
}

// A client that does not read its answers is served no more requests until it does, and
// then gets all, in order. Others do not wait for it.
func TestUnreadAnswers(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		served := new(atomic.Int64)
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			served.Add(1)
			fmt.Fprint(w, r.URL.RawQuery, strings.Repeat(".", 32<<10))
		}, as)
		lazy := dial(t, s)
		lazy.post("/e?a")
		lazy.post("/e?a")
		const requests = 1000
		sent := make(chan error, 1)
		go func() { // joined below
			var all bytes.Buffer
			for i := range requests {
				all.WriteString(post(fmt.Sprintf("/e?n%d", i), "", "x"))
			}
			_, err := all.WriteTo(lazy.nc)
			sent <- err
		}()
		// The system takes some megabytes for it, and then no more.
		last := int64(0)
		for now := served.Load(); now != last || now < 20; now = served.Load() {
			last = now
			time.Sleep(50 * time.Millisecond)
		}
		if last >= requests {
			t.Fatal("all is answered: that shows nothing")
		}
		other := dial(t, s)
		for range 10 {
			other.post("/e?a")
		}
		for i := range requests {
			resp, got := lazy.answer()
			if want := fmt.Sprintf("n%d.", i); resp.StatusCode != 200 || !strings.HasPrefix(got, want) || len(got) != len(want)-1+32<<10 {
				t.Fatalf("answer %d: %s, %d bytes, %.20q", i, resp.Status, len(got), got)
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}

// Who sends request after request without a pause takes the turn of nobody else.
func TestTurns(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, prompt)
	var floods []net.Conn
	for range 4 {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		floods = append(floods, nc)
		many := []byte(strings.Repeat(post("/e?a", "", "x"), 500))
		go func() { // ends with nc
			for {
				if _, err := nc.Write(many); err != nil {
					return
				}
			}
		}()
		go io.Copy(io.Discard, nc) // ends with nc
	}
	c := dial(t, s)
	for range 20 {
		c.send(post("/e?a", "", "x"))
		if resp, _ := c.answer(); resp.StatusCode != 204 {
			t.Fatal(resp.Status)
		}
	}
	for _, nc := range floods {
		nc.Close()
	}
}

// "One that waits for a request costs no goroutine": and when all are gone, and the Conns
// closed, nothing is left of them.
func TestDeskCost(t *testing.T) {
	inModes(t, func(t *testing.T, as mode) {
		goroutines, files := runtime.NumGoroutine(), openFiles(t)
		t.Run("", func(t *testing.T) {
			s := newSite(t, echo, as)
			const n = 100
			clients := allTakenOver(t, s, n)
			taken := runtime.NumGoroutine()
			for _, c := range clients {
				c.post("/e?b")
			}
			if now := runtime.NumGoroutine(); now > goroutines+10 && now > taken+5 {
				t.Errorf("%d goroutines before, %d with %d connections, %d when each had had a request", goroutines, taken, n, now)
			}
			for i, c := range clients {
				switch i % 4 {
				case 0:
					c.nc.Close()
				case 1:
					c.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
					c.answer()
				case 2:
					c.send("POST")
				}
			}
		})
		for limit := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			g, f := runtime.NumGoroutine(), openFiles(t)
			if g <= goroutines && f <= files {
				break
			}
			if time.Now().After(limit) {
				buf := make([]byte, 1<<20)
				t.Fatalf("%d goroutines before, %d after; %d descriptors before, %d after\n%s", goroutines, g, files, f, buf[:runtime.Stack(buf, true)])
			}
		}
	})
}

func openFiles(t testing.TB) int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// What the system was told to do with a connection is as it was when it is given back.
func TestGivenBackKeepAlive(t *testing.T) {
	conns := make(chan *net.TCPConn, 2)
	s := newSite(t, echo, waits, func(hs *http.Server) {
		ours := hs.ConnContext
		hs.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			conns <- Under(c).(*net.TCPConn)
			return ours(ctx, c)
		}
	})
	c := dial(t, s)
	c.post("/e?a")
	if err := (<-conns).SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second, Interval: 33 * time.Second, Count: 5}); err != nil {
		t.Fatal(err)
	}
	c.post("/e?a")
	s.settled(t, 1)
	c.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	c.answer()
	raw, err := (<-conns).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{unix.TCP_KEEPIDLE: 77, unix.TCP_KEEPINTVL: 33, unix.TCP_KEEPCNT: 5} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); got != want || err != nil {
				t.Errorf("option %d is %d, %v, want %d", option, got, err, want)
			}
		}
	})
}
