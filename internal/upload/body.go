package upload

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/repeat"
)

// A Pace says what a sender's time is limited for.
type Pace int

// The paces.
const (
	Whole Pace = iota // all of the body
	Line              // each line, from its first byte on
	Byte              // nothing: bytes come when they come
)

// A Body is the body of a request whose sender has a limited time. But for
// Interrupt its methods are for one goroutine at a time.
type Body struct {
	from   io.Reader
	w      http.ResponseWriter
	limit  time.Duration // 0 and negative: none
	length int64         // that was announced, -1 if none was
	pace   Pace
	armed  bool

	peeked []byte // was read by Empty
	stop   error  // what the reader ended with

	mu          sync.Mutex
	interrupted bool // no deadline is set any more but the one that has passed
}

// NewBody returns the body of r, whose time is limited by the response's read
// deadline. Where that cannot be set there is none: the caller's middleware
// decides over that. There is none either for a body that has arrived.
func NewBody(w http.ResponseWriter, r *http.Request, limit time.Duration) *Body {
	if _, ok := r.Body.(repeat.Arrived); ok {
		limit = 0
	}
	return &Body{from: r.Body, w: w, limit: limit, length: r.ContentLength}
}

// SetPace says what the time is limited for. It must be called before the first
// Read, by whoever knows what the body is; without it that is Whole.
func (b *Body) SetPace(p Pace) { b.pace = p }

// Ingest returns the body as package ingest reads it.
func (b *Body) Ingest(r *http.Request, maxRecord int) ingest.Body {
	return ingest.Body{
		Reader:      b,
		ContentType: r.Header.Get("Content-Type"),
		Encoding:    r.Header.Get("Content-Encoding"),
		Length:      r.ContentLength,
		MaxRecord:   maxRecord,
	}
}

// Empty reports whether the body has no byte. It waits for the first one if the
// length was not announced. Of a body that stops before that it is false: Read
// says why.
func (b *Body) Empty() bool {
	if b.length >= 0 {
		return b.length == 0
	}
	if b.stop == nil && len(b.peeked) == 0 {
		p := make([]byte, 1)
		for n := 0; n == 0 && b.stop == nil; {
			n, _ = b.Read(p)
			b.peeked = p[:n]
		}
	}
	return b.stop == io.EOF && len(b.peeked) == 0
}

func (b *Body) Read(p []byte) (int, error) {
	switch {
	case len(b.peeked) > 0:
		n := copy(p, b.peeked)
		b.peeked = b.peeked[n:]
		return n, nil
	case b.stop != nil:
		return 0, b.stop
	case b.pace == Whole && !b.armed:
		b.arm()
	}
	n, err := b.from.Read(p)
	b.stop = err
	switch {
	case err != nil, b.pace == Line && n > 0 && endsLine(p[n-1]):
		b.disarm()
	case b.pace == Line && n > 0 && (!b.armed || bytes.ContainsAny(p[:n], "\r\n")):
		b.arm() // a line has begun
	}
	return n, err
}

// endsLine reports whether c ends a line, in an event stream at least. In lines
// of JSON a CR ends none, and does not stand inside of one either, save for white
// space that nobody sends.
func endsLine(c byte) bool { return c == '\n' || c == '\r' }

// Broken reports whether the body stopped before its end, because its sender
// went away or was too slow.
func (b *Body) Broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stop != nil && b.stop != io.EOF && !b.interrupted
}

// Interrupt makes a Read that waits for bytes, and each that follows, return with
// an error. It may be called beside Read.
func (b *Body) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupted = true
	_ = http.NewResponseController(b.w).SetReadDeadline(time.Unix(1, 0))
}

// Leave must be called before an answer that does not wait for the end of the
// body. Without it net/http, which over HTTP/1 takes up to 256 KiB of the rest
// before it sends the head of an answer, waits for a sender that waits for
// nothing: one that appends as things happen would not be told of its mistake
// before it ends. So a sender of a body of unknown length, and one that was too
// slow, is answered at once and its connection then closed, in the way in which
// that is done for a body that is too large: the answer arrives even if the
// sender is in the middle of a write. A body of known length is on its way, and
// the connection can be used again after it. Not so one that was interrupted,
// though its body may have come to its end in the same moment: net/http may have
// met the time that has passed, and takes the client of the connection for gone.
func (b *Body) Leave() {
	b.mu.Lock()
	interrupted := b.interrupted
	b.mu.Unlock()
	switch {
	case interrupted:
	case b.stop == io.EOF || b.length == 0:
		return
	case b.length > 0 && b.stop == nil:
		b.arm()
		return
	}
	b.Interrupt()
	tooLarge := http.MaxBytesReader(innermost(b.w), io.NopCloser(strings.NewReader(".")), 0)
	_, _ = tooLarge.Read(make([]byte, 1))
}

// innermost returns the http.Server's own writer, whatever wraps it: net/http does not
// look for it.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok || u.Unwrap() == nil {
			return w
		}
		w = u.Unwrap()
	}
}

// arm lets the time begin.
func (b *Body) arm() {
	if b.limit > 0 {
		b.set(time.Now().Add(b.limit))
		b.armed = true
	}
}

func (b *Body) disarm() {
	if b.armed {
		b.set(time.Time{})
		b.armed = false
	}
}

func (b *Body) set(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.interrupted {
		_ = http.NewResponseController(b.w).SetReadDeadline(t)
	}
}
