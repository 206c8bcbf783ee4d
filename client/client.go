// Package client reads what servers stream over HTTP, and publishes to Leat
// servers, over connections that it mends itself.
//
// [Client] is a Leat server seen from here:
//
//	c := &client.Client{URL: "http://127.0.0.1:8080"}
//	receipt, err := c.Publish(ctx, client.Text("news", "it works"))
//
//	for event, err := range c.Subscribe(ctx, client.Query{Topics: []string{"news"}}, client.SubscribeOptions{}) {
//		if err != nil {
//			return err // the server refused, or ctx ended
//		}
//		if event.Gap != nil {
//			// records that were due are gone: event.Gap says which
//		}
//	}
//
// The function [Subscribe] does the same for any URL and any server, with any
// method, header and body: it reads event streams, lines of JSON, the elements of
// a JSON array while it arrives, JSON text sequences, and Leat's long poll. [Open]
// reads bytes, and goes on with them after a cut.
//
// [Client.Publish] and [Publisher], which makes batches, publish messages to
// topics. [Producer] appends to one stream, and each thing once. [Client.Upload]
// appends bytes while they are made, [Client.UploadFile] a file that is there.
//
// # Errors
//
// Errors are *leat.Error, or that of the context. One that the server sent has
// the members of its problem document as Fields, and the status of the answer in
// the field "status". If the answer was no problem document, the first 64 KiB of
// its body are in the field "body". An error without a status was made here, for
// example with code leat.CodeUnavailable because there is no server.
//
// A response that was cut is never taken for one that has ended: where it cannot
// be gone on with, that is an error of code [CodeTruncated].
//
// The package imports only the standard library and packages leat and sse.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/leat-dev/leat"
)

// DefaultURL is where a Leat server listens if it is told nothing else.
const DefaultURL = "http://127.0.0.1:8080"

// CodeAnswer is the code of an error about an answer that could not be
// understood: a status without a problem document, or a content type that was
// not asked for. Such an answer is that of another program than Leat.
const CodeAnswer leat.Code = "unexpected_answer"

// CodeTruncated is the code of an error about a response that was cut: the
// network or the server broke off before all had come, and it cannot be gone on
// with. What was received before is good.
const CodeTruncated leat.Code = "truncated"

// CodeLine is the code of an error about a line, or another piece of a response,
// that is not what it should be. Its number, counted from 1, is in the field
// "line".
const CodeLine leat.Code = "bad_line"

// A Client is a Leat server, seen from a program that uses it. The zero value
// is the server at [DefaultURL]. Its methods may be called by many goroutines
// at once; its fields must not change after the first call.
type Client struct {
	// URL is where the server is, such as https://example.org or
	// https://example.org/leat. Empty means DefaultURL.
	URL string

	// HTTP sends the requests. Nil means http.DefaultClient. Its Timeout is
	// not used, since it would cut every subscription.
	HTTP *http.Client

	// Header is added to each request.
	Header http.Header

	// Prepare, if it is not nil, is called with each request before it is
	// sent, for example to add a fresh token. An error ends the call that
	// the request was made for.
	Prepare func(*http.Request) error
}

// endpoint returns the URL of a path below c.URL.
func (c *Client) endpoint(path string, query url.Values) (string, error) {
	base := c.URL
	if base == "" {
		base = DefaultURL
	}
	u, err := url.Parse(base)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = errors.New("it needs a scheme and a host")
	}
	if err != nil {
		return "", leat.Errorf(leat.CodeInvalidParameter, "%q is not the URL of a server: %w", base, err).
			Advise("Write it like " + DefaultURL + ".")
	}
	u = u.JoinPath(path)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// sender sends requests of one kind: what Client and SubscribeOptions share.
type sender struct {
	http    http.Client
	header  http.Header
	prepare func(*http.Request) error
}

func newSender(hc *http.Client, header http.Header, prepare func(*http.Request) error) sender {
	if hc == nil {
		hc = http.DefaultClient
	}
	s := sender{http: *hc, header: header, prepare: prepare}
	// Client.Timeout covers the reading of the body, which here may last
	// for days. Contexts bound what needs a bound.
	s.http.Timeout = 0
	return s
}

// do sends req with the user's headers, which do not replace those that are
// set already. The caller closes the body.
func (s *sender) do(req *http.Request) (*http.Response, error) {
	for name, values := range s.header {
		if _, ours := req.Header[http.CanonicalHeaderKey(name)]; !ours {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	// The transport sends req.Host and ignores the header of that name.
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if s.prepare != nil {
		if err := s.prepare(req); err != nil {
			return nil, &prepareError{err}
		}
	}
	return s.http.Do(req)
}

// A prepareError is what the user's Prepare returned. It is handed back as it
// is and nothing is tried again.
type prepareError struct{ err error }

func (e *prepareError) Error() string { return e.err.Error() }
func (e *prepareError) Unwrap() error { return e.err }

// unreachable turns an error of the network into one for the caller.
func unreachable(target string, err error) *leat.Error {
	where := target
	if u, perr := url.Parse(target); perr == nil {
		where = u.Scheme + "://" + u.Host
	}
	e := &leat.Error{Code: leat.CodeUnavailable, Cause: err}
	switch {
	case errors.Is(err, context.Canceled):
		// The caller has asked whether its own context has ended. This is that
		// of another request, which had the connection before: net/http mixes
		// them up at times.
		e.Cause = nil
		e.Detail = "the connection to " + where + " was closed"
		return e
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Detail = "no server at " + where + ": connection refused"
		return e.Advise("Start one with `leat serve`, or name the address of one that runs.")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Detail = where + " closed the connection"
		return e
	}
	// The outer errors repeat the method and the addresses.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var oe *net.OpError
	if errors.As(err, &oe) {
		err = oe.Err
	}
	e.Detail = fmt.Sprintf("%s could not be reached: %v", where, err)
	return e
}

// unsent reports whether err means that there was no connection to send a request
// on.
func unsent(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// refusedAddress is a URL that no request can be made of.
func refusedAddress(target string, err error) *leat.Error {
	return leat.Errorf(leat.CodeInvalidParameter, "no request can be made for %q: %w", target, err)
}

// statusText is "404 Not Found", whatever the server called it.
func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return fmt.Sprintf("status %d", status)
}
