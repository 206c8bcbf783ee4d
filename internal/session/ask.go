package session

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/store"
)

// MaxLast is how many records from=-N may ask for.
const MaxLast = 10_000

// Bounds of the heartbeat that a reader may choose.
const (
	minHeartbeat = time.Second
	maxHeartbeat = 5 * time.Minute
)

// Bounds of the reconnection time that a reader may choose.
const (
	minAskedRetry = 100 * time.Millisecond
	maxAskedRetry = 5 * time.Minute
)

// A Beat is the form of a heartbeat.
type Beat uint8

// The forms of a heartbeat.
const (
	BeatAuto    Beat = iota // the position if it has moved, else a mere sign of life
	BeatComment             // always a mere sign of life
	BeatEvent               // always the position
)

// An Ask is what a request says about how it is to be read to.
type Ask struct {
	Cursor    string        // of Last-Event-ID; wins over From
	From      string        // empty: now
	Heartbeat time.Duration // the longest silence
	Beat      Beat
	Retry     time.Duration // after which to reconnect; 0: the server chooses
	GapError  bool          // rather an error than a stream in which records are missing

	// Lineage is what the stream that is asked for has of others, nil for
	// nothing. It is not in the request.
	Lineage *journal.Lineage
}

// ParseAsk reads what a request with the query q asks for; heartbeat is for the
// reader that does not choose one. Parameters that it does not know are passed
// over, as caches and trackers add some.
func ParseAsk(r *http.Request, q surface.Query, heartbeat time.Duration) (*Ask, error) {
	a := &Ask{Cursor: r.Header.Get("Last-Event-ID"), From: q.Get("from"), Heartbeat: heartbeat}
	for _, name := range []string{"last_event_id", "lastEventID"} {
		if a.Cursor == "" {
			a.Cursor = q.Get(name)
		}
	}
	if err := a.parseHeartbeat(q.Values("heartbeat")); err != nil {
		return nil, err
	}
	if retry := q.Get("retry"); retry != "" {
		d, err := time.ParseDuration(retry)
		if err != nil || d < minAskedRetry || d > maxAskedRetry {
			return nil, surface.InvalidParameter("retry", retry, "It is a duration from 100ms to 5m.")
		}
		a.Retry = d
	}
	switch gap := q.Get("gap"); gap {
	case "", "tell":
	case "error":
		a.GapError = true
	default:
		return nil, surface.InvalidParameter("gap", gap, "It is error or tell.")
	}
	return a, nil
}

func (a *Ask) parseHeartbeat(values []string) error {
	for _, part := range strings.Split(strings.Join(values, ","), ",") {
		switch part {
		case "":
		case "comment":
			a.Beat = BeatComment
		case "event":
			a.Beat = BeatEvent
		default:
			d, err := time.ParseDuration(part)
			if err != nil || d < minHeartbeat || d > maxHeartbeat {
				return surface.InvalidParameter("heartbeat", part, "It is a duration from 1s to 5m, comment, event, or such as 30s,event.")
			}
			a.Heartbeat = d
		}
	}
	return nil
}

// start finds where the reader begins. A cursor that cannot be used as it is
// does not fail: the loss is told in the stream.
func (a *Ask) start(ctx context.Context, l *live.Live, f *leat.Filter, now time.Time) (live.Start, store.Loss, error) {
	if a.Cursor == "" {
		return a.startFrom(ctx, l, f, now)
	}
	o, err := leat.ParseOffset(a.Cursor)
	if err != nil {
		// Another system's id: an EventSource keeps what it was given
		// there, and an error would end it for ever.
		return l.Now(), store.LossForeign, nil
	}
	start, loss := l.Resume(o, a.Lineage)
	return start, loss, nil
}

func (a *Ask) startFrom(ctx context.Context, l *live.Live, f *leat.Filter, now time.Time) (live.Start, store.Loss, error) {
	switch a.From {
	case "", "now":
		return l.Now(), store.LossNone, nil
	case "start":
		start, err := l.First(ctx, f, a.Lineage)
		return start, store.LossNone, err
	}
	back, isBack := strings.CutPrefix(a.From, "-")
	if !isBack {
		o, err := leat.ParseOffset(a.From)
		if err != nil {
			return live.Start{}, "", surface.InvalidParameter("from", a.From, "It is now, start, -10 for the last ten records, -5m for the last five minutes, or an offset.")
		}
		start, loss := l.Resume(o, a.Lineage)
		return start, loss, nil
	}
	if n, err := strconv.Atoi(back); err == nil {
		if n < 0 || n > MaxLast {
			return live.Start{}, "", surface.InvalidParameter("from", a.From, "At most the last 10000 records can be asked for in this way; from=start begins with all.")
		}
		start, err := l.Last(ctx, f, a.Lineage, n)
		return start, store.LossNone, err
	}
	d, ok := parseAge(back)
	if !ok {
		return live.Start{}, "", surface.InvalidParameter("from", a.From, "After the minus sign stands a number of records, such as -10, or an age in s, m, h or d, such as -5m.")
	}
	start, err := l.Since(ctx, f, a.Lineage, now.Add(-d))
	return start, store.LossNone, err
}

// Resumes reports whether a reader says what it has seen.
func (a *Ask) Resumes() bool {
	if a.Cursor != "" || a.From == "" {
		return a.Cursor != ""
	}
	_, err := leat.ParseOffset(a.From)
	return err == nil
}

// asked returns the text of the offset that the reader asked for.
func (a *Ask) asked(l *live.Live, start live.Start) string {
	if a.Cursor != "" {
		return a.Cursor
	}
	if a.Resumes() {
		return a.From
	}
	return l.Offset(start.After).String()
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
