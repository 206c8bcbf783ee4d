package render

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/sse"
)

// A Durable is the form of event streams of the Durable Streams protocol: behind
// each event with data one that says where the reader stands. It is made for one
// reader; what it says of records is the same for all.
type Durable struct {
	// Latest says that the records are the newest of their stream when they are
	// given: the reader is told that it is up to date.
	Latest bool

	// Floor is the least cursor that the reader is given, 0 for most. Readers
	// with the same floor share their frames.
	Floor uint64

	// Opening comes first. It may be empty.
	Opening []byte
}

// Encoding implements Form.
func (f *Durable) Encoding() frame.Encoding { return durable{f.Latest, f.Floor} }

// Tells implements Form.
func (*Durable) Tells() bool { return true }

// AppendOpening implements Form: the first bytes flow at once, and what an event
// source is to do if the stream breaks.
func (f *Durable) AppendOpening(dst []byte, retry time.Duration, _ leat.Offset) []byte {
	return append(appendRetry(append(dst, ": leat\n"...), retry), f.Opening...)
}

// AppendCursor implements Form. That the log has moved on is no news of this stream.
func (f *Durable) AppendCursor(dst []byte, _ leat.Offset) []byte { return f.AppendHeartbeat(dst) }

// AppendHeartbeat implements Form.
func (*Durable) AppendHeartbeat(dst []byte) []byte { return sse.AppendComment(dst, "") }

// AppendGap implements Form. Clients of the protocol pass it over: that records are
// gone they hear when they come back, which is at once, since nothing follows.
func (*Durable) AppendGap(dst []byte, g *Gap) []byte { return EventStream.AppendGap(dst, g) }

// AppendDismissal implements Form.
func (d *Durable) AppendDismissal(dst []byte, reason string, retry time.Duration, position leat.Offset) []byte {
	return d.AppendFarewell(sse.AppendComment(dst, "leat: disconnected: "+reason), retry, position)
}

// AppendFarewell implements Form.
func (*Durable) AppendFarewell(dst []byte, retry time.Duration, _ leat.Offset) []byte {
	return appendRetry(dst, retry)
}

// durable is the encoding of a Durable. It is a value, so that all that say the
// same are one.
type durable struct {
	latest bool
	floor  uint64
}

func (e durable) String() string {
	return "durable-" + strconv.FormatBool(e.latest) + "-" + strconv.FormatUint(e.floor, 10)
}

// Append implements frame.Encoding. The cursor is that of the time at which the
// record was stored: for who gets it as it comes, the present one.
func (e durable) Append(dst []byte, r *leat.Record) []byte {
	c := Control{Next: r.Offset, UpToDate: e.latest, Cursor: max(Interval(r.Time), e.floor)}
	if r.Kind == leat.KindEnd {
		if c.End = leat.EndState(r.Type); c.End.Gone() {
			return dst // there is nothing to come back to: who does hears that
		}
		c.UpToDate, c.Reason = true, r.Data
		return c.Append(dst)
	}
	dst = r.Offset.AppendTo(append(dst, "id: "...))
	dst = append(dst, "\nevent: data\n"...)
	switch r.Kind {
	case leat.KindJSON: // has no line ends: it was stored without white space
		dst = append(append(append(dst, "data:["...), r.Data...), "]\n"...)
	case leat.KindText:
		dst = appendDataLines(dst, r.Text())
	default:
		dst = base64.StdEncoding.AppendEncode(append(dst, "data:"...), r.Data)
		dst = append(dst, '\n')
	}
	return c.Append(append(dst, '\n'))
}

// appendDataLines appends a data field for each line of a text. No space stands
// before it, for clients that know none there; one that the text begins with is kept
// by another.
func appendDataLines(dst, text []byte) []byte {
	for {
		dst = append(dst, "data:"...)
		if len(text) > 0 && text[0] == ' ' {
			dst = append(dst, ' ')
		}
		i := bytes.IndexAny(text, "\r\n")
		if i < 0 {
			return append(append(dst, text...), '\n')
		}
		dst = append(append(dst, text[:i]...), '\n')
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}

// A Control says where a reader of a Durable stands.
type Control struct {
	Next     leat.Offset
	Cursor   uint64
	UpToDate bool

	// End is how the stream ended, empty while it is open, and Reason why.
	End    leat.EndState
	Reason []byte
}

// Append appends it as an event, whose data is a flat JSON object. A stream that
// has ended has no cursor: nobody comes back.
func (c *Control) Append(dst []byte) []byte {
	dst = c.Next.AppendTo(append(dst, "id: "...))
	dst = append(dst, "\nevent: control\ndata:{\"streamNextOffset\":\""...)
	dst = append(c.Next.AppendTo(dst), '"')
	if c.End == "" {
		dst = append(dst, `,"streamCursor":"`...)
		dst = append(strconv.AppendUint(dst, c.Cursor, 10), '"')
	}
	if c.UpToDate {
		dst = append(dst, `,"upToDate":true`...)
	}
	if c.End != "" {
		dst = append(dst, `,"streamClosed":true`...)
		if c.End != leat.EndComplete {
			dst = AppendString(append(dst, `,"leatEnd":`...), string(c.End))
		}
		if len(c.Reason) > 0 {
			dst = AppendString(append(dst, `,"leatReason":`...), string(bytes.ToValidUTF8(c.Reason, []byte("\uFFFD"))))
		}
	}
	return append(dst, "}\n\n"...)
}

// intervals began at this time, and each is as long.
var (
	intervalsBegin = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)
	intervalLength = 20 * time.Second
)

// Interval returns the number of the interval of a time, by which caches are kept
// from answering the same for ever.
func Interval(t time.Time) uint64 {
	return uint64(max(0, t.Sub(intervalsBegin)/intervalLength))
}
