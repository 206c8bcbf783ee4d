package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
)

// ask makes one request, for what is behind b.offset, and takes the answer. If
// it fails it says whether another attempt may succeed, and when.
func (b *Body) ask() (again bool, after time.Duration, err error) {
	ctx, drop := context.WithCancelCause(b.ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		drop(nil)
		return false, 0, refusedAddress(b.url, err)
	}
	// What is counted is bytes of what is there, not of a compression of it.
	req.Header.Set("Accept-Encoding", "identity")
	if b.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
		if b.validator != "" {
			req.Header.Set("If-Range", b.validator)
		}
	}
	w := newWatch(b.options.Stall, drop)
	w.begin()
	resp, err := b.sender.do(req)
	w.end()
	if err != nil {
		cause := context.Cause(ctx)
		drop(nil)
		var own *prepareError
		switch {
		case errors.As(err, &own):
			return false, 0, own.err
		case cause != nil:
			return true, 0, cause
		}
		return true, 0, unreachable(b.url, err)
	}
	resp.Body = &watchedBody{resp.Body, w}
	again, after, err = b.take(resp)
	if err != nil {
		resp.Body.Close()
		drop(nil)
		return again, after, err
	}
	b.header, b.body, b.drop, b.dead = resp.Header, resp.Body, drop, ctx
	b.from, b.opened = b.offset, time.Now()
	b.leat = endOf(resp.Header)
	if !b.answered || b.waited {
		b.answered, b.waited = true, false
		b.notify(Notice{Kind: Connected})
	}
	return false, 0, nil
}

// take looks at an answer, and leaves its body at b.offset.
func (b *Body) take(resp *http.Response) (again bool, after time.Duration, err error) {
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		return b.takeWhole(resp)
	case status == http.StatusPartialContent && b.offset > 0:
		return false, 0, b.takePart(resp)
	case status == http.StatusRequestedRangeNotSatisfiable && b.offset > 0:
		_, _, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
		switch {
		case ok && size == b.offset:
			b.size = size
			return false, 0, io.EOF // all of it is there
		case ok && size >= 0 && size < b.offset:
			return false, 0, b.changed(fmt.Sprintf("it has %d bytes, and %d were read", size, b.offset))
		}
	case status == http.StatusTooManyRequests, status >= 500:
		return true, retryAfter(resp.Header, time.Now()), readProblem(resp)
	}
	return false, 0, readProblem(resp)
}

// takeWhole takes an answer that begins with the first byte.
func (b *Body) takeWhole(resp *http.Response) (again bool, after time.Duration, err error) {
	tag := validator(resp.Header)
	size := resp.ContentLength
	if b.offset == 0 {
		b.size, b.last, b.validator = size, size, tag
		return false, 0, nil
	}
	// The server takes no ranges, or has something else. It says which of both.
	switch {
	case b.validator == "":
		return false, 0, leat.Errorf(CodeAnswer, "%s does not send a part of what it has, which begins at byte %d", resp.Request.URL.Redacted(), b.offset).
			With("status", resp.StatusCode).Advise("Begin again with the first byte.")
	case tag != b.validator:
		return false, 0, b.changed("it is not what it was when the first bytes were read, or some are gone")
	}
	if _, err := io.CopyN(io.Discard, resp.Body, b.offset); err != nil {
		return true, 0, unreachable(b.url, err)
	}
	b.size, b.last = size, size
	return false, 0, nil
}

// takePart takes an answer of status 206.
func (b *Body) takePart(resp *http.Response) error {
	first, last, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
	tag := validator(resp.Header)
	switch {
	case !ok || first != b.offset:
		return leat.Errorf(CodeAnswer, "%s has sent the range %q, and what begins at byte %d was asked for",
			resp.Request.URL.Redacted(), resp.Header.Get("Content-Range"), b.offset).With("status", resp.StatusCode)
	case b.size >= 0 && size >= 0 && size != b.size:
		return b.changed(fmt.Sprintf("it has %d bytes, and had %d", size, b.size))
	case b.size >= 0 && b.validator != "" && tag != "" && tag != b.validator:
		// A server that has looked at If-Range does not send this. The tag of
		// what has no size yet changes while it grows.
		return b.changed("it is not what it was when the first bytes were read")
	}
	if b.size < 0 {
		b.size = size
	}
	if b.validator == "" {
		b.validator = tag
	}
	if b.last = last + 1; resp.ContentLength < 0 {
		b.last = -1 // it goes on until it ends, and last is beyond all (RFC 8673)
	}
	return nil
}

func (b *Body) changed(how string) error {
	return leat.Errorf(CodeChanged, "the resource has changed: %s", how).Advise("Begin again with the first byte.")
}

// parseContentRange reads "bytes 3-5/9", "bytes 3-5/*" or "bytes */9". What is
// not there is -1.
func parseContentRange(value string) (first, last, size int64, ok bool) {
	value, ok = strings.CutPrefix(value, "bytes ")
	positions, total, ok2 := strings.Cut(value, "/")
	if !ok || !ok2 {
		return 0, 0, 0, false
	}
	number := func(s string) int64 {
		n, err := strconv.ParseUint(s, 10, 63)
		ok = ok && err == nil
		return int64(n)
	}
	first, last, size = -1, -1, -1
	if total != "*" {
		size = number(total)
	}
	if positions != "*" {
		from, to, _ := strings.Cut(positions, "-")
		first, last = number(from), number(to)
		ok = ok && first <= last+1 // a live range may be empty
	}
	return first, last, size, ok
}

// validator is what an If-Range can be made of: a strong ETag, or else a
// Last-Modified that is strong, because the answer is at least a second newer
// (RFC 9110, section 8.8.2.2).
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		if strings.HasPrefix(tag, `"`) {
			return tag
		}
		return ""
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}
