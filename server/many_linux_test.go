package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
)

// "Sixteen thousand streams with one reader each cost what sixteen thousand readers
// cost: no goroutine, channel or timer per stream or reader on this path."
//
// Goroutines are counted; a channel or a timer for each would show in the bytes.
func TestManyStreamsWithAReaderEach(t *testing.T) {
	readers := 1000
	if os.Getenv("LEAT_SOAK") != "" {
		readers = 16_000
	}
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for i := range readers {
		s.post(t, fmt.Sprintf("own/%d", i), "before")
	}
	s.post(t, "all", "before")
	s.client.CloseIdleConnections()
	goroutines, empty := runtime.NumGoroutine(), heapInUse()

	// measure returns the bytes for each reader.
	measure := func(topic string) int64 {
		others := readElsewhere(t, s.url, topic, readers)
		// Handlers that have given their connection away end in a moment.
		eventually(t, "as many goroutines as without readers", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
		each := (heapInUse() - empty) / int64(readers)
		// All of them are there, and read to.
		if strings.Contains(topic, "%d") {
			for i := range readers {
				s.post(t, fmt.Sprintf(topic, i), "this is it")
			}
		} else {
			s.post(t, topic, "this is it")
		}
		if got := others.ask(t, "read"); got != fmt.Sprintf("%d have it\n", readers) {
			t.Fatalf("of %d readers of %s %q", readers, topic, got)
		}
		others.end(t)
		s.client.CloseIdleConnections()
		eventually(t, "no reader left", func() bool { return s.read(s.do("GET", "/healthz", ""))["subscribers"] == 0.0 })
		return each
	}
	one, many := measure("all"), measure("own/%d")
	t.Logf("%d readers take %d bytes of the heap each if they read one stream, %d if each reads its own", readers, one, many)
	// A stream's own reader has the feed, its filter and what finds them beside it.
	if one > 1024 || many > 2048 {
		t.Errorf("a reader takes %d bytes, or with a stream of its own %d; want at most 1024 and 2048", one, many)
	}
}

// post publishes, and keeps nothing of it.
func (s *service) post(t *testing.T, topic, data string) {
	resp, err := s.client.Post(s.url+"/events?topic="+topic, "text/plain", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what pools have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// eventually waits for what other goroutines and the system bring about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(12 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is not:", what)
		}
	}
}

// elsewhere is readers in a process of their own: their descriptors and their memory
// do not count here.
type elsewhere struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

const elsewhereEnv = "LEAT_TEST_READERS"

// readElsewhere returns once all have been told where they are. The i-th reads the
// topic of that number, if the topic has a verb for it.
func readElsewhere(t *testing.T, url, topic string, n int) *elsewhere {
	t.Helper()
	return elsewhereDo(t, "TestReadersElsewhere", elsewhereEnv, fmt.Sprintf("%s %s %d", strings.TrimPrefix(url, "http://"), topic, n))
}

// elsewhereDo runs a test in a process of its own, with a variable that tells it so,
// and returns once it is connected.
func elsewhereDo(t *testing.T, test, env, value string) *elsewhere {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v=false")
	cmd.Env = append(os.Environ(), env+"="+value, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	e := &elsewhere{cmd, in, bufio.NewReader(out)}
	if line, err := e.out.ReadString('\n'); line != "connected\n" {
		t.Fatalf("readers elsewhere say %q, %v", line, err)
	}
	return e
}

// ask has them do something.
func (e *elsewhere) ask(t *testing.T, what string) string {
	t.Helper()
	fmt.Fprintln(e.in, what)
	line, err := e.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func (e *elsewhere) end(t *testing.T) {
	t.Helper()
	e.cmd.Process.Kill()
	e.cmd.Wait()
}

// TestReadersElsewhere is the other process of readElsewhere.
func TestReadersElsewhere(t *testing.T) {
	var address, topic string
	var n int
	if _, err := fmt.Sscan(os.Getenv(elsewhereEnv), &address, &topic, &n); err != nil {
		t.Skip("it is run by the test that needs it")
	}
	conns := make([]net.Conn, n)
	buf := make([]byte, 64<<10)
	until := func(c net.Conn, text string) {
		var got []byte
		for c.SetReadDeadline(time.Now().Add(time.Minute)); !bytes.Contains(got, []byte(text)); {
			k, err := c.Read(buf)
			if err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			got = append(got, buf[:k]...)
		}
	}
	for i := range conns {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		name := topic
		if strings.Contains(topic, "%d") {
			name = fmt.Sprintf(topic, i)
		}
		fmt.Fprintf(c, "GET /events?topic=%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n", name)
		conns[i] = c
	}
	for _, c := range conns {
		until(c, "leat.cursor")
	}
	fmt.Println("connected")
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		for _, c := range conns {
			until(c, "data: this is it")
		}
		fmt.Println(n, "have it")
	}
}
