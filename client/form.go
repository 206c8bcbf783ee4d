package client

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// A Form is how a server writes down the values of a stream: what stands
// between them, and with that how they are read. See [SubscribeOptions].
type Form string

// The forms.
const (
	// FormEvents is text/event-stream. The request is made again whenever a
	// response ends.
	FormEvents Form = "sse"

	// FormLines is a JSON text on each line (NDJSON, JSON Lines), which is an
	// [Event] with that text as its Data. Empty lines are heartbeats. A line
	// that is no JSON text is told with an error of code [CodeLine], after which
	// the next line follows.
	//
	// A Leat server says on its first line where the stream begins: then ids,
	// types, gaps, ends and delays are those of the lines, as for FormEvents,
	// Data is an envelope, and the request is made again when the response ends.
	// What other servers send has no position to go on from. It is read once:
	// the sequence ends where the response does.
	FormLines Form = "ndjson"

	// FormPoll is the long poll of a Leat server: the request is made again and
	// again, each time for what came after the last answer. An Event is as one
	// of FormLines.
	FormPoll Form = "poll"

	// FormArray is one JSON array, whose elements are Events as soon as they have
	// arrived. It is read once.
	FormArray Form = "array"

	// FormSequence is a JSON text sequence (application/json-seq, RFC 7464). A
	// text that is cut, or wrong otherwise, is told as a wrong line is. It is
	// read once.
	FormSequence Form = "json-seq"

	// FormAny is the one that the server answers with, by its content type.
	// JSON is FormArray if it begins with [, an answer of FormPoll if it is
	// one, and FormLines otherwise.
	FormAny Form = "any"
)

// Content types of the forms, apart from parameters. The first is asked for.
// Lines are served as JSON by many servers, and sometimes as text.
var mediaTypes = map[Form][]string{
	FormEvents:   {sse.MediaType},
	FormLines:    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines", "application/stream+json", "application/json", "text/plain"},
	FormPoll:     {"application/json"},
	FormArray:    {"application/json"},
	FormSequence: {"application/json-seq"},
}

// accept is what a request for the form accepts.
func (f Form) accept() string {
	switch f {
	case FormLines:
		return "application/x-ndjson, application/jsonl;q=0.9, application/json;q=0.1"
	case FormAny:
		return "text/event-stream, application/x-ndjson;q=0.9, application/json-seq;q=0.8, application/json;q=0.5"
	}
	return mediaTypes[f][0]
}

// known reports whether f is one of the constants.
func (f Form) known() bool { return f == FormAny || mediaTypes[f] != nil }

// of returns the form of an answer to a request for f, or an error if it is
// none. For FormAny and JSON that is FormAny still, as the content decides.
func (f Form) of(resp *http.Response) (Form, error) {
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", leat.Errorf(CodeAnswer, "%s is compressed (%s), which was not asked for", resp.Request.URL.Redacted(), coding).
			With("status", resp.StatusCode)
	}
	essence := mediaType(resp.Header)
	isJSON := essence == "application/json" || strings.HasPrefix(essence, "application/") && strings.HasSuffix(essence, "+json")
	if f == FormAny {
		for _, form := range []Form{FormEvents, FormSequence} {
			if slices.Contains(mediaTypes[form], essence) {
				return form, nil
			}
		}
		if isJSON && essence != "application/stream+json" {
			return FormAny, nil
		}
		if essence != "text/plain" && slices.Contains(mediaTypes[FormLines], essence) {
			return FormLines, nil
		}
	} else if slices.Contains(mediaTypes[f], essence) || isJSON && slices.Contains(mediaTypes[f], "application/json") {
		return f, nil
	}
	what, want := f.name(), f.accept()
	e := leat.Errorf(CodeAnswer, "%s is no %s: its content type is %q, not %s",
		resp.Request.URL.Redacted(), what, resp.Header.Get("Content-Type"), want)
	return "", e.With("status", resp.StatusCode).Advise("Check the address.")
}

// name is what the form is called in an error.
func (f Form) name() string {
	switch f {
	case FormEvents:
		return "event stream"
	case FormLines:
		return "stream of JSON lines"
	case FormPoll:
		return "long poll"
	case FormArray:
		return "JSON array"
	case FormSequence:
		return "JSON text sequence"
	}
	return "stream of a known form"
}

// An object is a line of a Leat server, or an element of one of its polls.
type object struct {
	ID    string          `json:"id"`
	Topic string          `json:"topic"`
	Type  string          `json:"type"`
	Gap   json.RawMessage `json:"gap"`
	End   json.RawMessage `json:"end"`
	Retry int64           `json:"retry"`
}

// isPosition reports whether text is how the lines of a Leat server begin: an
// object that has an offset as its id, and nothing else.
func isPosition(text []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || len(members) != 1 {
		return false
	}
	var id string
	if json.Unmarshal(members["id"], &id) != nil {
		return false
	}
	_, err := leat.ParseOffset(id)
	return err == nil
}

// A poll is the answer to one.
type poll struct {
	Events []json.RawMessage `json:"events"`
	Next   string            `json:"next"`
}

// parsePoll returns the answer to a poll of a Leat server, nil if text is none.
func parsePoll(text []byte) *poll {
	var p poll
	if json.Unmarshal(text, &p) != nil || p.Events == nil {
		return nil
	}
	if _, err := leat.ParseOffset(p.Next); err != nil {
		return nil
	}
	return &p
}
