package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"100": 10 * time.Millisecond, "0.5/s": 2 * time.Second, "30/m": 2 * time.Second, "6/h": 10 * time.Minute,
		"0": -1, "-1/s": -1, "x": -1, "5/d": -1, "5/": -1, "": -1, "NaN": -1, "1e300": -1,
	} {
		var r rateFlag
		if err := r.UnmarshalText([]byte(text)); err != nil {
			r.pause = -1
		}
		if r.pause != want {
			t.Errorf("%q is one each %v, want %v", text, r.pause, want)
		}
	}
	url := answersAll(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, `{"count":`+string('0'+byte(bytes.Count(body, []byte("\n"))))+`,"last":"0_1"}`)
	})
	began := time.Now()
	status, _, stderr := command(t, "1\n2\n3\n4\n", "publish", "a", "--rate", "100/s", "--server", url)
	if took := time.Since(began); status != 0 || took < 30*time.Millisecond {
		t.Errorf("status %d after %v, %s", status, took, stderr)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{std: &streams{err: &out}, size: 100 << 20, live: true}
	p.stored(25 << 20)
	p.begun = p.begun.Add(-10 * time.Second)
	p.stored(50 << 20)
	if got := p.bar(p.begun.Add(10 * time.Second)); got != "[============            ]  50%  50.0 MiB of 100.0 MiB  2.5 MiB/s  20s left" {
		t.Errorf("the bar is %q", got)
	}
	if got := p.bar(p.begun); !strings.HasSuffix(got, "of 100.0 MiB") {
		t.Errorf("at once the bar is %q", got)
	}
	p.clear()
	if text := out.String(); !strings.HasPrefix(text, "leat: going on at 25.0 MiB of 100.0 MiB\n\r[======") || !strings.HasSuffix(text, "\r\x1b[K") {
		t.Errorf("%q", text)
	}
	empty := &progress{std: &streams{err: &out}}
	empty.stored(0)
	if got := empty.bar(time.Now()); !strings.Contains(got, "100%  0 B of 0 B") {
		t.Errorf("of nothing the bar is %q", got)
	}
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1048575: "1.0 MiB", 1 << 20: "1.0 MiB", 1536 << 20: "1.5 GiB", 1 << 62: "4.0 EiB", -1: "-1 B"} {
		if got := humanSize(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
