package server

import (
	"context"
	"iter"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/session"
)

// A Subscription says what a reader in this process wants.
type Subscription struct {
	// Topics are names and patterns, such as orders/*, as topic= of GET /events has
	// them. There must be one at least.
	Topics []string

	// From is where to begin, as from= of GET /events has it: "now", "start", "-10" for
	// the last ten records, "-5m" for the last five minutes, or the text of an offset,
	// to go on after it. Empty: now.
	From string

	// Heartbeat is the silence after which an Event is delivered that has nothing but
	// the position reached. 0 or negative: never.
	Heartbeat time.Duration
}

// An Event is what a subscription delivers: one of Record, Gap and End, or none of
// these, and then Offset is the news.
type Event struct {
	// Offset is where another subscription goes on after this event, with From. A
	// program that saves its place saves this.
	Offset leat.Offset

	// Record is the caller's to keep and to change.
	Record *leat.Record

	// Gap says that records are gone which this subscription was owed.
	Gap *Gap

	// End says that a topic has ended.
	End *End
}

// A Gap says which records are missing. The next events are those after Next.
type Gap struct {
	// Reason says why: "trimmed" (the records were removed), "replaced" (a topic was
	// deleted, and what may be there now is a new one of that name), "skipped" (this
	// reader was too slow by a rule of Options.Slow), "lost" (the store lost them) or
	// "foreign" (the offset of From is not of this store's log).
	Reason string

	// Asked is the offset after which the records are missing, Next the one after
	// which reading goes on.
	Asked string
	Next  leat.Offset

	// Topics are those that lost records, More is how many further ones there are.
	Topics []GapTopic
	More   int
}

// A GapTopic is a topic that lost its records up to and including the one at Through.
type GapTopic struct {
	Topic   string
	Through leat.Offset
}

// An End says how a topic has ended, and why if that was said.
type End struct {
	Topic  string
	State  leat.EndState
	Reason string
}

// Subscribe returns what a subscription is due, for as long as the caller ranges over
// it. What holds for readers over HTTP holds here: each record comes once, in the order
// of the log, when it has reached the durability class of the store and not before;
// history and what is published meanwhile are one sequence; what was removed before it
// could be delivered is told as a [Gap], never passed over in silence.
//
// The first event has only its Offset: where the subscription begins. From then on
// nothing is missed. A loop body that takes its time holds up nobody and costs no
// memory; Options.Slow counts for it.
//
// The sequence ends without an error when the loop is left, and when all topics have
// ended, if no pattern is among them. Otherwise its last pair has an error, and an Event
// with the last position only: that of ctx when ctx ends, or a *leat.Error, with
// leat.CodeUnavailable when the server stops, the reader was too slow, or the store
// cannot be read now. Ranging over the sequence again subscribes anew.
//
// Shutdown ends the sequence, and waits until the loop has been left.
func (s *Server) Subscribe(ctx context.Context, sub Subscription) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s.requestBegins()
		defer s.requestDone()
		ctx, end := s.trace(ctx, OperationSubscribe, sub.Topics)
		outcome := Outcome{}
		defer func() { end(outcome) }()
		reading, err := s.resolve(ctx, sub)
		if err != nil {
			outcome.Code = leat.CodeOf(err)
			yield(Event{}, err)
			return
		}
		for told, err := range s.host.Records(ctx, reading, func(why string) { outcome.Reason = why }) {
			if !yield(eventOf(told), err) {
				return
			}
		}
	}
}

// resolve finds what a subscription begins with.
func (s *Server) resolve(ctx context.Context, sub Subscription) (*session.Reading, error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	filter, err := leat.ParseFilter(sub.Topics...)
	if err != nil {
		return nil, err
	}
	reading, err := s.host.Resolve(ctx, &session.Ask{From: sub.From, Heartbeat: max(0, sub.Heartbeat)}, filter, render.Records)
	if err != nil {
		return nil, err
	}
	reading.Kind = session.Kind{Surface: "server", Format: "record", Transport: "go"}
	return reading, nil
}

func eventOf(told session.Told) Event {
	e := Event{Offset: told.Position}
	switch {
	case told.Gap != nil:
		g := told.Gap
		e.Gap = &Gap{Reason: g.Reason, Asked: g.Asked, Next: g.Next, More: g.More}
		for _, topic := range g.Topics {
			e.Gap.Topics = append(e.Gap.Topics, GapTopic(topic))
		}
	case told.Record != nil && told.Record.Kind == leat.KindEnd:
		r := told.Record
		e.End = &End{Topic: r.Stream, State: leat.EndState(r.Type), Reason: string(r.Data)}
	default:
		e.Record = told.Record
	}
	return e
}
