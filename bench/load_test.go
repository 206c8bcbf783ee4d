//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
)

// What a load counts as wrong it must find, however the bytes are cut, and nothing
// else.
func TestLoadChecksDeliveries(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	event := func(publisher, seq int) string {
		e := fmt.Sprintf("id: x\ndata: %d %d 1 xxxx\n\n", publisher, seq)
		return fmt.Sprintf("%x\r\n%s\r\n", len(e), e)
	}
	for _, test := range []struct {
		name, body string
		events     int64
		wrong      int64
	}{
		{"in order", event(0, 0) + event(1, 0) + event(0, 1), 3, 0},
		{"a repeat", event(0, 0) + event(0, 0), 2, 1},
		{"a gap", event(0, 0) + event(0, 2), 2, 1},
		{"another order", event(0, 1) + event(0, 0), 2, 2},
		{"the server's own", "a\r\n: hello\n\n\n\r\n" + event(0, 0), 1, 0},
	} {
		for _, piece := range []int{1, 7, 1000} {
			l, r := &load{}, &reader{}
			l.take(r, []byte(head))
			for body := test.body; body != ""; {
				n := min(piece, len(body))
				l.take(r, []byte(body[:n]))
				body = body[n:]
			}
			if l.delivered.Load() != test.events || l.wrong.Load() != test.wrong || l.fault != nil {
				t.Errorf("%s, %d bytes at a time: %d events, %d wrong, %v", test.name, piece, l.delivered.Load(), l.wrong.Load(), l.fault)
			}
		}
	}
	l, r := &load{}, &reader{}
	l.take(r, []byte(head+"zz\r\n"+strings.Repeat("x", 10)))
	if l.fault == nil {
		t.Error("what are no chunks is taken for some")
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range int64(1000) {
		h.add(i * 1000)
	}
	for q, want := range map[float64]float64{0.5: 500e3, 0.99: 990e3} {
		if got := h.quantile(q); got < want*0.93 || got > want*1.07 {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
}

// What the generator itself costs: the same for all servers, and part of what they
// have to share two processors with.
func BenchmarkTake(b *testing.B) {
	l, r := &load{}, &reader{head: true, chunked: true}
	var body []byte
	const events = 40
	for i := range events {
		e := fmt.Sprintf("id: 1795656026105088_0000000000000003\ndata: %s\n\n", (fmt.Sprintf("0 %d 1795656026105088000 ", i) + padding)[:100])
		body = fmt.Appendf(body, "%x\r\n%s\r\n", len(e), e)
	}
	for b.Loop() {
		l.take(r, body)
		r.next[0] = 0
	}
	if l.wrong.Load() > 0 || l.fault != nil {
		b.Error(l.wrong.Load(), l.fault)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}
