package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// Of prctl(2).
const (
	prSetTimerSlack = 29
	prGetTimerSlack = 30
)

// systemSlack is what Linux gives a process to which nobody has given another.
const systemSlack = 50 * time.Microsecond

// restarted marks a process that was restarted. It is no name of a setting.
const restarted = "_LEAT_RESTARTED"

// giveSlack lets the system wake this process by so much later than it asks for, and
// restarts it for that: a thread has the slack of the one that made it, and those of the
// Go runtime are there before this program is. The one that matters is its watchdog. As
// soon as there is anything to do it looks every 20 us at what the other threads wait for,
// and beside syncs of a disk that is a good part of all work.
//
// It returns if nothing is to be changed or nothing can be: then all goes on as it was. A
// slack that somebody has set is left as it is.
func giveSlack(slack time.Duration) {
	if os.Getenv(restarted) != "" {
		_ = os.Unsetenv(restarted) // whether the system has kept the slack or not: once is enough
		return
	}
	self, err := os.Executable()
	if err != nil || slack <= 0 || timerSlack() != systemSlack {
		return
	}
	runtime.LockOSThread() // the one that exec leaves, and whose slack it keeps
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, uintptr(slack), 0); errno == 0 {
		_ = syscall.Exec(self, os.Args, append(os.Environ(), restarted+"=1"))
	}
}

// timerSlack is that of the thread that calls it. 0: the system does not say.
func timerSlack() time.Duration {
	ns, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(ns)
}
