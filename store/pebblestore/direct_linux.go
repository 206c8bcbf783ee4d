package pebblestore

import "syscall"

// setDirect has what is written to a descriptor go past the page cache, or not. It
// reports whether it could: not every file system can do that.
func setDirect(fd uintptr, direct bool) bool {
	flags, _, err := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
	if err != 0 {
		return false
	}
	if flags &^= syscall.O_DIRECT; direct {
		flags |= syscall.O_DIRECT
	}
	_, _, err = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFL, flags)
	return err == 0
}
