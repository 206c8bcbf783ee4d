package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/server"
)

// canAskHere reports whether a listener can come as a reader in this process, which has
// no word for a cursor that is none.
func (x *listener) canAskHere() bool {
	_, err := leat.ParseOffset(x.cursor)
	return !x.single && (x.cursor == "" || err == nil)
}

// askHere is ask by Server.Subscribe.
func (x *listener) askHere(l *life) {
	from := x.from
	if x.cursor != "" {
		from = x.cursor
	}
	s := &segment{
		who: fmt.Sprint("listener ", x.id), form: "here", query: fmt.Sprint("Subscribe ", x.names, " from ", from), names: x.names, filter: x.filter,
		cursor: x.cursor, from: x.from, begun: x.w.truth.tick(), status: 204, end: endClean, to: l.target.Load(),
	}
	x.segments = append(x.segments, s)
	x.w.meets("readers in this process")
	left := 1 << 30
	if x.r.IntN(2) == 0 {
		left = x.r.IntN(20)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sub := server.Subscription{Topics: x.names, From: from, Heartbeat: 5 * time.Millisecond}
	for ev, err := range l.srv.Subscribe(ctx, sub) {
		if s.status = 200; err != nil || l.dead.Load() {
			s.end = endBroken // what comes to a dead life may be younger than the power cut
			if len(s.items) == 0 {
				s.status = 0
			}
			if err != nil && leat.CodeOf(err) != leat.CodeUnavailable && ctx.Err() == nil {
				x.w.t.Errorf("%s: %v", s.query, err)
			}
			break
		}
		x.told(s, itemHere(ev))
		if left--; left == 0 {
			cancel()
		}
		if s.come(l.target.Load()) {
			s.end = endLeft
			break
		}
	}
	if l.answers.Add(-1) == 0 {
		l.enoughIf()
	}
	s.to, s.over = l.target.Load(), x.w.truth.tick()
	x.goOn(l, s)
}

// itemHere returns what an event says, as it would be on the wire.
func itemHere(ev server.Event) item {
	it := item{kind: itemPosition, id: ev.Offset.String()}
	switch {
	case ev.Record != nil:
		it.kind, it.env = itemRecord, new(envelope)
		if err := json.Unmarshal(render.AppendEnvelope(nil, ev.Record), it.env); err != nil {
			panic(err)
		}
	case ev.Gap != nil:
		it.kind, it.gap = itemGap, &gap{Reason: ev.Gap.Reason, Asked: ev.Gap.Asked, Next: ev.Gap.Next.String(), More: ev.Gap.More}
		for _, topic := range ev.Gap.Topics {
			it.gap.Topics = append(it.gap.Topics, struct{ Topic, Through string }{topic.Topic, topic.Through.String()})
		}
	case ev.End != nil:
		it.kind, it.end = itemEnd, &endObject{ev.End.Topic, string(ev.End.State), ev.End.Reason}
	}
	return it
}
