package server

import (
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// A Retention bounds what is kept of a stream; the oldest records go first, and
// their readers are told. Zero and negative are no bound. A bound may be passed
// by an eighth before it is enforced.
type Retention struct {
	Records int64         // records
	Bytes   int64         // bytes of payload
	Age     time.Duration // how long a record is kept
}

// A RetentionRule is the retention of the streams whose names match a pattern, as
// [leat.ParsePattern] reads it, and that were not made with bounds of their own.
type RetentionRule struct {
	Pattern   string
	Retention Retention
}

// DefaultTopicAge is how long records of topics are kept if nothing else is said.
const DefaultTopicAge = 7 * 24 * time.Hour

func (r Retention) journal() journal.Retention {
	return journal.Retention{Records: max(0, r.Records), Bytes: max(0, r.Bytes), Age: max(0, r.Age)}
}

// journalOptions are those of the journal that keeps to o.
func (o *Options) journalOptions() (journal.Options, error) {
	jo := journal.Options{
		MaxRecord: o.MaxRecord, KeyWindow: o.KeyWindow, ForkDepth: o.MaxForkDepth, MaxStore: o.MaxStore, Logger: o.Logger, Now: o.now,
		ProducerWindow: o.ProducerWindow, MaxProducers: o.MaxProducers, MaxWaiting: o.MaxWaiting, Pause: o.SyncPause,
		Topics: journal.Retention{Age: max(0, orDefault(o.TopicAge, DefaultTopicAge))},
	}
	for _, rule := range o.Retention {
		pattern, err := leat.ParsePattern(rule.Pattern)
		if err != nil {
			return jo, err
		}
		jo.Rules = append(jo.Rules, journal.Rule{Pattern: pattern, Retention: rule.Retention.journal()})
	}
	return jo, nil
}
