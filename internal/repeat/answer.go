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

	// Of a desk.
	conn   *conn
	prompt bool   // the handler was called by the desk, and must not wait
	late   bool   // it has put the answer off
	write  func() // what is still to be written then; nil: nothing
	broken bool   // the handler has panicked
	over   func() // to be called when it is answered
}

func (a *answer) reset() {
	clear(a.header)
	*a = answer{header: a.header, body: a.body[:0], out: a.out, second: a.second, date: a.date}
}

// PutOff has the answer to a request not end with its handler, so that this need not wait:
// ok says whether that can be done, and is false where a handler may wait. Then finish is
// to be called once, by any goroutine. It has write called, which writes to w and must not
// wait either, and the answer sent. The body of the request cannot be read any more.
func PutOff(w http.ResponseWriter) (finish func(write func()), ok bool) {
	a, ok := w.(*answer)
	if !ok || !a.prompt {
		return nil, false
	}
	a.late = true
	return func(write func()) {
		a.write = write
		a.conn.desk.finish(a)
	}, true
}

// WhenAnswered calls f when the handler of w is done, and if it has put its answer off when
// that is finished.
func WhenAnswered(w http.ResponseWriter, f func()) {
	if a, ok := w.(*answer); ok && a.late {
		a.over = f
		return
	}
	f()
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

// complete sets what net/http sets too.
func (a *answer) complete() {
	a.WriteHeader(http.StatusOK)
	if len(a.body) > 0 && len(a.header["Content-Type"]) == 0 && a.header.Get("Content-Encoding") == "" {
		a.header.Set("Content-Type", http.DetectContentType(a.body))
	}
	delete(a.header, "Content-Length") // it is told for what there is
}

// forward sends the answer by a writer of net/http.
func (a *answer) forward(w http.ResponseWriter) {
	a.complete()
	if hasBody(a.status) {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// bytes returns the answer as it is sent. They are overwritten by the next.
func (a *answer) bytes(now time.Time, last bool) []byte {
	a.complete()
	b := &a.out
	b.Reset()
	b.WriteString("HTTP/1.1 ")
	b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(a.status), 10))
	b.WriteByte(' ')
	b.WriteString(http.StatusText(a.status))
	if _, ok := a.header["Date"]; !ok {
		if second := now.Unix(); second != a.second {
			a.second, a.date = second, now.UTC().Format(http.TimeFormat)
		}
		b.WriteString("\r\nDate: ")
		b.WriteString(a.date)
	}
	if hasBody(a.status) {
		b.WriteString("\r\nContent-Length: ")
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(len(a.body)), 10))
	}
	b.WriteString("\r\n")
	if last {
		a.header.Set("Connection", "close")
	}
	_ = a.header.Write(b) // to memory
	b.WriteString("\r\n")
	b.Write(a.body)
	return b.Bytes()
}
