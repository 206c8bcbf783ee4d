//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
)

// rivals are the servers of this program, by name. They keep records in memory at most.
var rivals = map[string]func() http.Handler{
	"net/http":  func() http.Handler { return &hub{topics: map[string]*hubTopic{}} },
	"bare":      func() http.Handler { return &bare{} },
	"go-sse":    newGoSSE,
	"r3labs":    newR3Labs,
	"http+disk": newSyncHandler,
}

// serveRival serves one of them, until the process is ended.
func serveRival(name string) error {
	make, ok := rivals[name]
	if !ok {
		return fmt.Errorf("there is no rival %q", name)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String())
	hs := &http.Server{Handler: make(), Protocols: new(http.Protocols)}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetUnencryptedHTTP2(true)
	return hs.Serve(ln)
}

// A hub is the handler that one writes by hand: a channel and a flush for each
// reader. It is a good one: an event is formatted once, what has come meanwhile goes
// out with one flush, a reader that cannot keep up is closed and not passed over, and
// one that comes back gets what it has missed.
type hub struct {
	mu     sync.Mutex
	topics map[string]*hubTopic
}

type hubTopic struct {
	mu      sync.Mutex
	events  [][]byte
	readers map[chan []byte]struct{}
}

// queue is how many events a reader may be behind.
const queue = 256

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("topic")
	h.mu.Lock()
	t := h.topics[name]
	if t == nil {
		t = &hubTopic{readers: map[chan []byte]struct{}{}}
		h.topics[name] = t
	}
	h.mu.Unlock()
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		t.publish(body)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	t.read(w, r)
}

func (t *hubTopic) publish(body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	event := fmt.Appendf(nil, "id: %d\ndata: %s\n\n", len(t.events)+1, body)
	t.events = append(t.events, event)
	for ch := range t.readers {
		select {
		case ch <- event:
		default:
			delete(t.readers, ch)
			close(ch)
		}
	}
}

func (t *hubTopic) read(w http.ResponseWriter, r *http.Request) {
	ch := make(chan []byte, queue)
	var missed [][]byte
	t.mu.Lock()
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		n, _ := strconv.Atoi(id)
		missed = t.events[min(max(n, 0), len(t.events)):]
	}
	t.readers[ch] = struct{}{}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.readers, ch)
		t.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := w.(http.Flusher)
	io.WriteString(w, ": hello\n\n")
	for _, event := range missed {
		w.Write(event)
	}
	flusher.Flush()
	for {
		select {
		case event, ok := <-ch:
			for ok { // all that there is
				w.Write(event)
				select {
				case event, ok = <-ch:
					continue
				default:
				}
				break
			}
			if !ok {
				return
			}
			flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// bare is the least that can be done without putting events together: one write for
// each event and reader, by whoever publishes, to descriptors in a list. It keeps
// nothing and knows no topic. Who cannot take an event misses it.
type bare struct {
	mu  sync.Mutex
	fds []int
}

func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		event := fmt.Sprintf("data: %s\n\n", body)
		chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
		b.mu.Lock()
		for _, fd := range b.fds {
			_, _ = syscall.Write(fd, chunk)
		}
		b.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if own, err := syscall.Dup(int(fd)); err == nil {
			_, _ = syscall.Write(own, []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n: hello\n\n\r\n"))
			b.mu.Lock()
			b.fds = append(b.fds, own)
			b.mu.Unlock()
		}
	})
	conn.Close()
}
