package client

import "time"

// A Notice tells something about the connection itself. Notices are for logs
// and for showing a state; nothing has to be done about them.
type Notice struct {
	// Kind says what happened, and with that which other fields are set.
	Kind NoticeKind

	// Err is why the connection ended or could not be made. It is set in
	// Waiting, and is a *leat.Error.
	Err error

	// Failures counts, in Waiting, the attempts in a row that failed, this
	// one included.
	Failures int

	// Delay is the time until the next attempt in Waiting, and the delay
	// that the server asked for in RetryChanged.
	Delay time.Duration

	// LastEventID is where a subscription goes on, or would. It is set in
	// Connected, Waiting and Moved.
	LastEventID string

	// Comment is the text of a Comment, without its colon.
	Comment string
}

// A NoticeKind says what a [Notice] is about.
type NoticeKind int

// The kinds of notices.
const (
	// Connected: the server has accepted the subscription. A publisher gets
	// it when the server takes records again after Waiting.
	Connected NoticeKind = iota + 1

	// Waiting: the connection ended or could not be made, and there will be
	// another attempt.
	Waiting

	// RetryChanged: the server named the delay before a reconnect.
	RetryChanged

	// Moved: the last event ID changed without an event, as it does when a
	// Leat server's log has moved on while nothing matched. A program that
	// saves its place saves this too.
	Moved

	// Comment: the server sent a comment, such as a heartbeat.
	Comment
)

// String returns the name of the constant.
func (k NoticeKind) String() string {
	switch k {
	case Connected:
		return "Connected"
	case Waiting:
		return "Waiting"
	case RetryChanged:
		return "RetryChanged"
	case Moved:
		return "Moved"
	case Comment:
		return "Comment"
	default:
		return "NoticeKind(?)"
	}
}
