package render

import (
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/sse"
)

// A Form is how a stream of records looks on the wire: the encoding of its
// records and, between them, blocks of our own. All methods are pure and append
// to dst. A block that a form does not have appends nothing.
type Form interface {
	// Encoding is how a record is written.
	Encoding() frame.Encoding

	// Tells reports whether the form has blocks. A reader of one that has
	// none can be told nothing: instead of a gap, and instead of a farewell,
	// its connection is cut.
	Tells() bool

	// AppendOpening appends what comes first: bytes, so that they flow at
	// once, the delay after which to reconnect, where the form has a place
	// for it, and the position that the stream starts from.
	AppendOpening(dst []byte, retry time.Duration, position leat.Offset) []byte

	// AppendCursor appends the position that the reader has reached.
	AppendCursor(dst []byte, position leat.Offset) []byte

	// AppendHeartbeat appends a sign of life that moves nothing.
	AppendHeartbeat(dst []byte) []byte

	// AppendGap appends what is missing. A gap that names no topics although
	// its reason is about topics appends nothing.
	AppendGap(dst []byte, g *Gap) []byte

	// AppendFarewell appends what comes last when the server stops: when to
	// come back, and the position, so that nothing is read again that was
	// only passed over.
	AppendFarewell(dst []byte, retry time.Duration, position leat.Offset) []byte

	// AppendDismissal appends what comes last when somebody has the reader go: a
	// farewell with the reason, where the form has a place for it.
	AppendDismissal(dst []byte, reason string, retry time.Duration, position leat.Offset) []byte
}

// The forms.
var (
	EventStream         Form = eventStream{SSE}         // events, as text/event-stream
	EventStreamEnvelope Form = eventStream{SSEEnvelope} // the same, of envelopes
	Lines               Form = lines{}                  // a JSON object on each line
	Messages            Form = messages{}               // the same, each a message of a WebSocket
	Raw                 Form = raw{Bytes}               // payloads and nothing else
	Array               Form = raw{Elements}            // the same, as the elements of a JSON array
)

// eventStream is text/event-stream with one of its encodings.
type eventStream struct{ encoding frame.Encoding }

func (f eventStream) Encoding() frame.Encoding { return f.encoding }
func (eventStream) Tells() bool                { return true }

func (f eventStream) AppendOpening(dst []byte, retry time.Duration, position leat.Offset) []byte {
	dst = append(dst, ": leat\n"...)
	return f.AppendFarewell(dst, retry, position)
}

func (eventStream) AppendCursor(dst []byte, position leat.Offset) []byte {
	return appendCursor(dst, position)
}

func (eventStream) AppendHeartbeat(dst []byte) []byte { return sse.AppendComment(dst, "") }

func (eventStream) AppendGap(dst []byte, g *Gap) []byte {
	if !g.Tells() {
		return dst
	}
	return mustBlock(dst, typeGap, g.Next, g.appendTo(nil))
}

func (eventStream) AppendFarewell(dst []byte, retry time.Duration, position leat.Offset) []byte {
	return appendCursor(appendRetry(dst, retry), position)
}

// AppendDismissal has the reason in a comment: an event would be one of those that the
// reader has asked for.
func (f eventStream) AppendDismissal(dst []byte, reason string, retry time.Duration, position leat.Offset) []byte {
	return f.AppendFarewell(sse.AppendComment(dst, "leat: disconnected: "+reason), retry, position)
}

// lines is NDJSON. Each block is an object with an id, as each record's is,
// except the heartbeat: an empty line.
type lines struct{}

func (lines) Encoding() frame.Encoding { return NDJSON }
func (lines) Tells() bool              { return true }

func (f lines) AppendOpening(dst []byte, _ time.Duration, position leat.Offset) []byte {
	return f.AppendCursor(dst, position)
}

func (lines) AppendCursor(dst []byte, position leat.Offset) []byte {
	return append(appendID(dst, position), "}\n"...)
}

func (lines) AppendHeartbeat(dst []byte) []byte { return append(dst, '\n') }

func (lines) AppendGap(dst []byte, g *Gap) []byte {
	if !g.Tells() {
		return dst
	}
	dst = append(appendID(dst, g.Next), `,"gap":`...)
	return append(g.appendTo(dst), "}\n"...)
}

func (lines) AppendFarewell(dst []byte, retry time.Duration, position leat.Offset) []byte {
	dst = append(appendID(dst, position), `,"retry":`...)
	return append(strconv.AppendInt(dst, retry.Milliseconds(), 10), "}\n"...)
}

func (lines) AppendDismissal(dst []byte, reason string, retry time.Duration, position leat.Offset) []byte {
	dst = append(appendID(dst, position), `,"retry":`...)
	dst = append(strconv.AppendInt(dst, retry.Milliseconds(), 10), `,"disconnected":`...)
	return append(AppendString(dst, reason), "}\n"...)
}

// messages is lines for a place where an empty line is nothing: a page sees no sign of
// life but a message.
type messages struct{ lines }

func (messages) AppendHeartbeat(dst []byte) []byte { return append(dst, "{}\n"...) }

// raw is the payloads of records and nothing else.
type raw struct{ encoding frame.Encoding }

func (f raw) Encoding() frame.Encoding                                       { return f.encoding }
func (raw) Tells() bool                                                      { return false }
func (raw) AppendOpening(dst []byte, _ time.Duration, _ leat.Offset) []byte  { return dst }
func (raw) AppendCursor(dst []byte, _ leat.Offset) []byte                    { return dst }
func (raw) AppendHeartbeat(dst []byte) []byte                                { return dst }
func (raw) AppendGap(dst []byte, _ *Gap) []byte                              { return dst }
func (raw) AppendFarewell(dst []byte, _ time.Duration, _ leat.Offset) []byte { return dst }
func (raw) AppendDismissal(dst []byte, _ string, _ time.Duration, _ leat.Offset) []byte {
	return dst
}

// appendID begins the JSON object of a place in the log.
func appendID(dst []byte, id leat.Offset) []byte {
	dst = append(dst, `{"id":"`...)
	return append(id.AppendTo(dst), '"')
}
