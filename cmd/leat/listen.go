package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/leat-dev/leat"
)

// A reader that vanishes without a word, such as a telephone in a tunnel, is noticed
// by keep-alive probes while nothing is sent to it. While something is, ConnContext of
// the server has set a limit, which counts for the probes too.
const (
	probeAfter = 30 * time.Second
	probeEvery = 10 * time.Second
	probes     = 3
)

// listen opens the address for HTTP. Errors say what to do.
func listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes,
		},
	}
	ln, err := config.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, leat.Errorf(leat.CodeUnavailable, "%s is in use by another program", address).
			Advise("Stop that one, or choose another port, for example --listen " + otherPort(address) + " for any that is free.")
	case errors.Is(err, fs.ErrPermission):
		return nil, leat.Errorf(leat.CodeUnavailable, "listening on %s is not permitted", address).
			Advise("Ports below 1024 are often reserved. Choose another, for example --listen " + otherPort(address) + " for any that is free.")
	}
	return nil, leat.Errorf(leat.CodeInvalidParameter, "listening on %s failed: %w", address, err).
		Advise("Write an address of this machine and a port, such as 127.0.0.1:8080, or :8080 for all its addresses.")
}

func otherPort(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, "0")
}

// newHTTPServer returns the server for a handler whose answers may last for
// days. There is no WriteTimeout, which would end them; the handler bounds
// each write, and the reading of each body, by itself.
func newHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10, // 100 topics of 512 bytes, percent-encoded
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		Protocols:         new(http.Protocols),
		// The HTTP/2 likeness of keep-alive probes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: probeAfter, PingTimeout: probeAfter},
	}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetUnencryptedHTTP2(true)
	return hs
}

// baseURL is where clients on this machine find the listener.
func baseURL(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if strings.Contains(addr.String(), "[::]") {
			host = "localhost" // [::] may be without IPv4
		}
	}
	return "http://" + net.JoinHostPort(host, port)
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
