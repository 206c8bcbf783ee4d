package server

import (
	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
)

// A SlowRule says when a reader of the streams whose names match a pattern, as
// [leat.ParsePattern] reads it, is too slow, and what becomes of it then.
//
// What a reader lags behind is what it has yet to be sent of all that was published to
// its topics since it came. What was there before does not count, nor what an answer
// of a known length leaves out. A reader of several topics has one lag. It is too slow
// only by the rules of all streams that its topics may match, and never if there is no
// rule for one of them; it is skipped forward only if all of them say so.
//
// A reader is looked at when there is something to send to it and room for that, and
// while there is none at each of its heartbeats; one whose connection has not been
// taken over (see [Server.ConnContext]) only when there is room.
type SlowRule struct {
	Pattern string

	// Records and Bytes are the most that a reader may lag behind; bytes as they
	// are sent, each record with its id and what else goes with it. It may be a
	// sixteenth more by the time it is noticed. 0 or negative: as far as it likes,
	// by this measure.
	Records, Bytes int64

	// Skip has a reader that is too slow go on with what is published from now on.
	// It is told with a gap, "skipped". The end of a stream that it names is never
	// skipped. A reader of bytes cannot be told, and is disconnected.
	//
	// If false, it is disconnected and, if its form can say that, asked to come back
	// within some seconds, spread; it goes on where it was.
	Skip bool
}

// slowRules are those of live.
func (o *Options) slowRules() ([]live.SlowRule, error) {
	var rules []live.SlowRule
	for _, r := range o.Slow {
		pattern, err := leat.ParsePattern(r.Pattern)
		if err != nil {
			return nil, err
		}
		rules = append(rules, live.SlowRule{Pattern: pattern, Records: max(0, r.Records), Bytes: max(0, r.Bytes), Skip: r.Skip})
	}
	return rules, nil
}
