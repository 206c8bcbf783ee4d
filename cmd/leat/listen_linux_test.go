package main

import (
	"net"
	"syscall"
	"testing"
)

// Accepted connections have the probes that make a vanished peer noticed.
func TestListenLimits(t *testing.T) {
	ln, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	there, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	raw, err := here.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []struct {
		name        string
		level, what int
		want        int
	}{
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(probeAfter.Seconds())},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(probeEvery.Seconds())},
		{"TCP_KEEPCNT", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, probes},
	} {
		err := raw.Control(func(fd uintptr) {
			got, err := syscall.GetsockoptInt(int(fd), option.level, option.what)
			if err != nil || got != option.want {
				t.Errorf("%s is %d, %v, want %d", option.name, got, err, option.want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
