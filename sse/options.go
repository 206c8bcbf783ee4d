package sse

import (
	"strconv"
	"time"
)

// DefaultMaxEventBytes is the limit of a [Decoder] or [Parser] whose
// [Options.MaxEventBytes] is zero.
const DefaultMaxEventBytes = 16 << 20

// MaxRetry is the longest reconnection time. [AppendRetry] refuses a longer
// one; a longer one that is received is taken as MaxRetry, so that no value can
// overflow a timer and turn a long wait into none.
const MaxRetry = 24 * time.Hour

// Options configure a [Decoder] or a [Parser]. The zero value and a nil pointer
// are ready to use. They are copied: later changes have no effect.
type Options struct {
	// MaxEventBytes is the largest event in bytes: its Data, its Type and the
	// line being read, field name not counted, taken together. It holds for
	// every line, also for comments and unknown fields, because a line has to
	// be held until it ends. A stream that exceeds it ends with a
	// *[TooLargeError]. Zero means DefaultMaxEventBytes, negative no limit.
	MaxEventBytes int

	// LastEventID is the last event ID to begin with: that of the stream which
	// this one continues. Empty means none. It is not checked.
	LastEventID string

	// OnComment, if not nil, is called for each comment line, with the text
	// after the colon and after one space if there is one; often it is empty.
	// Comments carry no meaning but are a sign of life. The slice is valid only
	// until OnComment returns.
	//
	// OnComment and OnRetry are called in stream order by the goroutine that
	// decodes, inside Next or Parse and before the event that follows. They
	// must not use the Decoder or Parser.
	OnComment func(text []byte)

	// OnRetry, if not nil, is called for each valid retry field as soon as its
	// line has ended, with the time after clamping to MaxRetry.
	OnRetry func(d time.Duration)
}

// A TooLargeError reports a stream with an event, or a line, larger than
// [Options.MaxEventBytes]. The event is lost and its id is not committed; the
// rest of the stream is not decoded. To resume at the same id would meet the
// same event again: raise the limit or give up.
type TooLargeError struct {
	Limit int // the limit that was exceeded, in bytes
}

func (e *TooLargeError) Error() string {
	return "sse: event larger than the limit of " + strconv.Itoa(e.Limit) + " bytes"
}
