//go:build linux && !race

package real

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// content is a pseudo-random file, the same at every call.
func content() io.Reader {
	return rand.NewChaCha8([32]byte([]byte("the file that is streamed by Leat")))
}

// smallMemory are the flags of a server with little memory for records.
var smallMemory = []string{"--tail-memory", "8MiB"}

// flat is what the memory of such a server stays below, in MiB, while a GiB goes
// through it. It is what Pebble has by default, 64 for its cache and memtables,
// and the tail's 8, twice, because Go collects garbage when the heap has doubled;
// then the binary itself, and some to be sure.
const flat = 256

// "A 1 GiB file streamed in while it is read by curl -C - with follow=1, cut
// several times, compared by SHA-256; memory flat."
func TestFileIsFollowedWhileItIsStreamedIn(t *testing.T) {
	curl := program(t, "curl", "curl")
	s := serve(t, smallMemory...)
	s.put(t, "file", "application/octet-stream")
	url, size, began := s.url+"/streams/file", int64(1<<30), time.Now()

	// The writer is held back before its last bytes until the reader was killed
	// as often as it should be: each time with more to come.
	const held = 1 << 20
	in, out := io.Pipe()
	defer out.Close()
	sent := sha256.New()
	hold := make(chan struct{})
	// Ends with the file, or when the pipe is closed.
	go func() {
		file := io.TeeReader(content(), sent)
		_, err := io.CopyN(out, file, size-held)
		if err == nil {
			<-hold
			_, err = io.CopyN(out, file, held)
		}
		out.CloseWithError(err)
	}()
	writer := exec.Command(curl, "-sS", "-f", "-T", "-", "-X", "POST", "-H", "Stream-Closed: true",
		"-H", "Content-Type: application/octet-stream", url+"?append=stream")
	writer.Stdin = in
	upload := start(t, writer)

	file := filepath.Join(t.TempDir(), "file")
	follow := func() *child {
		return start(t, exec.Command(curl, "-sS", "-f", "-C", "-", "-o", file, url+"?follow=1"))
	}
	have := func() int64 {
		info, err := os.Stat(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err != nil {
			return 0
		}
		return info.Size()
	}
	kills := 0
	reader := follow()
	for range 6 {
		// Somewhere in the next fifth of the way, and never before something came.
		goal := have() + 1 + rand.Int64N(size/5)
		poll(t, "the file grows", func() bool { return have() >= min(goal, size-held) })
		reader.kill()
		kills++
		reader = follow()
	}
	// And once with about all that there is. What curl has not written yet is lost
	// with it, and asked for again.
	poll(t, "the file has all there is", func() bool { return have() >= size-held-64<<10 })
	reader.kill()
	reader = follow()
	close(hold)
	if err := upload.wait(t); err != nil {
		t.Fatal("the upload:", err)
	}
	if err := reader.wait(t); err != nil {
		t.Fatal("the reader:", err)
	}
	took := time.Since(began)

	got := sha256.New()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := io.Copy(got, f)
	if err != nil {
		t.Fatal(err)
	}
	if n != size || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Errorf("%d bytes with SHA-256 %x were read, %d with %x sent", n, got.Sum(nil), size, sent.Sum(nil))
	}
	peak := s.peak(t)
	t.Logf("%d MiB in %.1f s (%.0f MiB/s), %d kills, peak memory %d MiB", size>>20, took.Seconds(), float64(size>>20)/took.Seconds(), kills+1, peak)
	if peak > flat {
		t.Errorf("the server took %d MiB of memory, more than %d", peak, flat)
	}
}

// Who comes back for a stream that has ended and has it all is done: curl asks
// for the bytes from the end on, is answered 416, and takes that for a success.
// With -f, curl before 8.5 does not (curl/curl#10521): it fails, because the
// answer says how long the stream is. The file is left alone either way.
func TestCurlComesBackForAFinishedStream(t *testing.T) {
	t.Parallel()
	curl := program(t, "curl", "curl")
	s := serve(t)
	s.put(t, "done", "text/plain")
	s.append(t, "done", "text/plain", "all of it")
	s.end(t, "done", "")
	for _, query := range []string{"", "?follow=1"} {
		for have, want := range map[string]string{
			"all of it": "416 bytes */9",
			"all of ":   "206 bytes 7-8/9",
			"":          "200 ",
		} {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(have), 0o666); err != nil {
				t.Fatal(err)
			}
			again := []string{"-sS", "-C", "-", "-o", file, "-w", "%{http_code} %header{content-range}", s.url + "/streams/done" + query}
			if got := string(output(t, exec.Command(curl, again...))); got != want {
				t.Errorf("%q, with %q: answered %q, want %q", query, have, got, want)
			}
			const failed = 22 // "HTTP page not retrieved."
			if err := exec.Command(curl, append(again, "-f")...).Run(); exitStatus(err) != 0 && exitStatus(err) != failed {
				t.Errorf("%q, with -f and all of it: %v", query, err)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != "all of it" {
				t.Errorf("%q, with %q: then the file has %q, %v", query, have, text, err)
			}
		}
	}
}

// A stream that broke off is not taken for a whole one: curl fails. -N has curl
// write what comes as it comes, and not each 4 KiB.
func TestCurlNoticesAStreamThatBrokeOff(t *testing.T) {
	t.Parallel()
	curl := program(t, "curl", "curl")
	s := serve(t)
	s.put(t, "half", "text/plain")
	s.append(t, "half", "text/plain", "half of")
	file := filepath.Join(t.TempDir(), "file")
	follow := func() *child {
		return start(t, exec.Command(curl, "-sS", "-f", "-N", "-C", "-", "-o", file, s.url+"/streams/half?follow=1"))
	}
	reader := follow()
	poll(t, "the first half", func() bool { text, _ := os.ReadFile(file); return string(text) == "half of" })
	s.end(t, "half", "aborted")
	const partial = 18 // "Partial file. Only a part of the file was transferred."
	if err := reader.wait(t); exitStatus(err) != partial {
		t.Errorf("curl ended with %v, want exit status %d", err, partial)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "half of" {
		t.Errorf("it has %q, %v", text, err)
	}
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// "100 slow readers of 1 GiB do not grow the heap", and a fast reader beside
// them does not notice. Half of them follow the stream that the fast one follows,
// half are scattered over another one, so that what they need is nowhere shared.
func TestSlowReadersHarmNobody(t *testing.T) {
	s := serve(t, smallMemory...)
	size := int64(256 << 20)
	if soak {
		size = 1 << 30
	}
	alone := streamPast(t, s, "alone", size)
	// Who reads what is long on the disk makes use of Pebble's cache of blocks: have
	// it full.
	resp, err := http.Get(s.url + "/streams/alone")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Fatalf("the stream has %d bytes of %d, %v", n, size, err)
	}
	before := s.peak(t)

	s.put(t, "crowded", "application/octet-stream")
	const crowd = 100
	slow := make([]*slowReader, crowd)
	for i := range slow {
		if i%2 == 0 {
			slow[i] = dawdle(t, s, "crowded", 0)
		} else {
			slow[i] = dawdle(t, s, "alone", int64(i)*(size/crowd))
		}
	}
	beside := streamPast(t, s, "crowded", size)
	after := s.peak(t)
	// They are still at it, each somewhere near its beginning.
	for _, r := range slow {
		r.stop()
	}
	file := content()
	var passed int64
	slowest, fastest := size, int64(0)
	for _, r := range slow {
		if r.from == 0 {
			n := r.check(t, content())
			slowest, fastest = min(slowest, n), max(fastest, n)
			continue
		}
		if _, err := io.CopyN(io.Discard, file, r.from-passed); err != nil {
			t.Fatal(err)
		}
		n := r.check(t, file)
		passed = r.from + n
		slowest, fastest = min(slowest, n), max(fastest, n)
	}
	t.Logf("%d MiB: alone %.2f s, beside %d slow readers %.2f s, which got %d to %d KiB; peak memory %d MiB, then %d MiB",
		size>>20, alone.Seconds(), crowd, beside.Seconds(), slowest>>10, fastest>>10, before, after)
	if slowest == 0 || fastest > size/crowd {
		t.Errorf("the slow readers got %d to %d bytes: that is not slow", slowest, fastest)
	}
	// 100 buffers, stacks and cursors, and what the garbage collector lets lie:
	// each reader that held on to more than 640 KiB would show.
	if after > before+64 {
		t.Errorf("the server took %d MiB of memory, %d MiB before there were slow readers", after, before)
	}
	// The readers take some time of the processor, and the machine may have
	// better things to do: but a fast reader that waited for slow ones would
	// need hours.
	if beside > 3*alone+5*time.Second {
		t.Errorf("the fast reader took %v beside the slow ones and %v alone", beside, alone)
	}
}

// streamPast streams a file in that a reader follows to its end, and returns how
// long it took. The stream may be there already.
func streamPast(t *testing.T, s *leat, name string, size int64) time.Duration {
	t.Helper()
	s.put(t, name, "application/octet-stream")
	began := time.Now()
	resp, err := http.Get(s.url + "/streams/" + name + "?follow=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	uploaded := make(chan error, 1)
	// Owned by streamPast, which waits for it; the upload is bounded.
	go func() {
		body := io.LimitReader(content(), size)
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/streams/"+name+"?append=stream", io.NopCloser(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/octet-stream")
			req.Header.Set("Stream-Closed", "true")
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					err = errors.New(resp.Status)
				}
			}
		}
		uploaded <- err
	}()
	got := sha256.New()
	n, err := io.Copy(got, resp.Body)
	if err := errors.Join(err, <-uploaded); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	want := sha256.New()
	if _, err := io.CopyN(want, content(), size); err != nil {
		t.Fatal(err)
	}
	if n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%s: the fast reader got %d bytes of %d, or others", name, n, size)
	}
	return took
}

// A slowReader takes 2 KiB each half second, through a socket with hardly any room,
// so that the server has to wait for it and not the kernel.
type slowReader struct {
	from int64 // where in the file it begins
	conn net.Conn
	quit atomic.Bool
	done chan struct{}
	got  []byte // read after done
	err  error  // why it ended; read after done
}

func dawdle(t *testing.T, s *leat, name string, from int64) *slowReader {
	t.Helper()
	conn, err := smallSocket(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &slowReader{from: from, conn: conn, done: make(chan struct{})}
	t.Cleanup(func() { r.stop(); <-r.done })
	head := "GET /streams/" + name + "?follow=1 HTTP/1.0\r\n"
	if from > 0 {
		head += fmt.Sprintf("Range: bytes=%d-\r\n", from)
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	// Owned by the reader; stop ends it.
	go func() {
		defer close(r.done)
		pace := time.NewTicker(500 * time.Millisecond)
		defer pace.Stop()
		for buf := make([]byte, 2<<10); !r.quit.Load(); <-pace.C {
			n, err := conn.Read(buf)
			r.got = append(r.got, buf[:n]...)
			if err != nil {
				r.err = err
				return
			}
		}
	}()
	return r
}

// stop has the reader go away, soon.
func (r *slowReader) stop() {
	if !r.quit.Swap(true) {
		r.conn.Close()
	}
}

// check compares what the reader got, which was stopped, with what is in the file
// from there on, and returns how much it is.
func (r *slowReader) check(t *testing.T, file io.Reader) int64 {
	t.Helper()
	<-r.done
	if r.err != nil && !errors.Is(r.err, net.ErrClosed) {
		t.Errorf("a slow reader was cut: %v", r.err)
	}
	_, body, ok := bytes.Cut(r.got, []byte("\r\n\r\n"))
	want := make([]byte, len(body))
	if _, err := io.ReadFull(file, want); err != nil {
		t.Fatal(err)
	}
	if !ok || !bytes.Equal(body, want) {
		t.Errorf("a slow reader got %d bytes from %d on, and not those that were sent: %.100q", len(body), r.from, r.got)
	}
	return int64(len(body))
}

// smallSocket connects with the smallest receive buffer that the kernel gives. It
// must be asked for before the connection is made: the window is agreed on then.
func smallSocket(addr string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
		return errors.Join(err, cerr)
	}}
	return d.Dial("tcp", addr)
}
