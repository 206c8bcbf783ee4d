package upload

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/leat-dev/leat/internal/ingest"
)

// A Pace says what a sender's time is limited for.
type Pace int

// The paces.
const (
	Whole Pace = iota // all of the body
	Line              // each line, from its first byte on
	Byte              // nothing: bytes come when they come
)

// A Body is the body of a request whose sender has a limited time.
type Body struct {
	from  io.Reader
	rc    *http.ResponseController
	limit time.Duration // negative: none
	pace  Pace
	armed bool

	mu    sync.Mutex
	ended bool // no deadline is set any more but the one that has passed
}

// NewBody returns the body of r, whose time is limited by the response's read
// deadline. Where that cannot be set there is none: the caller's middleware
// decides over that.
func NewBody(w http.ResponseWriter, r *http.Request, limit time.Duration) *Body {
	return &Body{from: r.Body, rc: http.NewResponseController(w), limit: limit}
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

func (b *Body) Read(p []byte) (int, error) {
	if b.pace == Whole && !b.armed && b.limit > 0 {
		b.arm(time.Now().Add(b.limit))
	}
	n, err := b.from.Read(p)
	switch {
	case err != nil, b.pace == Line && n > 0 && p[n-1] == '\n':
		b.disarm()
	case b.pace == Line && n > 0 && b.limit > 0 && (!b.armed || bytes.IndexByte(p[:n], '\n') >= 0):
		b.arm(time.Now().Add(b.limit)) // a line has begun
	}
	return n, err
}

// Interrupt makes a Read that waits for bytes, and each that follows, return with
// an error. It may be called beside Read.
func (b *Body) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	_ = b.rc.SetReadDeadline(time.Unix(1, 0))
}

func (b *Body) arm(t time.Time) {
	b.set(t)
	b.armed = true
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
	if !b.ended {
		_ = b.rc.SetReadDeadline(t)
	}
}
