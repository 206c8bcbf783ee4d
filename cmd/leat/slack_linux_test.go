package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is restarted with the slack, once, unless somebody has given it one.
func TestGiveSlack(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ give, before, environment, want string }{
		{give: "300us", want: "300µs"},
		{give: "0s", want: "50µs"},
		{give: "300us", before: "70us", want: "70µs"},
		{give: "300us", environment: restarted + "=1", want: "50µs"}, // by a system that has forgotten it
	} {
		cmd := exec.Command(self, "-test.run=^TestSlackOfAProcess$")
		cmd.Env = append(os.Environ(), "SLACK_GIVE="+test.give, "SLACK_BEFORE="+test.before, test.environment)
		out, err := cmd.Output()
		if got, _, _ := strings.Cut(string(out), "\n"); err != nil || got != test.want+" " {
			t.Errorf("%+v: it has %q, %v", test, got, err)
		}
	}
}

// TestSlackOfAProcess is what TestGiveSlack starts.
func TestSlackOfAProcess(t *testing.T) {
	give, err := time.ParseDuration(os.Getenv("SLACK_GIVE"))
	if err != nil {
		return
	}
	runtime.LockOSThread()
	if before, err := time.ParseDuration(os.Getenv("SLACK_BEFORE")); err == nil {
		syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(before), 0)
	}
	giveSlack(give)
	fmt.Println(timerSlack(), os.Getenv(restarted))
}
