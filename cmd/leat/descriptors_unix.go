//go:build unix

package main

import "syscall"

// descriptorLimit returns how many descriptors this process may have, 0 if any
// number. The Go runtime has raised the limit to the hard one already.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
