package sse_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/leat-dev/leat/sse"
)

// script is a reader that gives one part a read and then an error, and counts
// its reads.
type script struct {
	parts []string
	err   error // io.EOF if nil
	reads int
}

func (s *script) Read(b []byte) (int, error) {
	s.reads++
	if len(s.parts) == 0 {
		if s.err == nil {
			return 0, io.EOF
		}
		return 0, s.err
	}
	n := copy(b, s.parts[0])
	if s.parts[0] = s.parts[0][n:]; s.parts[0] == "" {
		s.parts = s.parts[1:]
	}
	return n, nil
}

func data(ev sse.Event) string { return string(ev.Data) }

// "block buffering or line buffering with different expected line endings can
// cause delays in event dispatch": an event is handed over with the read that
// brought its blank line, before another read.
func TestNextNeverReadsAhead(t *testing.T) {
	r := &script{parts: []string{"data: 1\n", "\n", "data: 2\r\r", "\ndata: 3\n\ndata: 4\n\nda", "ta: 5\n\n"}}
	d := sse.NewDecoder(r, nil)
	for i, reads := range []int{2, 3, 4, 4, 5} {
		ev, err := d.Next()
		if want := string(rune('1' + i)); err != nil || data(ev) != want || r.reads != reads {
			t.Errorf("event %q, %v after %d reads, want %q after %d", ev.Data, err, r.reads, want, reads)
		}
	}
	for range 2 {
		if ev, err := d.Next(); err != io.EOF || ev.Data != nil {
			t.Errorf("at the end: %v, %v; want io.EOF", ev, err)
		}
	}
}

// Reads are large once the reader gives much at a time.
func TestNextReadsLarge(t *testing.T) {
	stream := typicalStream(t, 10_000)
	r := &countingReader{r: bytes.NewReader(stream)}
	n := 0
	for _, err := range sse.NewDecoder(r, nil).Events() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if most := len(stream)/(64<<10) + 10; n != 10_000 || r.reads > most {
		t.Errorf("%d events of %d bytes in %d reads, want 10000 in at most %d", n, len(stream), r.reads, most)
	}
}

type countingReader struct {
	r     io.Reader
	reads int
}

func (c *countingReader) Read(b []byte) (int, error) {
	c.reads++
	return c.r.Read(b)
}

func TestReadErrors(t *testing.T) {
	broken := errors.New("connection reset")
	for name, r := range map[string]io.Reader{
		"after the bytes":    &script{parts: []string{"id: 1\ndata: x\n\nid: 2\ndata: y\n"}, err: broken},
		"with the bytes":     iotest.DataErrReader(&script{parts: []string{"id: 1\ndata: x\n\nid: 2\ndata: y\n"}, err: broken}),
		"one byte at a time": iotest.OneByteReader(&script{parts: []string{"id: 1\ndata: x\n\nid: 2\ndata: y\n"}, err: broken}),
	} {
		t.Run(name, func(t *testing.T) {
			d := sse.NewDecoder(r, nil)
			if ev, err := d.Next(); err != nil || data(ev) != "x" {
				t.Fatalf("%q, %v; want the event before the error", ev.Data, err)
			}
			for range 2 {
				if _, err := d.Next(); err != broken {
					t.Errorf("error %v, want that of the reader", err)
				}
			}
			if !d.Pending() || d.LastEventID() != "1" {
				t.Errorf("pending %v, last id %q; want true, 1", d.Pending(), d.LastEventID())
			}
			var errs []error
			for ev, err := range d.Events() {
				errs = append(errs, err)
				if ev.Data != nil {
					t.Error("an event with the error")
				}
			}
			if len(errs) != 1 || errs[0] != broken {
				t.Errorf("the iterator ends with %v, want that of the reader, once", errs)
			}
		})
	}
	d := sse.NewDecoder(&script{parts: []string{"data: x\n", "", "", "\n"}}, nil) // "" is an empty read
	if ev, err := d.Next(); err != nil || data(ev) != "x" {
		t.Errorf("with empty reads: %q, %v", ev.Data, err)
	}
	d = sse.NewDecoder(iotest.ErrReader(nil), nil) // neither bytes nor an error, for ever
	if _, err := d.Next(); err != io.ErrNoProgress {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

func TestEventsCanBeLeftAndResumed(t *testing.T) {
	d := sse.NewDecoder(strings.NewReader("data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n"), nil)
	var got []string
	for ev := range d.Events() {
		got = append(got, data(ev))
		break
	}
	ev, _ := d.Next()
	got = append(got, data(ev))
	for ev, err := range d.Events() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, data(ev))
	}
	if !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("got %q", got)
	}
}

// "so the last event ID string of the event source remains set to this value
// until the next time it is set by the server", over reconnects too; and so
// does the reconnection time. What was pending does not.
func TestResetContinues(t *testing.T) {
	d := sse.NewDecoder(strings.NewReader("\uFEFFretry: 7\ndata: 1\n\nid: b\ndata: cut"), &sse.Options{LastEventID: "a"})
	next := func(id, want string) {
		t.Helper()
		if ev, err := d.Next(); err != nil || data(ev) != want || ev.ID != id {
			t.Fatalf("%q, %v; want %q with id %q", ev, err, want, id)
		}
	}
	next("a", "1")
	if _, err := d.Next(); err != io.EOF || !d.Pending() || d.LastEventID() != "a" {
		t.Errorf("%v, pending %v, last id %q", err, d.Pending(), d.LastEventID())
	}
	d.Reset(strings.NewReader("\uFEFFdata: 2\n\nid: c\n\ndata: 3\r\n\r"))
	if d.Pending() {
		t.Error("pending after Reset")
	}
	next("a", "2")
	next("c", "3")
	if got, ok := d.Retry(); got != 7*time.Millisecond || !ok {
		t.Errorf("retry %v, %v after Reset", got, ok)
	}
	d.Reset(strings.NewReader("\n\ndata: 4\n\n")) // that LF is no part of the CR before
	next("c", "4")
	if _, err := d.Next(); err != io.EOF || d.Pending() {
		t.Errorf("%v, pending %v at a clean end", err, d.Pending())
	}
}

// An event is the caller's: neither later events nor the caller's own changes
// to it reach another.
func TestEventsAreTheCallers(t *testing.T) {
	stream := typicalStream(t, 300)
	big := "id: big\ndata: " + strings.Repeat("y", 200_000) + "\n\n"
	d := sse.NewDecoder(io.MultiReader(bytes.NewReader(stream), strings.NewReader(big), bytes.NewReader(stream)), nil)
	var events []sse.Event
	var ids []string
	for ev, err := range d.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if cap(ev.Data) != len(ev.Data) {
			t.Fatalf("room for %d bytes behind the data", cap(ev.Data)-len(ev.Data))
		}
		events, ids = append(events, ev), append(ids, strings.Clone(ev.ID))
		for i := range ev.Data {
			ev.Data[i] = byte(len(events))
		}
	}
	for i, ev := range events {
		if ev.ID != ids[i] || bytes.Count(ev.Data, []byte{byte(i + 1)}) != len(ev.Data) {
			t.Fatalf("event %d has changed: id %q, was %q, data %q", i, ev.ID, ids[i], ev.Data)
		}
	}
	if len(events) != 601 {
		t.Errorf("%d events", len(events))
	}
}

func TestEventType(t *testing.T) {
	// "Initialize event's type attribute to message"
	for typ, want := range map[string]string{"": "message", "message": "message", "add": "add"} {
		if got := (sse.Event{Type: typ}).EventType(); got != want {
			t.Errorf("EventType of %q is %q, want %q", typ, got, want)
		}
	}
	p := new(sse.Parser)
	if ev, _, _, _ := p.Parse([]byte("data\n\n")); ev.Data == nil {
		t.Error("empty data is nil")
	}
	if _, ok := p.Retry(); ok {
		t.Error("a reconnection time that nobody has set")
	}
}
