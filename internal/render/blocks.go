package render

import (
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// The event types of our own. Publishers may not use types that begin with
// leat.
const (
	typeCursor = "leat.cursor"
	typeGap    = "leat.gap"
	typeEnd    = "leat.end"
)

// appendCursor appends an event that moves the client's Last-Event-ID. It is
// named and has empty data, because Firefox does not commit the id of a block
// that has only an id; no onmessage is called for it.
func appendCursor(dst []byte, position leat.Offset) []byte {
	return mustBlock(dst, typeCursor, position, nil)
}

// appendRetry appends a block that sets an event source's reconnection time.
func appendRetry(dst []byte, retry time.Duration) []byte {
	dst, err := sse.AppendRetry(dst, retry)
	if err != nil {
		panic(err) // our own times are in range
	}
	return dst
}

// AppendBusy appends all that an event source gets that cannot be served now:
// when to come back. It has no position, so the client keeps its own. Readers
// of other forms can be given an error status.
func AppendBusy(dst []byte, retry time.Duration) []byte {
	return appendRetry(sse.AppendComment(dst, "leat: no room for another reader now, come back later"), retry)
}

// The reasons of gaps that removals cause, and slowness; store.Loss has the others.
const (
	ReasonTrimmed  = "trimmed"  // records of a stream were removed
	ReasonReplaced = "replaced" // the stream was deleted
	ReasonSkipped  = "skipped"  // the reader was too slow for them
)

// A Gap says which records are gone that a reader was owed.
type Gap struct {
	Reason string
	Asked  string      // the offset that the reader came with, as it came
	Next   leat.Offset // reading goes on after it
	Topics []GapTopic
	More   int // further topics
}

// A GapTopic is a topic that has lost records.
type GapTopic struct {
	Topic   string      `json:"topic"`
	Through leat.Offset `json:"through"` // the last record that is gone
}

// Bounds of a private block, of 4 KiB in all.
const (
	maxGapTopics = 3 << 10 // bytes of topics in a gap, as JSON
	maxAsked     = 128     // bytes of what the reader came with, of which each may take six
)

// aboutTopics reports whether the reason is something that befell topics.
func (g *Gap) aboutTopics() bool { return g.Reason == ReasonTrimmed || g.Reason == ReasonReplaced }

// Tells reports whether there is anything to tell.
func (g *Gap) Tells() bool { return !g.aboutTopics() || len(g.Topics) > 0 || g.More > 0 }

// appendTo appends the gap as a JSON object on one line.
func (g *Gap) appendTo(data []byte) []byte {
	data = append(data, `{"reason":`...)
	data = AppendString(data, g.Reason)
	data = append(data, `,"asked":`...)
	data = AppendString(data, strings.ToValidUTF8(g.Asked[:min(len(g.Asked), maxAsked)], "\uFFFD"))
	data = append(data, `,"next":"`...)
	data = append(g.Next.AppendTo(data), '"')
	if g.aboutTopics() {
		data = g.appendTopics(data)
	}
	return append(data, '}')
}

func (g *Gap) appendTopics(data []byte) []byte {
	data = append(data, `,"topics":[`...)
	start, more := len(data), g.More
	for i, t := range g.Topics {
		before := len(data)
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, `{"topic":`...)
		data = AppendString(data, t.Topic)
		data = append(data, `,"through":"`...)
		data = append(t.Through.AppendTo(data), `"}`...)
		if len(data)-start > maxGapTopics {
			data = data[:before]
			more += len(g.Topics) - i
			break
		}
	}
	data = append(data, `],"more":`...)
	return strconv.AppendInt(data, int64(more), 10)
}

// mustBlock appends an event of our own. It cannot be refused.
func mustBlock(dst []byte, typ string, id leat.Offset, data []byte) []byte {
	var text [40]byte
	dst, err := sse.AppendEvent(dst, id.AppendTo(text[:0]), typ, data)
	if err != nil {
		panic(err)
	}
	return dst
}
