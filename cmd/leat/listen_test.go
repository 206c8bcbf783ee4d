package main

import (
	"net"
	"testing"
)

func TestBaseURL(t *testing.T) {
	for _, tc := range []struct {
		ip       string
		want     string
		loopback bool
	}{
		{"127.0.0.1", "http://127.0.0.1:80", true},
		{"::1", "http://[::1]:80", true},
		{"10.0.0.1", "http://10.0.0.1:80", false},
		{"0.0.0.0", "http://127.0.0.1:80", false},
		{"::", "http://localhost:80", false},
	} {
		addr := &net.TCPAddr{IP: net.ParseIP(tc.ip), Port: 80}
		if got := baseURL(addr); got != tc.want || isLoopback(addr) != tc.loopback {
			t.Errorf("%s: %s, loopback %v", tc.ip, got, isLoopback(addr))
		}
	}
}
