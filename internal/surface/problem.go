// Package surface holds what the surfaces of the HTTP interface share: problem
// documents, the guard against foreign hosts and origins, content negotiation,
// and the connection of a response to package socket.
package surface

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/leat-dev/leat"
)

// WriteError answers with err as a problem document (RFC 9457). Errors that are
// not *leat.Error become a plain 500 that says nothing of their text; these are
// logged. Of a store that has failed its driver has told already. It returns the code
// that was answered.
func WriteError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) leat.Code {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		// The client has left: nobody hears the answer, and nothing failed.
		err = leat.Errorf(leat.CodeUnavailable, "the request was given up").Advise("Repeat it.")
	}
	e := leat.AsError(err)
	status := e.Code.Status()
	if e.Code == leat.CodeInternal {
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err, "cause", e.Cause)
	}
	doc := make(map[string]any, 5+len(e.Fields))
	for name, value := range e.Fields {
		doc[name] = value
	}
	doc["status"] = status
	doc["title"] = http.StatusText(status)
	doc["code"] = e.Code
	doc["detail"] = e.Detail
	if e.Advice != "" {
		doc["advice"] = e.Advice
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch {
	case h.Get("Retry-After") != "":
	case e.Code == leat.CodeUnavailable, e.Code == leat.CodeOverloaded:
		h.Set("Retry-After", "2")
	}
	WriteJSON(w, status, doc)
	if span := SpanOf(r.Context()); span != nil {
		span.Code = e.Code
	}
	return e.Code
}

// WriteJSON answers with v, which must be encodable, on one line. The content
// type is application/json unless the header has another.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in this program, not in a request
	}
	WriteLine(w, status, body)
}

// WriteLine is WriteJSON for a text that is JSON already.
func WriteLine(w http.ResponseWriter, status int, text []byte) {
	if h := w.Header(); len(h["Content-Type"]) == 0 {
		h["Content-Type"] = jsonType
	}
	w.WriteHeader(status)
	// The client may be gone: there is nobody left to tell.
	_, _ = w.Write(append(text, '\n'))
}

// Values of fields that are in many answers: nobody makes one anew for each, and nobody
// changes one.
var (
	jsonType = []string{JSON}
	noSniff  = []string{"nosniff"}
)

// MethodNotAllowed answers 405 with the methods that there are.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request, log *slog.Logger, allow string) {
	w.Header().Set("Allow", allow)
	WriteError(w, r, log, leat.Errorf(leat.CodeMethodNotAllowed, "%s does not have the method %s", r.URL.Path, r.Method).
		Advise("It has "+allow+"."))
}
