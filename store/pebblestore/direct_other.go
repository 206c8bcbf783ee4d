//go:build !linux

package pebblestore

// setDirect is for Linux.
func setDirect(uintptr, bool) bool { return false }
