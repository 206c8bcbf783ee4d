package events

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/store"
)

// Bounds of the heartbeat that a reader may choose.
const (
	minHeartbeat = time.Second
	maxHeartbeat = 5 * time.Minute
)

// A beat is the form of a heartbeat.
type beat int

const (
	beatAuto    beat = iota // a cursor if the position has moved, else a comment
	beatComment             // always a comment
	beatEvent               // always a cursor
)

// A subscription is what a request asks for.
type subscription struct {
	filter    *leat.Filter
	cursor    string // of Last-Event-ID; wins over from
	from      string
	heartbeat time.Duration
	beat      beat
	envelope  bool
	gapError  bool
}

// parseSubscription reads a request to subscribe. Parameters that it does not
// know are passed over, as caches and trackers add some.
func parseSubscription(r *http.Request, heartbeat time.Duration) (*subscription, error) {
	q, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	topics := q["topic"]
	if len(topics) > MaxTopics {
		return nil, leat.Errorf(leat.CodeTooManyTopics, "%d topics are named and the limit is %d", len(topics), MaxTopics).
			Advise("Use a pattern such as orders/*, or several connections.")
	}
	s := &subscription{from: q.Get("from"), heartbeat: heartbeat}
	if s.filter, err = leat.ParseFilter(topics...); err != nil {
		return nil, err
	}
	s.cursor = r.Header.Get("Last-Event-ID")
	for _, name := range []string{"last_event_id", "lastEventID"} {
		if s.cursor == "" {
			s.cursor = q.Get(name)
		}
	}
	if err := s.parseHeartbeat(q["heartbeat"]); err != nil {
		return nil, err
	}
	if s.envelope, err = parseFlag(q, "envelope"); err != nil {
		return nil, err
	}
	switch gap := q.Get("gap"); gap {
	case "", "tell":
	case "error":
		s.gapError = true
	default:
		return nil, invalidParameter("gap", gap, "It is error or tell.")
	}
	return s, nil
}

// parseQuery is r.URL.Query() with its errors told.
func parseQuery(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, leat.Errorf(leat.CodeInvalidParameter, "the query of the URL cannot be read: %w", err).
			Advise("Percent-encode what is not a letter, a digit or one of -._~ in names and values.")
	}
	return q, nil
}

func parseFlag(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); v {
	case "", "0", "false":
		return false, nil
	case "1", "true":
		return true, nil
	default:
		return false, invalidParameter(name, v, "It is 1 or 0.")
	}
}

func invalidParameter(name, value, advice string) error {
	return leat.Errorf(leat.CodeInvalidParameter, "%s=%s is not understood", name, value).Advise(advice)
}

func (s *subscription) parseHeartbeat(values []string) error {
	for _, part := range strings.Split(strings.Join(values, ","), ",") {
		switch part {
		case "":
		case "comment":
			s.beat = beatComment
		case "event":
			s.beat = beatEvent
		default:
			d, err := time.ParseDuration(part)
			if err != nil || d < minHeartbeat || d > maxHeartbeat {
				return invalidParameter("heartbeat", part, "It is a duration from 1s to 5m, comment, event, or such as 30s,event.")
			}
			s.heartbeat = d
		}
	}
	return nil
}

// start finds where the reader begins. A cursor that cannot be used as it is
// does not fail: the loss is told in the stream.
func (s *subscription) start(ctx context.Context, l *live.Live, now time.Time) (live.Start, store.Loss, error) {
	if s.cursor != "" {
		o, err := leat.ParseOffset(s.cursor)
		if err != nil {
			// Another system's id: an EventSource keeps what it was given
			// there, and an error would end it for ever.
			return l.Now(), store.LossForeign, nil
		}
		start, loss := l.Resume(o)
		return start, loss, nil
	}
	start, loss, err := s.startFrom(ctx, l, now)
	return start, loss, err
}

func (s *subscription) startFrom(ctx context.Context, l *live.Live, now time.Time) (live.Start, store.Loss, error) {
	switch s.from {
	case "", "now":
		return l.Now(), store.LossNone, nil
	case "start":
		return l.Beginning(), store.LossNone, nil
	}
	back, isBack := strings.CutPrefix(s.from, "-")
	if !isBack {
		o, err := leat.ParseOffset(s.from)
		if err != nil {
			return live.Start{}, "", invalidParameter("from", s.from, "It is now, start, -10 for the last ten records, -5m for the last five minutes, or an offset.")
		}
		start, loss := l.Resume(o)
		return start, loss, nil
	}
	if n, err := strconv.Atoi(back); err == nil {
		if n < 0 || n > MaxLast {
			return live.Start{}, "", invalidParameter("from", s.from, "At most the last 10000 records can be asked for in this way; from=start begins with all.")
		}
		start, err := l.Last(ctx, s.filter, n)
		return start, store.LossNone, err
	}
	d, ok := parseAge(back)
	if !ok {
		return live.Start{}, "", invalidParameter("from", s.from, "After the minus sign stands a number of records, such as -10, or an age in s, m, h or d, such as -5m.")
	}
	start, err := l.Since(ctx, s.filter, now.Add(-d))
	return start, store.LossNone, err
}

// parseAge reads an age such as 90s, 5m, 1h30m or 7d.
func parseAge(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16) // at most 179 years
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}
