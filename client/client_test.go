package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/leat-dev/leat"
)

// Errors of the network say where and why once, and keep their cause.
func TestUnreachable(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{errRefused, "no server at http://leat.test:1: connection refused. Start one with `leat serve`, or name the address of one that runs."},
		{io.ErrUnexpectedEOF, "http://leat.test:1 closed the connection"},
		{io.EOF, "http://leat.test:1 closed the connection"},
		{&net.OpError{Op: "dial", Err: errBroken}, "http://leat.test:1 could not be reached: network is broken"},
		{errBroken, "http://leat.test:1 could not be reached: network is broken"},
	} {
		err := &url.Error{Op: "Get", URL: "http://leat.test:1/x", Err: tc.err}
		got := unreachable("http://user:secret@leat.test:1/x?token=secret", err)
		if got.Error() != tc.want || got.Code != leat.CodeUnavailable || !errors.Is(got, tc.err) {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// What another request was cancelled for is not why this one failed.
func TestForeignCancel(t *testing.T) {
	got := unreachable("http://leat.test:1/x", &url.Error{Op: "Get", Err: context.Canceled})
	if errors.Is(got, context.Canceled) || got.Error() != "the connection to http://leat.test:1 was closed" {
		t.Errorf("got %q", got)
	}
}

func TestNoticeKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := NoticeKind(0); k <= Comment+1; k++ {
		seen[k.String()] = true
	}
	if len(seen) != 6 { // five, and one for what is none
		t.Errorf("names %v", seen)
	}
}
