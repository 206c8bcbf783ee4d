package events

import (
	"net/http"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/surface"
)

// What a subscription can be answered with.
var (
	eventStream = surface.Offer{As: "sse", Types: []string{surface.EventStream}}
	ndjson      = surface.Offer{As: "ndjson", Types: surface.NDJSON}
	longPoll    = surface.Offer{As: "json", Types: []string{surface.JSON}}
	webSocket   = surface.Offer{As: "websocket"} // asked for by an upgrade alone
)

// A subscription is what a request asks for.
type subscription struct {
	filter      *leat.Filter
	ask         *session.Ask
	form        render.Form
	contentType string
	socket      bool          // a WebSocket instead of an answer
	format      string        // what as= has for it
	polls       bool          // one answer instead of a stream
	wait        time.Duration // of a poll
}

// parseQuery is the query of a request to publish or to subscribe.
func parseQuery(r *http.Request) (surface.Query, error) { return surface.ParseQuery(r) }

// parseSubscription reads a request to subscribe.
func (s *Surface) parseSubscription(r *http.Request) (*subscription, error) {
	q, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	topics := q.Values("topic")
	if len(topics) > MaxTopics {
		return nil, leat.Errorf(leat.CodeTooManyTopics, "%d topics are named and the limit is %d", len(topics), MaxTopics).
			Advise("Use a pattern such as orders/*, or several connections.")
	}
	sub := &subscription{}
	if sub.filter, err = leat.ParseFilter(topics...); err != nil {
		return nil, err
	}
	if sub.ask, err = session.ParseAsk(r, q, s.o.Heartbeat); err != nil {
		return nil, err
	}
	return sub, sub.parseForm(r, q)
}

// parseForm reads in which form the answer is to be.
func (sub *subscription) parseForm(r *http.Request, q surface.Query) error {
	envelope, err := surface.ParseFlag(q, "envelope")
	if err != nil {
		return err
	}
	if sub.wait, err = session.ParseWait(q); err != nil {
		return err
	}
	var offer surface.Offer
	if offer, sub.contentType, err = choose(r, q); err != nil {
		return err
	}
	sub.format = offer.As
	switch {
	case offer.As == webSocket.As:
		sub.form, sub.socket = render.Messages, true
	case offer.As != eventStream.As:
		sub.form, sub.polls = render.Lines, offer.As == longPoll.As
	case envelope:
		sub.form = render.EventStreamEnvelope
	default:
		sub.form = render.EventStream
	}
	return nil
}

// choose says in which form a request is answered. One for a WebSocket is answered in no
// other way, whatever it accepts.
func choose(r *http.Request, q surface.Query) (surface.Offer, string, error) {
	if surface.AsksWebSocket(r) {
		return webSocket, "", nil
	}
	return surface.Choose(r.Header.Values("Accept"), q.Get("as"), eventStream, ndjson, longPoll)
}
