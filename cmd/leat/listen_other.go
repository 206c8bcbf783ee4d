//go:build !linux

package main

import (
	"syscall"
	"time"
)

// limitUnacked does nothing: other systems have no such option, or give up
// early by themselves.
func limitUnacked(syscall.RawConn, time.Duration) error { return nil }
