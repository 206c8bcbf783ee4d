package sse_test

import (
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/sse"
)

// A trace is everything that a caller can observe of a stream, in order, so
// that two ways to decode it can be compared.
type trace struct {
	log      []string // events, comments, retries
	lastID   string
	retry    time.Duration
	hasRetry bool
	pending  bool
	err      string
}

func (tr *trace) addEvent(id, typ, data string) { tr.log = append(tr.log, event(id, typ, data)) }
func (tr *trace) addComment(text string)        { tr.log = append(tr.log, comment(text)) }
func (tr *trace) addRetry(d time.Duration) {
	tr.log = append(tr.log, retry(d))
	tr.retry, tr.hasRetry = d, true
}

// What stands in a log, also written by tables as what they want.

func event(id, typ, data string) string {
	if len(data) > 100 {
		data = fmt.Sprintf("%s… %d bytes, CRC %x", data[:50], len(data), crc32.ChecksumIEEE([]byte(data)))
	}
	return fmt.Sprintf("event id=%q type=%q data=%q", id, typ, data)
}
func message(data string) string       { return event("", "", data) }
func comment(text string) string       { return fmt.Sprintf("comment %q", text) }
func retry(d time.Duration) string     { return "retry " + d.String() }
func millis(ms int) string             { return retry(time.Duration(ms) * time.Millisecond) }
func logOf(entries ...string) []string { return entries }

// options returns o with callbacks that write to tr.
func (tr *trace) options(o sse.Options) *sse.Options {
	o.OnComment = func(text []byte) { tr.addComment(string(text)) }
	o.OnRetry = tr.addRetry
	return &o
}

// push decodes stream with a Parser, cut at the given offsets.
func push(o sse.Options, stream []byte, cuts ...int) trace {
	var tr trace
	p := sse.NewParser(tr.options(o))
	from := 0
	for _, to := range append(slices.Clone(cuts), len(stream)) {
		// A copy that is overwritten: Parse must keep no reference to it.
		chunk := slices.Clone(stream[from:to])
		tr.err = pushChunk(p, &tr, chunk)
		for i := range chunk {
			chunk[i] = '!'
		}
		from = to
	}
	tr.lastID = p.LastEventID()
	tr.retry, tr.hasRetry = p.Retry()
	tr.pending = p.Pending()
	return tr
}

func pushChunk(p *sse.Parser, tr *trace, chunk []byte) string {
	for {
		ev, rest, ok, err := p.Parse(chunk)
		if err != nil {
			return err.Error()
		}
		if !ok {
			if len(rest) > 0 {
				return "rest without an event"
			}
			return ""
		}
		tr.addEvent(ev.ID, ev.Type, string(ev.Data))
		chunk = rest
	}
}

// every returns the offsets that cut n bytes into chunks of size.
func every(size, n int) []int {
	var cuts []int
	for i := size; i < n; i += size {
		cuts = append(cuts, i)
	}
	return cuts
}

// pull decodes what r gives with a Decoder.
func pull(o sse.Options, r io.Reader) trace {
	var tr trace
	d := sse.NewDecoder(r, tr.options(o))
	for ev, err := range d.Events() {
		if err != nil {
			tr.err = err.Error()
			break
		}
		tr.addEvent(ev.ID, ev.Type, string(ev.Data))
	}
	tr.lastID = d.LastEventID()
	tr.retry, tr.hasRetry = d.Retry()
	tr.pending = d.Pending()
	return tr
}

func (tr trace) diff(t *testing.T, how string, want trace) {
	t.Helper()
	if got, want := tr.String(), want.String(); got != want {
		t.Errorf("%s:\n got %s\nwant %s", how, got, want)
	}
}

func (tr trace) String() string {
	return fmt.Sprintf("%s\n     last id %q, retry %v %v, pending %v, error %q",
		strings.Join(tr.log, "\n     "), tr.lastID, tr.retry, tr.hasRetry, tr.pending, tr.err)
}
