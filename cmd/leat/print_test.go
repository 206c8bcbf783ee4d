package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/leat-dev/leat/internal/doctor"
)

// Colours are for terminals whose users like them, and never part of what is printed
// into a file or a pipe.
func TestColours(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	var pipe bytes.Buffer
	if got := paintFor(&pipe)(red, "x"); got != "x" {
		t.Errorf("into a buffer %q", got)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := paintFor(file)(red, "x"); got != "x" {
		t.Errorf("into a file %q", got)
	}
	// A character device as a terminal is one.
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if got := paintFor(terminal)(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal %q", got)
	}
	for name, value := range map[string]string{"NO_COLOR": "1", "TERM": "dumb"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if got := paintFor(terminal)(red, "x"); got != "x" {
				t.Errorf("with %s=%s %q", name, value, got)
			}
		})
	}
	l := layout{paint: coloured}
	want := "\x1b[2m" + time.Unix(0, 0).Local().Format(localTime) + "\x1b[0m  \x1b[36ma\x1b[0m  \x1b[33m-\x1b[0m  \\x1b[0m\n"
	if got := string(l.appendFields(nil, time.Unix(0, 0), "a", "", "\x1b[0m")); got != want {
		t.Errorf("a record is %q, want %q", got, want)
	}
	f := doctor.Finding{Level: doctor.Problem, Check: "flush", Text: "\x1b", Fix: "mend it"}
	want = "\x1b[31mproblem\x1b[0m  \x1b[1mflush        \x1b[0m  \\x1b\n                        -> mend it\n"
	if got := string(appendFinding(nil, f, coloured)); got != want {
		t.Errorf("a finding is %q, want %q", got, want)
	}
}
