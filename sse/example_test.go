package sse_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/leat-dev/leat/sse"
)

func ExampleAppendEvent() {
	buf := make([]byte, 0, 1024) // used again for each event
	buf, err := sse.AppendEvent(buf, "42", "note", []byte("first line\nsecond line"))
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(buf)
	// Output:
	// id: 42
	// event: note
	// data: first line
	// data: second line
}

func ExampleAppendEvent_refused() {
	_, err := sse.AppendEvent(nil, "42\ndata: forged", "", nil)
	fmt.Println(errors.Is(err, sse.ErrInvalidID))
	// Output: true
}

func ExampleAppendRetry() {
	// How a server might begin each of its streams.
	b := sse.AppendComment(nil, "welcome")
	b, err := sse.AppendRetry(b, 3*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", b)
	// Output: ": welcome\n\nretry: 3000\n\n"
}

func ExampleDecoder_Events() {
	body := strings.NewReader("id: 1\ndata: {\"n\":1}\n\n: heartbeat\n\nid: 2\nevent: end\ndata\n\n")
	d := sse.NewDecoder(body, &sse.Options{
		OnComment: func(text []byte) { fmt.Printf("alive: %s\n", text) },
	})
	for ev, err := range d.Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %q\n", ev.ID, ev.EventType(), ev.Data)
	}
	// Output:
	// 1 message "{\"n\":1}"
	// alive: heartbeat
	// 2 end ""
}

// A client that reconnects uses one Decoder for all its connections: it carries
// the last event ID and the reconnection time from one to the next.
func ExampleDecoder_Reset() {
	connect := func(lastEventID string) io.Reader {
		if lastEventID == "" {
			return strings.NewReader("retry: 10\nid: 1\ndata: one\n\nid: 2\ndata: cut o")
		}
		return strings.NewReader("id: 2\ndata: two\n\n")
	}
	wait := 3 * time.Second
	d := sse.NewDecoder(connect(""), nil)
	for range 2 {
		for ev, err := range d.Events() {
			if err != nil {
				break
			}
			fmt.Printf("%s\n", ev.Data)
		}
		if t, ok := d.Retry(); ok {
			wait = max(t, time.Millisecond)
		}
		fmt.Printf("wait %v, go on after %s\n", wait, d.LastEventID())
		d.Reset(connect(d.LastEventID()))
	}
	// Output:
	// one
	// wait 10ms, go on after 1
	// two
	// wait 10ms, go on after 2
}

func ExampleParser() {
	var p sse.Parser
	for _, chunk := range [][]byte{[]byte("data: a\r"), []byte("\n\r\nda"), []byte("ta: b\n\ndata: c\n\n")} {
		for len(chunk) > 0 {
			ev, rest, ok, err := p.Parse(chunk)
			if err != nil {
				log.Fatal(err)
			}
			if ok {
				fmt.Printf("%s\n", ev.Data)
			}
			chunk = rest
		}
	}
	// Output:
	// a
	// b
	// c
}
