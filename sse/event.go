package sse

// MediaType is the media type of an event stream, to be compared with the
// essence of a Content-Type. Streams are always UTF-8: a charset parameter has
// no effect.
const MediaType = "text/event-stream"

// DefaultType is the type an event has for a browser when its block names none.
const DefaultType = "message"

// An Event is one decoded event. It belongs to the caller, who may keep and
// change it: nothing in it is touched again by the decoder it came from.
type Event struct {
	// ID is the last event ID in force when the event was dispatched. It stays
	// over later events that have no id of their own, so it need not come from
	// this event's block. Empty means that there is none, or that the stream has
	// reset it. It never contains CR, LF or NUL, and is valid UTF-8.
	ID string

	// Type is the value of the event field, empty if there was none; the two
	// mean the same, see EventType. It never contains CR or LF, and is valid
	// UTF-8.
	Type string

	// Data is the values of the data fields, joined by LF. It never contains
	// CR, is valid UTF-8, and is empty but not nil when the fields were empty.
	// Appending to it always reallocates.
	Data []byte
}

// EventType returns the type that a browser would dispatch e with: Type, or
// [DefaultType] if Type is empty.
func (e Event) EventType() string {
	if e.Type == "" {
		return DefaultType
	}
	return e.Type
}
