package client

import (
	"context"
	"iter"
	"net/url"
	"time"

	"github.com/leat-dev/leat"
)

// A Query says what to subscribe to at a Leat server.
type Query struct {
	// Topics are names and patterns. In a pattern * stands for one segment
	// and a last ** for one or more. At least one is needed.
	Topics []string

	// From is where to start: "now" (what is published from now on; empty
	// means the same), "start" (the oldest record that is there), an id
	// (after that record), "-10" (the last 10 records) or "-5m" (those of
	// the last 5 minutes; s, m, h, d). It counts for the first connection
	// only, and not if there is a SubscribeOptions.LastEventID.
	From string

	// Heartbeat is how often the server sends something when there is
	// nothing to send: 1 s to 5 min. 0 or less means the server's default
	// of 15 s.
	Heartbeat time.Duration

	// Envelope asks for events whose data is an envelope, with topic, key
	// and time: see [Event.Envelope]. With FormLines and FormPoll they are that
	// without being asked for.
	Envelope bool

	// Wait is how long a poll (FormPoll) waits for something: up to 5 min. 0
	// means the server's default of 30 s, less than 0 not at all.
	Wait time.Duration

	// FailOnGap asks for an error with code leat.CodeGap instead of an
	// Event with a Gap, when records are missing at the start.
	FailOnGap bool
}

// values returns the query parameters of a subscription in a form.
func (q *Query) values(form Form) url.Values {
	v := url.Values{"topic": q.Topics}
	if q.From != "" {
		v.Set("from", q.From)
	}
	if q.Heartbeat > 0 {
		v.Set("heartbeat", q.Heartbeat.String())
	}
	switch {
	case form == FormPoll && q.Wait != 0:
		v.Set("wait", max(q.Wait, 0).String())
	case q.Envelope && form != FormLines && form != FormPoll:
		v.Set("envelope", "1")
	}
	if q.FailOnGap {
		v.Set("gap", "error")
	}
	return v
}

// Subscribe returns what the server has for q, like the function [Subscribe],
// for which it makes the URL. The form may be FormEvents, FormLines or FormPoll.
// HTTP, Header and Prepare are those of c where o has none.
func (c *Client) Subscribe(ctx context.Context, q Query, o SubscribeOptions) iter.Seq2[Event, error] {
	target, err := c.endpoint("events", q.values(o.Form))
	if err == nil && len(q.Topics) == 0 {
		err = leat.Errorf(leat.CodeNoTopic, "no topic is named").Advise("Name one or more topics or patterns.")
	}
	if err != nil {
		return func(yield func(Event, error) bool) { yield(Event{}, err) }
	}
	if o.HTTP == nil {
		o.HTTP = c.HTTP
	}
	if o.Header == nil {
		o.Header = c.Header
	}
	if o.Prepare == nil {
		o.Prepare = c.Prepare
	}
	switch {
	case o.Stall != 0:
	case o.Form == FormPoll && q.Wait > 0:
		o.Stall = q.Wait + 15*time.Second
	case q.Heartbeat > 0:
		o.Stall = 3 * q.Heartbeat
	}
	return Subscribe(ctx, target, o)
}
