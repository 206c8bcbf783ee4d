package repeat

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// An answer is gathered, and sent when its handler is done: so one write is enough.
type answer struct {
	under  http.ResponseWriter // of the http.Server, nil if there is none
	header http.Header
	status int // 0: not yet told
	body   []byte
	out    bytes.Buffer

	second int64  // that date is of
	date   string // as in the field Date
}

func (a *answer) reset() {
	clear(a.header)
	a.status = 0
	a.body = a.body[:0]
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 { // what comes before an answer is not sent
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if !hasBody(a.status) {
		return 0, http.ErrBodyNotAllowed
	}
	a.body = append(a.body, p...)
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.under }

// hasBody reports whether an answer of a status may have a body (RFC 9110, section 6.4.1).
func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// closes reports whether the connection ends with the answer.
func (a *answer) closes() bool { return a.header.Get("Connection") != "" }

// complete sets the fields that net/http sets.
func (a *answer) complete() {
	a.WriteHeader(http.StatusOK)
	if !hasBody(a.status) {
		return
	}
	if len(a.header["Content-Type"]) == 0 && len(a.body) > 0 && a.header.Get("Content-Encoding") == "" {
		a.header.Set("Content-Type", http.DetectContentType(a.body))
	}
	a.header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
}

// forward sends the answer by a writer of net/http.
func (a *answer) forward(w http.ResponseWriter) {
	a.complete()
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// bytes returns the answer as it is sent. They are overwritten by the next.
func (a *answer) bytes(now time.Time, last bool) []byte {
	a.complete()
	if second := now.Unix(); second != a.second {
		a.second, a.date = second, now.UTC().Format(http.TimeFormat)
	}
	if _, ok := a.header["Date"]; !ok {
		a.header["Date"] = []string{a.date}
	}
	if last {
		a.header.Set("Connection", "close")
	}
	a.out.Reset()
	a.out.WriteString("HTTP/1.1 ")
	a.out.WriteString(strconv.Itoa(a.status))
	a.out.WriteByte(' ')
	a.out.WriteString(http.StatusText(a.status))
	a.out.WriteString("\r\n")
	_ = a.header.Write(&a.out) // to memory
	a.out.WriteString("\r\n")
	a.out.Write(a.body)
	return a.out.Bytes()
}
