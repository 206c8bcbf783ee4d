package client

import (
	"encoding/json"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// An Event is what a subscription delivers.
type Event struct {
	// ID is the last event ID: where another subscription can go on after
	// this event. It is that of an earlier event if this one had none.
	ID string

	// Type is the event type, empty if the server gave none. Browsers call
	// that one "message".
	Type string

	// Data is the payload. From a Leat server that is the text or JSON of
	// the record, base64 if its topic is binary, or, with Query.Envelope and
	// in every form but FormEvents, its envelope. From others, in these forms,
	// it is one JSON text, and there is no ID and no Type. The bytes are the
	// caller's to keep and to change.
	Data []byte

	// Gap is not nil if this is no record, but the word of a Leat server
	// that records are gone which this subscription was owed. Type is
	// "leat.gap" and Data the JSON text.
	Gap *Gap

	// End is not nil if this is no record, but the word of a Leat server
	// that a topic has ended. Type is "leat.end" and Data the JSON text. The
	// sequence ends by itself once all the topics have ended that were named.
	End *End
}

// An End says how a topic has ended.
type End struct {
	Topic  string        `json:"topic"`
	State  leat.EndState `json:"state"`
	Reason string        `json:"reason"` // may be empty
}

// A Gap says which records are missing. The next events are those after Next.
type Gap struct {
	// Reason says why: "trimmed" (the records were removed), "replaced"
	// (a topic was deleted, and what may be there now is a new one of that
	// name), "skipped" (this reader was too slow for a rule of the server),
	// "lost" (the server lost them) or "foreign" (the offset that was asked for
	// is not of this server's log).
	Reason string `json:"reason"`

	// Asked is the id that the subscription came with, Next the one after
	// which it goes on.
	Asked string `json:"asked"`
	Next  string `json:"next"`

	// Topics are those that lost records, and More is how many further ones
	// there are.
	Topics []GapTopic `json:"topics"`
	More   int        `json:"more"`
}

// A GapTopic is a topic that lost its records up to and including the one
// whose id is Through.
type GapTopic struct {
	Topic   string `json:"topic"`
	Through string `json:"through"`
}

// The event types by which a Leat server speaks of the stream itself.
const (
	gapType    = "leat.gap"
	endType    = "leat.end"
	cursorType = "leat.cursor"
)

// newEvent returns an event, with its Gap or End if it is one. What merely has that
// type, on another server, is an event like others.
func newEvent(ev *sse.Event) Event {
	e := Event{ID: ev.ID, Type: ev.Type, Data: ev.Data}
	switch e.Type {
	case gapType:
		var gap Gap
		if json.Unmarshal(e.Data, &gap) == nil && gap.Reason != "" {
			e.Gap = &gap
		}
	case endType:
		var end End
		if json.Unmarshal(e.Data, &end) == nil && end.State != "" {
			e.End = &end
		}
	}
	return e
}

// isCursor reports whether ev does nothing but move the last event ID.
func isCursor(ev *sse.Event) bool { return ev.Type == cursorType && len(ev.Data) == 0 }

// Envelope reads the data of an event of a subscription with Query.Envelope.
func (e *Event) Envelope() (*Envelope, error) {
	var env Envelope
	if err := json.Unmarshal(e.Data, &env); err != nil {
		return nil, leat.Errorf(leat.CodeInvalidBody, "the event %s is not an envelope: %w", e.ID, err).
			Advise("Subscribe with Query.Envelope, or with envelope=1 in the URL.")
	}
	if env.Topic == "" {
		return nil, leat.Errorf(leat.CodeInvalidBody, "the event %s is not an envelope: it has no topic", e.ID)
	}
	return &env, nil
}
