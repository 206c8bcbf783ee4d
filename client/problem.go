package client

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
)

// maxProblem is how much of an error's body is read.
const maxProblem = 64 << 10

// readProblem makes an error of an answer that is not the one hoped for. Its
// field "status" is the status, and "body" the body if that says nothing by
// itself. It reads the body and does not close it.
func readProblem(resp *http.Response) *leat.Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	status := statusText(resp.StatusCode)
	switch mediaType(resp.Header) {
	case "application/problem+json", "application/json":
		if e := parseProblem(body); e != nil {
			e.Detail = status + ": " + e.Detail
			return e.With("status", resp.StatusCode)
		}
	}
	e := leat.Errorf(codeFor(resp.StatusCode), "the server answered %s", status)
	if text := firstLine(body, resp.Header); text != "" {
		e.Detail += ": " + text
	}
	if len(body) > 0 {
		e.With("body", strings.ToValidUTF8(string(body), "\uFFFD"))
	}
	return e.With("status", resp.StatusCode)
}

// parseProblem reads a problem document (RFC 9457). It returns nil if body is
// not one that says what happened.
func parseProblem(body []byte) *leat.Error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // so that counts stay integers
	var members map[string]any
	if dec.Decode(&members) != nil {
		return nil
	}
	text := func(name string) string {
		s, _ := members[name].(string)
		delete(members, name)
		return s
	}
	title := text("title")
	e := &leat.Error{Code: leat.Code(text("code")), Detail: text("detail"), Advice: text("advice")}
	if e.Detail == "" {
		e.Detail = title
	}
	if e.Detail == "" {
		return nil
	}
	if e.Code == "" {
		e.Code = CodeAnswer // a problem document of another program
	}
	for name, value := range members {
		if n, ok := value.(json.Number); ok {
			value = number(n)
		}
		e.With(name, value)
	}
	return e
}

// number returns an int if n is one, as the server's own fields have it.
func number(n json.Number) any {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i
	}
	f, _ := n.Float64()
	return f
}

// codeFor is the code for an answer that names none.
func codeFor(status int) leat.Code {
	switch {
	case status == http.StatusTooManyRequests || status >= 500:
		return leat.CodeUnavailable
	case status == http.StatusNotFound:
		return leat.CodeNotFound
	case status == http.StatusRequestEntityTooLarge:
		return leat.CodeTooLarge
	}
	return CodeAnswer
}

// firstLine is what a plain text body begins with, for people.
func firstLine(body []byte, h http.Header) string {
	const most = 200
	if mediaType(h) != "text/plain" {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(line) > most {
		line = line[:most] + "…"
	}
	return strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD")
}

// mediaType is the Content-Type without its parameters, in lower case. It
// forgives parameters that are not well formed, as browsers do.
func mediaType(h http.Header) string {
	essence, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(essence))
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110,
// section 10.2.3). It is 0 if there is none that makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxRetry/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetry)
	}
	return 0
}
